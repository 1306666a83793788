//! What a token moves, by kind, as data.

use serde::{Deserialize, Serialize};

use super::Work;

/// What one token of decode moves and holds behind some others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Tokens before it.
    pub depth: usize,
    /// Weights read; of experts those that a token takes.
    pub weight_bytes: u64,
    /// Keys and values read.
    pub kv_bytes: u64,
    /// Recurrent state, read and written.
    pub state_bytes: u64,
    /// Activations, read and written, which stay in the caches.
    pub activation_bytes: u64,
    /// Operations.
    #[serde(flatten)]
    pub work: Work,
    /// Keys, values and state that a sequence of this length holds in memory.
    pub held_bytes: u64,
    /// What the measured silicon needs for it, at the bandwidth of the report's decode.
    pub silicon_ms: f64,
}

/// A number format of the weights, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormatCost {
    /// In the field's spelling.
    pub name: String,
    /// Bits that its name promises for a weight.
    pub nominal_bits: f64,
    /// Bits that a weight takes as packed in memory, its share of scales included.
    pub bits: f64,
    /// Weights stored in it.
    pub weights: u64,
    /// Bytes of it that a token reads.
    pub streamed_bytes: f64,
    /// Kernels of the parts that read it most, each alone; `None` where there is no such part.
    pub kernel_ms: Option<f64>,
    /// What the silicon needs for the same parts. The difference is what unpacking costs, and whatever else the kernels lose.
    pub silicon_ms: Option<f64>,
}

/// The same model in another format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherFormat {
    /// In the field's spelling.
    pub name: String,
    /// Bytes that a token would read.
    pub streamed_bytes: f64,
    /// What that takes at the bandwidth of the report's decode. It is larger than it will be where fewer bytes fit a cache, and smaller where
    /// more do not.
    pub silicon_ms: f64,
}

/// The same model with full attention in each of its layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    /// Layers that would change.
    pub layers: usize,
    /// What they would become.
    pub how: String,
    /// At the same depths as the model's own.
    pub traffic: Vec<Traffic>,
}

/// Parameters times bits against bytes and operations really moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// Weights times the bits that the name of the commonest format promises, in bytes.
    pub nominal_bytes: f64,
    /// By rising depth.
    pub traffic: Vec<Traffic>,
    /// Largest first.
    pub formats: Vec<FormatCost>,
    /// For comparison.
    pub other_formats: Vec<OtherFormat>,
    /// Of a model that has other layers than full attention.
    pub twin: Option<Twin>,
}
