//! What somebody who talks with the model waits for, as data.

use serde::{Deserialize, Serialize};

use super::{Figure, Reading};

/// One turn of a conversation, from the message to the last token of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Tokens of the whole conversation up to the answer.
    pub prompt_tokens: usize,
    /// Of which the session still had.
    pub kept_tokens: usize,
    /// Of which it had seen, and had to compute again: the wasted work.
    pub again_tokens: usize,
    /// Which it had seen behind the place where this prompt parts from it: the same text, written in other tokens, is computed again too.
    #[serde(default)]
    pub parted_tokens: usize,
    /// Writing the conversation by the model's template.
    pub template_ms: Figure,
    /// Text to tokens.
    pub tokenise_ms: Figure,
    /// The prompt in the model.
    pub prefill_ms: Figure,
    /// From the message to the choice of the first token.
    pub first_token_ms: Figure,
    /// From the message to the first text that can be seen: a token may be half a character, or steer and not speak.
    pub first_visible_ms: Reading,
    /// Tokens of the answer.
    pub tokens: usize,
    /// The tokens after the first, each with its choice and its text; of an answer of one token there is none.
    pub ms_per_token: Reading,
    /// Of these, choosing; per token of the answer.
    pub sample_ms: Figure,
    /// Of these, turning into text; per token of the answer.
    pub text_ms: Figure,
}

/// A conversation of two turns, as `sprag chat` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Whether the model's own template wrote it; else ChatML, which it may never have seen.
    pub own_template: bool,
    /// The first question and the second.
    pub turns: Vec<Turn>,
}
