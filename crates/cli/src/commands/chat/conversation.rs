//! The turns of a conversation: at most one system turn, at the beginning; then user and assistant in turns.

use std::path::Path;

use serde::{Deserialize, Serialize};
use text::Message;

use crate::{failure::Failure, report};

const SCHEMA: &str = "sprag.chat/1";

/// What has been said.
#[derive(Debug, Default)]
pub struct Conversation {
    messages: Vec<Message>,
}

/// The saved form; `docs/json.md` describes it.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    schema: String,
    model: String,
    messages: Vec<Turn>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    role: String,
    content: String,
}

impl Conversation {
    /// An empty one, with a system turn if given.
    pub fn new(system: Option<&str>) -> Self {
        let mut own = Self::default();
        own.set_system(system.unwrap_or(""));
        own
    }

    /// All turns.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How many turns, the system's included.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    fn has_system(&self) -> bool {
        self.messages.first().is_some_and(|m| m.role == "system")
    }

    /// Replaces the system turn; an empty text removes it.
    pub fn set_system(&mut self, text: &str) {
        if self.has_system() {
            self.messages.remove(0);
        }
        if !text.is_empty() {
            self.messages.insert(0, Message::new("system", text));
        }
    }

    /// The user says something.
    pub fn push_user(&mut self, text: String) {
        self.messages.push(Message::new("user", text));
    }

    /// The model has answered.
    pub fn push_answer(&mut self, text: String) {
        self.messages.push(Message::new("assistant", text));
    }

    /// Forgets all but the system turn.
    pub fn reset(&mut self) {
        self.messages.truncate(usize::from(self.has_system()));
    }

    /// Removes the last answer, so that it can be given again; false where there is none.
    pub fn take_back_answer(&mut self) -> bool {
        let answered =
            self.messages.last().is_some_and(|m| m.role == "assistant") && self.messages.len() >= 2;
        if answered {
            self.messages.pop();
        }
        answered
    }

    /// Removes a user turn that could not be answered.
    pub fn take_back_turn(&mut self) {
        if self.messages.last().is_some_and(|m| m.role == "user") {
            self.messages.pop();
        }
    }

    /// Removes the oldest user turn and its answer; false where only the latest user turn is left.
    pub fn drop_oldest(&mut self) -> bool {
        let first = usize::from(self.has_system());
        let next = self
            .messages
            .iter()
            .skip(first + 1)
            .position(|m| m.role == "user");
        match next {
            Some(distance) => {
                self.messages.drain(first..first + 1 + distance);
                true
            }
            None => false,
        }
    }

    /// Writes the conversation as JSON.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self, path: &Path, model: &str) -> Result<(), Failure> {
        let turn = |m: &Message| Turn {
            role: m.role.clone(),
            content: m.content.clone(),
        };
        let saved = Saved {
            schema: SCHEMA.to_owned(),
            model: model.to_owned(),
            messages: self.messages.iter().map(turn).collect(),
        };
        let mut text = serde_json::to_string_pretty(&saved)?;
        text.push('\n');
        report::file(path, &text)
    }

    /// Reads a saved conversation.
    ///
    /// # Errors
    /// The file can't be read, or is no saved conversation.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let content = |why| Failure::Content {
            path: path.to_owned(),
            why,
        };
        let saved: Saved = serde_json::from_str(&report::read_text(path)?)
            .map_err(|error| content(format!("not a saved conversation: {error}")))?;
        if saved.schema != SCHEMA {
            return Err(content(format!(
                "its schema is {:?}; expected {SCHEMA:?}",
                saved.schema
            )));
        }
        Ok(Self {
            messages: saved
                .messages
                .into_iter()
                .map(|t| Message::new(t.role, t.content))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests;
