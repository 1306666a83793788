//! What can be wrong with a model file: each rule that it can break, with what was expected and what came.
//!
//! As in [`Refusal`](crate::Refusal), a message continues "the candidate ..". A stranger's words in it are cut short.

use thiserror::Error;

/// How much of a stranger's words is told.
const MOST_CHARACTERS: usize = 160;

/// A rule that a model file broke.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Flaw {
    /// It can't be read, or is no plain file.
    #[error("left no model.safetensors that can be read: expected a regular file, came {came}")]
    File {
        /// What the system said.
        came: String,
    },
    /// Something is larger than this judge takes.
    #[error("left a model of {came} {what}: expected at most {most}")]
    Large {
        /// Of what.
        what: &'static str,
        /// How many.
        came: u128,
        /// The limit.
        most: u128,
    },
    /// The container's head does not hold.
    #[error("left a model.safetensors whose head is wrong: expected {expected}, came {came}")]
    Head {
        /// What should be there.
        expected: &'static str,
        /// What is.
        came: String,
    },
    /// The tensor `about` holds no configuration.
    #[error(
        "describes its model in no way that is known: expected the fields of sprag.model/1 in the tensor \"about\", came {came}"
    )]
    About {
        /// What the reader said.
        came: String,
    },
    /// A field of the configuration is out of bounds.
    #[error("gives its model {field} = {came}: expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        came: String,
    },
    /// A merge names a token that is not there yet, or one with the separator in it.
    #[error("has the merge {index} of tokens {pair:?}: expected each from 1 to {last}")]
    Merge {
        /// Counted from 0.
        index: usize,
        /// The two tokens.
        pair: [u32; 2],
        /// The last that is known by then.
        last: usize,
    },
    /// A tensor is not there.
    #[error("left no tensor {name:?}: expected one, f32, of shape {shape:?}")]
    Missing {
        /// Its name.
        name: String,
        /// Its rows and columns.
        shape: Vec<usize>,
    },
    /// A tensor has another type or shape.
    #[error("has a tensor {name:?} of {came}: expected {expected}")]
    Tensor {
        /// Its name.
        name: String,
        /// Its type and shape.
        came: String,
        /// What they should be.
        expected: String,
    },
    /// A weight is no number.
    #[error("has {value} at place {at} of the tensor {name:?}: expected finite numbers")]
    NotFinite {
        /// Its name.
        name: String,
        /// In the order of the file.
        at: usize,
        /// What it is.
        value: f32,
    },
    /// A tensor that the configuration has no place for.
    #[error(
        "left a tensor {name:?} that its configuration has no place for: expected {expected} tensors, came {came}"
    )]
    LeftOver {
        /// Its name.
        name: String,
        /// How many the configuration asks for.
        expected: usize,
        /// How many there are.
        came: usize,
    },
    /// The text to score is not for this tokenizer.
    #[error(
        "reads text in UTF-8 alone, came one with a foreign byte at {at}: score it with a model of bytes"
    )]
    Text {
        /// Where.
        at: usize,
    },
    /// There is nothing to score.
    #[error("was given nothing but separators: expected at least one byte to foretell")]
    Empty,
    /// A tokenizer lost something.
    #[error("turns {bytes} bytes into tokens that say something else: expected the same bytes")]
    Lossy {
        /// How many.
        bytes: usize,
    },
    /// The model foretells with something that is no probability.
    #[error("foretells the text with {nats} nats: expected a finite number of at least 0")]
    Score {
        /// The sum.
        nats: f64,
    },
}

/// The beginning of a stranger's words, without what a terminal would obey.
pub(super) fn short(words: impl ToString) -> String {
    let words = words.to_string().replace(char::is_control, "\u{fffd}");
    match words.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}
