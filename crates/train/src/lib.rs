//! Small language models trained natively: a graph of operations with explicit backward passes, optimisers, data, checkpoints.
//!
//! A reader's order: [`graph`] (how a model is written down), [`plan`](crate::Program) (where its intermediate results lie), [`program`] (how
//! it runs), [`model`] (the declared family), [`optimiser`], [`trainer`] (a run), [`checkpoint`] and [`export`] (what stays of it). A program that is a track's candidate
//! gets its text by [`feed`] and hands its model over by [`model_file`].

pub mod checkpoint;
pub mod export;
pub mod feed;
pub mod graph;
pub mod model;
pub mod model_file;
pub mod optimiser;
mod plan;
pub mod program;
pub mod trainer;
pub mod weights;

pub use corpus::{BytePairs, Encoder, SEPARATOR, Tokenizer, TokenizerError};
pub use graph::{Batch, DeltaHeads, Graph, GraphError, Heads, Initial, Parameter, Role, Var};
pub use kernels::training::{Into, Machine, Precision};
pub use model::{Configuration, Mixer, Mlp};
pub use program::{Program, ProgramError};
pub use trainer::{Budget, Settings, TrainError, Trainer};
pub use weights::Weights;
