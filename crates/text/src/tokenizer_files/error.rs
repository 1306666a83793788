//! What can be wrong with the tokenizer files of a checkpoint.

use formats::json::JsonError;
use thiserror::Error;

/// Tokenizer files that cannot become a tokenizer. Messages name the file, what was expected and the next step.
#[derive(Debug, Error)]
pub enum TokenizerFilesError {
    /// A file that cannot be read, or is not the JSON that was expected.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// There is no `tokenizer.json`.
    #[error(
        "{folder}: there is no tokenizer.json; fetch it with the model, or make it from tokenizer.model with `AutoTokenizer.from_pretrained(...).save_pretrained(...)` of transformers"
    )]
    Missing {
        /// Where it was looked for.
        folder: String,
    },
    /// A kind of tokenizer, or a part of one, that is not implemented.
    #[error(
        "{file}: {part} is {found}, which Sprag does not know; token ids would be wrong, so loading stops here. Known: {known}"
    )]
    Unknown {
        /// Where.
        file: String,
        /// Which part of the tokenizer.
        part: &'static str,
        /// What it is, shortened.
        found: String,
        /// What is known.
        known: &'static str,
    },
    /// Parts that contradict each other.
    #[error("{file}: {what}; the file is damaged: fetch it again")]
    Contradiction {
        /// Where.
        file: String,
        /// What does not fit.
        what: String,
    },
    /// More tokens than the embedding has rows.
    #[error(
        "{file}: token {token} has the id {id}, but the embedding table has {rows} rows; the files do not belong together: fetch them all again"
    )]
    BeyondEmbedding {
        /// Where.
        file: String,
        /// The token, quoted.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// An embedding with more rows than any vocabulary.
    #[error("the embedding table has {rows} rows; at most {limit} are supported")]
    TooManyRows {
        /// Rows of the table.
        rows: usize,
        /// The most that is supported.
        limit: usize,
    },
}
