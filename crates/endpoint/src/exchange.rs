//! One request and what came back, with the time of each piece.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a request brought no whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Nobody answers there.
    #[error("no connection ({why})")]
    Connection {
        /// The system's words.
        why: String,
    },
    /// The connection ended within the answer.
    #[error("the answer broke off ({why})")]
    Dropped {
        /// The system's words.
        why: String,
    },
    /// Nothing came.
    #[error("nothing came for {waited_s} s")]
    Stalled {
        /// How long was waited.
        waited_s: f64,
    },
    /// An answer that is none.
    #[error("HTTP {status}{}: {message}", retry(.retry_after_s))]
    Status {
        /// HTTP status.
        status: u16,
        /// When to try again, if the server says.
        retry_after_s: Option<f64>,
        /// What the server said.
        message: String,
    },
    /// Events that are no answers; those between them count.
    #[error("{events} of its events cannot be read, the first: {first}")]
    Malformed {
        /// How many.
        events: usize,
        /// The first one's beginning, and what is wrong with it.
        first: String,
    },
    /// An error within the stream.
    #[error("the server reported: {message}")]
    Reported {
        /// Its words.
        message: String,
    },
    /// More events than the tokens that were asked for can need.
    #[error("the answer did not end after {events} events")]
    Endless {
        /// How many were read.
        events: usize,
    },
    /// An answer of nothing.
    #[error("an answer without text")]
    Empty,
}

fn retry(after_s: &Option<f64>) -> String {
    after_s.map_or_else(String::new, |s| format!(" (try again in {s} s)"))
}

/// Tokens as the server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Of the prompt, its template included.
    pub prompt_tokens: u64,
    /// Of the answer, what is thought and not shown included.
    pub completion_tokens: u64,
    /// Of the prompt, those that were not computed again, where the server says.
    pub cached_tokens: Option<u64>,
}

/// One request from first to last byte. Times are milliseconds since it was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Exchange {
    /// The answer's head.
    pub head_ms: Option<f64>,
    /// The first event, whatever it holds; many servers send one before they compute.
    pub first_event_ms: Option<f64>,
    /// The first text, shown or thought.
    pub first_text_ms: Option<f64>,
    /// The first thought, where the server sets thoughts apart.
    pub first_thought_ms: Option<f64>,
    /// The first text that a reader sees: no role, no thought, no blank.
    pub first_visible_ms: Option<f64>,
    /// Every event with text.
    pub text_ms: Vec<f64>,
    /// The end.
    pub end_ms: f64,
    /// What a reader sees, up to [`KEPT_BYTES`].
    #[serde(skip)]
    pub visible: String,
    /// What was thought, up to [`KEPT_BYTES`].
    #[serde(skip)]
    pub thought: String,
    /// The server's own count.
    pub usage: Option<Usage>,
    /// Why the answer ended, in the server's word.
    pub finish: Option<String>,
    /// Whether it came piece by piece.
    pub is_streamed: bool,
    /// Why it is not whole. What came before is kept.
    pub failure: Option<Cause>,
}

impl Exchange {
    /// Takes in one event that came at `ms`.
    pub(crate) fn take(&mut self, delta: Delta, ms: f64) {
        self.first_event_ms.get_or_insert(ms);
        if !delta.visible.is_empty() || !delta.thought.is_empty() {
            self.first_text_ms.get_or_insert(ms);
            self.text_ms.push(ms);
        }
        if !delta.thought.is_empty() {
            self.first_thought_ms.get_or_insert(ms);
            keep(&mut self.thought, &delta.thought);
        }
        if !delta.visible.trim().is_empty() {
            self.first_visible_ms.get_or_insert(ms);
        }
        keep(&mut self.visible, &delta.visible);
        self.usage = delta.usage.or(self.usage);
        self.finish = delta.finish.or(self.finish.take());
        if let Some(message) = delta.error {
            self.failure = Some(Cause::Reported { message });
        }
    }

    /// Tokens of the answer: the server's count where it can be true for an answer of at most `asked` tokens in this many events; the events
    /// else. An event holds a token or more, but a server may also cut one into pieces.
    #[must_use]
    pub fn answer_tokens(&self, asked: usize) -> (u64, bool) {
        let events = self.text_ms.len() as u64;
        match self.usage.map(|u| u.completion_tokens) {
            // One more than asked is an end-of-turn token.
            Some(n) if n > 0 && n <= asked as u64 + 1 && 2 * n >= events => (n, true),
            _ => (events, false),
        }
    }

    /// Tokens of the prompt, where the server tells.
    #[must_use]
    pub fn prompt_tokens(&self) -> Option<u64> {
        self.usage.map(|u| u.prompt_tokens).filter(|&n| n > 0)
    }

    /// Milliseconds between a token and the next, after the first.
    #[must_use]
    pub fn token_ms(&self, asked: usize) -> Option<f64> {
        let (tokens, _) = self.answer_tokens(asked);
        let (first, last) = (self.first_text_ms?, *self.text_ms.last()?);
        (tokens > 1 && last > first).then(|| (last - first) / (tokens - 1) as f64)
    }

    /// From the first thought to what a reader sees, or to the end where nothing but thoughts came. `None` where nothing was thought.
    #[must_use]
    pub fn thinking_ms(&self) -> Option<f64> {
        let from = self.first_thought_ms?;
        let to = self.first_visible_ms.unwrap_or(self.end_ms);
        (to > from).then_some(to - from)
    }

    /// All text, thoughts first.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.thought, self.visible)
    }

    /// The longest wait between two pieces of text.
    #[must_use]
    pub fn longest_gap_ms(&self) -> Option<f64> {
        self.text_ms
            .windows(2)
            .map(|w| w[1] - w[0])
            .max_by(f64::total_cmp)
    }
}

/// Text of an answer that is kept: a stranger may send more than was asked for.
pub const KEPT_BYTES: usize = 256 << 10;

fn keep(kept: &mut String, more: &str) {
    let room = KEPT_BYTES.saturating_sub(kept.len());
    kept.push_str(&more[..more.floor_char_boundary(room)]);
}

/// What one event adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    pub(crate) visible: String,
    pub(crate) thought: String,
    pub(crate) finish: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<String>,
}

impl Delta {
    /// Of an event of `chat/completions` or `completions`, or of a whole answer that came at once.
    ///
    /// # Errors
    /// In words: it is no JSON, or holds nothing that an answer has.
    pub fn parse(data: &str) -> Result<Self, String> {
        let event: Value = serde_json::from_str(data).map_err(|e| e.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let error = event.get("error").filter(|e| !e.is_null());
        let choices = event.get("choices").and_then(Value::as_array);
        let usage = event.get("usage").filter(|u| u.is_object());
        if error.is_none() && choices.is_none() && usage.is_none() {
            return Err("it has none of choices, usage and error".to_owned());
        }
        let mut delta = Self {
            error: error.map(|e| match e.get("message") {
                Some(message) => shown(&text(message)),
                None => shown(&e.as_str().map_or_else(|| e.to_string(), str::to_owned)),
            }),
            usage: usage.map(|u| {
                let count = |value: &Value| value.as_u64();
                let field = |name: &str| u.get(name).and_then(count).unwrap_or(0);
                Usage {
                    prompt_tokens: field("prompt_tokens"),
                    completion_tokens: field("completion_tokens"),
                    cached_tokens: u
                        .get("prompt_tokens_details")
                        .and_then(|d| d.get("cached_tokens"))
                        // llama.cpp's own way to say it.
                        .or_else(|| event.get("timings")?.get("cache_n"))
                        .and_then(count)
                        // More than there were cannot be true.
                        .filter(|&n| n <= field("prompt_tokens")),
                }
            }),
            ..Self::default()
        };
        let Some(choice) = choices.and_then(|c| c.first()) else {
            return Ok(delta);
        };
        let message = choice.get("delta").or_else(|| choice.get("message"));
        let piece = |name: &str| message.and_then(|m| m.get(name)).map(text);
        delta.visible = piece("content")
            .or_else(|| choice.get("text").map(text))
            .unwrap_or_default();
        // Two spellings, of llama.cpp and vLLM, and of Ollama and OpenRouter.
        delta.thought = ["reasoning_content", "reasoning"]
            .iter()
            .find_map(|name| piece(name).filter(|t| !t.is_empty()))
            .unwrap_or_default();
        delta.finish = choice
            .get("finish_reason")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Ok(delta)
    }
}

/// Characters of a stranger's text that are shown.
const SHOWN: usize = 200;

/// The beginning of a stranger's text, on one line, without what would move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SHOWN)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests;
