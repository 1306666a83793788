//! Why there is nothing to train on.

use std::{io, path::PathBuf};

use crate::tokenizer::TokenizerError;

/// Why texts can't be read, or are too few.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason, or that of what unpacks it.
        source: io::Error,
    },
    /// A line is no JSON object with a text.
    #[error("{}, line {line}: {reason}; each line must be a JSON object with a text in {field:?}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The text's name in it.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A file is no Parquet, or has no such column of texts.
    #[error("{}: {reason}; expected a Parquet file with a column {field:?} of strings", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The column.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// This build reads no Parquet.
    #[error(
        "{} is Parquet, which this build does not read; build it with `--features parquet`, or convert the file to JSON lines",
        path.display()
    )]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// A row has no text.
    #[error("{}, row {row}, column {field:?}: {reason}; each row must hold UTF-8 text, and a file that is damaged has to be fetched again", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        row: u64,
        /// The column.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A text is not UTF-8, or has a zero byte.
    #[error("{name}: {reason}; give plain UTF-8 text")]
    NotText {
        /// The document.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A packed file is larger inside than any text would be.
    #[error(
        "{} holds more than {limit} bytes of text, which its size makes implausible; unpack it and give the text itself",
        path.display()
    )]
    Expands {
        /// The file.
        path: PathBuf,
        /// Bytes that would have been taken.
        limit: u64,
    },
    /// No documents at all.
    #[error("there is no text; give at least one document")]
    Empty,
    /// Too little text for one window.
    #[error(
        "{what} has {found} tokens, and {needed} are needed; give more text or a shorter context (steps.positions)"
    )]
    TooSmall {
        /// The split.
        what: &'static str,
        /// Tokens of it, separators included.
        found: usize,
        /// Tokens of a window and the next.
        needed: usize,
    },
    /// The tokenizer is none.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}
