//! Text to train on: read, tokenised, split, and stored.
//!
//! 1. [`Documents`] reads texts one by one from plain files, JSON lines, Parquet, and what Zstandard packed of the first two.
//! 2. [`divided`] tells which are learned from and which are held out: the last ones, so that a corpus in the order of time is never judged
//!    by what came before what was learned from.
//! 3. A [`Tokenizer`] is bytes, or byte pairs that it learned from the texts to learn from alone.
//! 4. [`Splits`] are streams of tokens, in memory or, for a corpus that is larger, mapped from [`Shards`].
//!
//! Token 0 is the byte 0, which no text has: it stands before each document. This crate knows no models; what it gives out are numbers of
//! tokens, and which of them count.

mod document;
mod error;
mod random;
mod shards;
mod splits;
mod stream;
mod tokenizer;

pub use document::{Document, Documents, FIELD, lines, read};
pub use error::DataError;
pub use random::Random;
pub use shards::{Shards, ShardsError};
pub use splits::{Part, Splits, divided};
pub use stream::{Batch, Stream};
pub use tokenizer::{BytePairs, Encoder, Tokenizer, TokenizerError};

/// Stands before each document.
pub const SEPARATOR: u32 = 0;
/// A target that does not count.
pub const IGNORED: u32 = u32::MAX;
