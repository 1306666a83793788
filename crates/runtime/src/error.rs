//! Why a model could not be run.

use cuda::CudaError;
use kernels::{cpu::ExecuteError, memory::OutOfMemory};
use models::ModelError;
use text::{TemplateError, TokenizerError};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The model file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] UnusableTokenizer),
    /// Its chat template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Threads.
    #[error(
        "the system refused to start {threads} threads: {source}; ask for fewer with --threads"
    )]
    Threads {
        /// Asked for.
        threads: usize,
        /// Why.
        source: std::io::Error,
    },
    /// Memory for a session.
    #[error("no memory for a context of {context} tokens: {source}; ask for less with --context")]
    Memory {
        /// Asked for.
        context: usize,
        /// How much.
        source: OutOfMemory,
    },
    /// A prompt without tokens.
    #[error("the prompt is empty, and the model has no token to start a text with; give some text")]
    EmptyPrompt,
    /// A prompt that does not fit.
    #[error(
        "the prompt has {tokens} tokens, the context has room for {room}; shorten it or raise --context (the model was made for up to {trained})"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that fit.
        room: usize,
        /// The model's own context.
        trained: usize,
    },
    /// A context larger than the model's.
    #[error(
        "a context of {asked} tokens was asked for, but the model was made for up to {trained}; ask for less with --context"
    )]
    Context {
        /// Asked for.
        asked: usize,
        /// The model's own.
        trained: usize,
    },
    /// A text too short to judge.
    #[error(
        "the text has {tokens} tokens; perplexity over windows of {window} needs at least {window}: give a longer text or a smaller --window"
    )]
    TextTooShort {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        window: usize,
    },
    /// Options that make no sense.
    #[error("{option} is {found}; expected {expected}")]
    Option {
        /// Which.
        option: &'static str,
        /// What came.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A step that does not fit.
    #[error(transparent)]
    Step(#[from] ExecuteError),
    /// A GPU.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// What only the processor does.
    #[error("nodes of a program run alone only on the processor; give --device cpu")]
    OnGpu,
    /// The model answered with numbers that are none.
    #[error(
        "the model's logits at position {position} are not finite; the file is damaged, or its weights overflow: pull it again"
    )]
    NotFinite {
        /// Of the token that they follow, from 0.
        position: usize,
    },
}

/// A tokenizer's error with the file that it is in.
#[derive(Debug)]
pub struct UnusableTokenizer {
    /// Where.
    pub file: String,
    /// What is wrong.
    pub error: TokenizerError,
}

impl std::fmt::Display for UnusableTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file, self.error)
    }
}

impl std::error::Error for UnusableTokenizer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The error is part of this one's own text; only what caused it is a further step of the chain.
        self.error.source()
    }
}
