//! Between text and tokens: tokenizers and chat templates, built from a model file's metadata.
//!
//! * [`Tokenizer`]: text to token ids and back, equal to llama.cpp's ids.
//! * [`Utf8Stream`], [`StopMatcher`]: what a model writes token by token, made fit to show.
//! * [`tokenizer_metadata`]: the tokenizer files of a checkpoint, as a model file would have them.
//! * [`ChatTemplate`]: a conversation as the one string that the model was trained on.
//!
//! A model file is foreign: a vocabulary is checked whole before it is used, and a template is a program that runs under
//! limits. This crate knows no tensors and no sampling; it turns strings into numbers and numbers into strings.

mod bpe;
mod character;
mod chat;
mod error;
#[cfg(test)]
mod fixtures;
mod longest_match;
mod merge;
mod pretokenizer;
mod sentence_piece;
mod special_names;
mod specials;
mod stop;
mod token_index;
mod tokenizer;
mod tokenizer_files;
mod utf8_stream;
mod vocabulary;

pub use bpe::byte_spelling;
pub use chat::{ChatTemplate, Message, TemplateOrigin};
pub use error::{TemplateError, TokenizerError};
pub use pretokenizer::Pretokenizer;
pub use specials::Specials;
pub use stop::{Checked, StopMatcher};
pub use tokenizer::Tokenizer;
pub use tokenizer_files::{TokenizerFilesError, tokenizer_metadata, tokenizer_metadata_of};
pub use utf8_stream::Utf8Stream;
pub use vocabulary::{SpecialIds, TokenType, Vocabulary, VocabularyKind};
