//! Models on an NVIDIA GPU.
//!
//! A token is one kernel: a block of threads for each multiprocessor goes through the token's operations and takes from the others what it needs,
//! while rings in its shared memory are filled with the weights that come next (`kernels/token.cu`). [`plan`] turns a program into
//! these operations, without a GPU. Tokens of a prompt, and one of each of several sequences, are computed
//! together, with a kernel for each part (`kernels/many`). [`Weights`] holds what they read, [`Sequences`] what they change. Kernels are compiled by NVIDIA's runtime
//! compiler at first use and kept on disk ([`source`]).
//!
//! Driver and compiler are loaded when a [`Device`] is opened: a machine without them runs the same program.

mod device;
mod error;
mod many;
mod memory;
mod op;
pub mod plan;
mod sequences;
pub mod source;
mod weights;

pub use device::{Device, Properties};
pub use error::CudaError;
pub use many::PROMPT_TOKENS;
pub use plan::Plan;
pub use sequences::Sequences;
pub use weights::{Loading, Weights};
