//! In the place of `training`, where this crate is built without what learns pairs.

use super::{BYTES, MOST, Tokenizer, TokenizerError};
use crate::{DataError, Document};

impl Tokenizer {
    /// The bytes themselves: a larger vocabulary has to be learned, which this build does not do.
    ///
    /// # Errors
    /// More tokens than bytes are asked for.
    pub fn learned(
        _documents: impl IntoIterator<Item = Result<Document, DataError>, IntoIter: Send>,
        _held_out: usize,
        vocabulary: usize,
    ) -> Result<Self, DataError> {
        match vocabulary {
            BYTES => Ok(Self::Bytes),
            size if (BYTES..=MOST).contains(&size) => {
                Err(TokenizerError::NoLearning { asked: size }.into())
            }
            found => Err(TokenizerError::Size { found }.into()),
        }
    }
}
