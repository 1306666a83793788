//! What each operation *is*: number types, a plain reference, a tolerance, its cost in bytes and operations.
//!
//! Nothing here is fast, and nothing here knows the fast code: a judge may depend on this crate.

pub mod dtype;

pub use dtype::Dtype;
