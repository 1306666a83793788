//! Running a model: sessions that prefill and decode, sampling, generation (free, or constrained to a JSON schema), perplexity.
//! Synchronous; knows no sockets.
//!
//! An [`Engine`] is a loaded model with its pool and profile; a [`Session`] is one sequence's state and buffers, a [`Batch`]
//! several sequences that share each pass over the weights. Everything above (chat, benchmarks, the lens) is calls of
//! [`Session::prefill`] and [`Session::decode`].

mod batch;
mod constraint;
mod divergence;
mod engine;
mod error;
mod generate;
mod perplexity;
pub mod profile;
mod sampler;
mod session;

pub use batch::Batch;
pub use constraint::{Constrainer, Constraint, ConstraintError, Document};
pub use divergence::{Divergence, divergence};
pub use engine::Engine;
pub use error::{RuntimeError, UnusableTokenizer};
pub use generate::{
    ConstrainedError, Event, Finish, Generation, GenerationOptions, Timings, generate,
    generate_constrained,
};
pub use perplexity::{Perplexity, PerplexityOptions, perplexity};
pub use sampler::{Sampler, SamplingOptions};
pub use session::Session;
