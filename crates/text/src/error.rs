//! What can go wrong while a tokenizer or a chat template is built or used.
//!
//! A model file is foreign input, so every variant names the metadata key, what was expected, what came, and what the
//! reader can do next. Nothing here is a bug report about this program: invariants of our own are not errors.

use thiserror::Error;

/// A vocabulary that cannot become a tokenizer, or text that cannot be tokenised.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The model file lacks one of the tokenizer's keys, or holds something else there.
    #[error("the model file has no usable tokenizer")]
    Metadata(#[from] formats::gguf::GgufError),
    /// `tokenizer.ggml.model` names a kind of tokenizer that is not implemented.
    #[error(
        "`tokenizer.ggml.model` is `{found}`; supported: `gpt2` (byte-level BPE), `llama` (SentencePiece), `rwkv` (RWKV World)"
    )]
    UnknownModel {
        /// The name in the file.
        found: String,
    },
    /// `tokenizer.ggml.pre` names a pre-tokenizer that is not implemented.
    #[error(
        "`tokenizer.ggml.pre` is `{found}`, an unknown pre-tokenizer; token ids would be wrong, so loading stops here; known: {known}"
    )]
    UnknownPretokenizer {
        /// The name in the file.
        found: String,
        /// Every known name, separated by commas.
        known: String,
    },
    /// Two arrays that run in parallel over the vocabulary differ in length.
    #[error(
        "`{key}` has {found} entries for {expected} tokens; the model file is damaged or was converted wrongly"
    )]
    LengthMismatch {
        /// The metadata key of the array that does not fit.
        key: &'static str,
        /// Entries expected: one per token.
        expected: usize,
        /// Entries found.
        found: usize,
    },
    /// Two ids spell the same token, so that text would have two encodings.
    #[error(
        "tokens {first} and {second} of `tokenizer.ggml.tokens` are both `{text}`; each token must be unique"
    )]
    DuplicateToken {
        /// The lower id.
        first: u32,
        /// The higher id.
        second: u32,
        /// The text they share.
        text: String,
    },
    /// A score is NaN, which has no place in an order.
    #[error("`tokenizer.ggml.scores` of token {id} is not a number; the model file is damaged")]
    ScoreNotANumber {
        /// The token.
        id: u32,
    },
    /// More tokens or merges than 32-bit ids can name.
    #[error("`{key}` has {found} entries, more than the {limit} that token ids can name")]
    TooLarge {
        /// The metadata key.
        key: &'static str,
        /// Entries found.
        found: usize,
        /// The most that is supported.
        limit: usize,
    },
    /// A special token's id lies outside the vocabulary.
    #[error(
        "`{key}` is {id}, but the vocabulary ends at {vocab_size}; the model file is damaged or was converted wrongly"
    )]
    SpecialOutOfRange {
        /// The metadata key.
        key: &'static str,
        /// The id in the file.
        id: u32,
        /// Number of tokens in the vocabulary.
        vocab_size: usize,
    },
    /// A SentencePiece or RWKV vocabulary that cannot spell every byte.
    #[error(
        "the vocabulary has neither a byte token for 0x{byte:02X} nor an unknown token; some text could not be encoded"
    )]
    NoByteFallback {
        /// The first byte without a token.
        byte: u8,
    },
    /// A token of an RWKV vocabulary is not spelt as Python prints bytes.
    #[error(
        "token {id} of `tokenizer.ggml.tokens` is `{text}`; the backslash at byte {offset} begins none of \\t, \\n, \\r, \\\\, \\', \\\" and \\xHH; the model file is damaged or was converted wrongly"
    )]
    BadEscape {
        /// The token.
        id: u32,
        /// Where in its spelling the escape begins.
        offset: usize,
        /// The spelling's beginning.
        text: String,
    },
    /// A token of an RWKV vocabulary is longer than matching it may take.
    #[error(
        "token {id} of `tokenizer.ggml.tokens` is {found} bytes long, more than the {limit} that are supported; the model file is damaged"
    )]
    TokenTooLong {
        /// The token.
        id: u32,
        /// Its bytes.
        found: usize,
        /// The most that are supported.
        limit: usize,
    },
    /// The file asks for a begin or end token but names none.
    #[error("`{flag}` is true, but `{key}` is missing; convert the model again")]
    SpecialNotNamed {
        /// The flag that asks for the token.
        flag: &'static str,
        /// The key that should name it.
        key: &'static str,
    },
    /// Text to encode is not UTF-8.
    #[error(
        "the text is not UTF-8: the byte at offset {offset} is invalid; convert it to UTF-8 first"
    )]
    InvalidUtf8 {
        /// Offset of the first invalid byte.
        offset: usize,
    },
}

/// The beginning of a token as a message may show it: a vocabulary's bytes could steer the reader's terminal.
pub(crate) fn printable(token: &[u8]) -> String {
    let shown = |character: char| {
        if character.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        }
    };
    let text = String::from_utf8_lossy(token);
    text.chars().take(64).map(shown).collect()
}

/// A chat template that is missing, broken, or that refuses the conversation.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The metadata holds something that is no text where the template or a special token should be.
    #[error("the model file has no usable chat template")]
    Metadata(#[from] formats::gguf::GgufError),
    /// The model file carries no template.
    #[error(
        "the model file has no `tokenizer.chat_template`; use a plain prompt, or choose the ChatML fallback explicitly"
    )]
    Missing,
    /// The template is not valid Jinja.
    #[error("`tokenizer.chat_template` does not parse: {reason}")]
    Syntax {
        /// The engine's message, with its line.
        reason: String,
    },
    /// The template itself refused the conversation through `raise_exception`.
    #[error("the model's chat template refuses this conversation: {message}")]
    Refused {
        /// The template's own words.
        message: String,
    },
    /// The template ran longer than any honest template needs.
    #[error(
        "the chat template used up its {fuel} steps without finishing; it is broken or hostile, so rendering stopped"
    )]
    OutOfFuel {
        /// The step limit that was in force.
        fuel: u64,
    },
    /// The template failed while it ran.
    #[error("the chat template failed: {reason}")]
    Render {
        /// The engine's message, with its line.
        reason: String,
    },
}
