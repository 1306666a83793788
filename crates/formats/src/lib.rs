//! Foreign model files: bytes that somebody else wrote come in, validated values go out.
//!
//! * [`gguf`]: the format that models run from. Read from a file, or made from something else.
//! * [`safetensors`]: checkpoints as they are published, one file or several.
//! * [`json`]: the documents beside a checkpoint.
//! * [`packed`]: our own: packed weights, kept on disk.
//! * [`MappedFile`]: the bytes of any other file of ours.
//!
//! Everything else in Sprag may trust what this crate returns. So each format has one parser, with checked
//! arithmetic throughout, an `attacks/` folder of hostile files, property tests and a fuzz target.
//!
//! This crate does not know what the values mean: which keys an architecture needs, or what a tensor is for,
//! is for `models` and `text` to say.

pub mod gguf;
pub mod json;
mod mmap;
pub mod packed;
pub mod safetensors;

pub use mmap::MappedFile;
