//! Models on an NVIDIA GPU.
//!
//! A token is one kernel: a block of threads for each multiprocessor goes through the token's operations and takes from the others what it needs,
//! while rings in its shared memory are filled with the weights that come next (`kernels/token.cu`). [`plan`] turns a program into
//! these operations, without a GPU. Tokens of a prompt are computed many at a time, a kernel for each part (`kernels/prompt`). [`Weights`] holds what they read, [`Sequences`] what they change. Kernels are compiled by NVIDIA's runtime
//! compiler at first use and kept on disk ([`source`]).
//!
//! Driver and compiler are loaded when a [`Device`] is opened: a machine without them runs the same program.

mod device;
mod error;
mod memory;
mod op;
pub mod plan;
mod prompt;
mod sequences;
pub mod source;
mod weights;

pub use device::{Device, Properties};
pub use error::CudaError;
pub use plan::Plan;
pub use prompt::PROMPT_TOKENS;
pub use sequences::Sequences;
pub use weights::{Loading, Weights};
