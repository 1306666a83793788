//! Models: a file's metadata and tensors in, a checked [`kernels::program::Program`] out.
//!
//! A checkpoint in safetensors is seen as such a file too ([`checkpoint`]).
//!
//! An architecture ([`arch`]) is a list of blocks ([`blocks`]); a block adds nodes and takes the weights that they read through
//! the [`load::Loader`]. Each block is written once: no rotary embedding, no feed-forward layer exists twice. The same code
//! builds a program with its weights ([`Model::load`]) or without ([`Model::describe`], for costs and memory from the header
//! alone), so what `inspect` says is what runs.

mod arch;
mod blocks;
pub mod checkpoint;
mod config;
mod error;
mod load;
mod model;
mod random;
mod rope;

pub use config::Config;
pub use error::ModelError;
pub use load::{Matrices, NotTaken, RowMap};
pub use model::{Footprint, Model, Placement, TensorGroup};
pub use random::{RandomError, random};
pub use rope::Yarn;
