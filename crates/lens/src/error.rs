//! Why there is no report.

use measure::SampleError;
use runtime::RuntimeError;
use silicon::{roofline::RooflineError, spec::SpecError};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum LensError {
    /// A step could not be run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The silicon could not be measured.
    #[error(transparent)]
    Roofline(#[from] RooflineError),
    /// A presented figure that cannot be one.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The clock gave readings that cannot be true.
    #[error(
        "the readings of {what} make no sense; the clock may have been set or the machine suspended: run again"
    )]
    Samples {
        /// What was timed.
        what: &'static str,
        /// What was wrong with them.
        source: SampleError,
    },
    /// A model whose context is too short to be timed.
    #[error(
        "the model was made for {context} tokens; expected at least {need} to time a prompt and a few tokens after it: take another model"
    )]
    Context {
        /// The model's.
        context: usize,
        /// The least that will do.
        need: usize,
    },
    /// The tokenizer makes nothing of ordinary text.
    #[error(
        "the model's tokenizer made {tokens} tokens of an English text, expected at least 2; its file may be damaged: pull it again"
    )]
    Tokenizer {
        /// Tokens made.
        tokens: usize,
    },
}
