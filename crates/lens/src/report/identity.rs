//! What ran: the model and the runtime profile, as data.

use kernels::FloatProducts;
use serde::{Deserialize, Serialize};

/// What the model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// `general.name`, or the file's name.
    pub name: String,
    /// `general.architecture`.
    pub architecture: String,
    /// File, where it has one.
    pub file: Option<String>,
    /// Size of the file.
    pub file_bytes: u64,
    /// Weights.
    pub parameters: u64,
    /// Decoder layers.
    pub layers: usize,
    /// Formats with the bytes packed in each, largest first.
    pub formats: Vec<Format>,
}

/// Packed weights of one format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Format {
    /// In the field's spelling.
    pub name: String,
    /// As packed in memory.
    pub bytes: u64,
}

/// The runtime profile that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Threads.
    pub threads: usize,
    /// Instruction set.
    pub isa: String,
    /// Tokens per pass of a prefill.
    pub prefill_chunk: usize,
    /// Tokens that share a pass over a weight panel.
    pub matmul_tile: usize,
    /// Kind of product over many tokens.
    pub matmul_variant: String,
    /// What products with BF16 weights multiply.
    #[serde(default = "f32_products")]
    pub float_products: String,
    /// Streams of weights that a thread reads side by side in a one-token product.
    pub matvec_streams: usize,
    /// Bytes ahead that each of them prefetches.
    pub prefetch_bytes: usize,
    /// Query rows that share a pass over keys and values.
    pub attention_tile: usize,
    /// Precision of the KV cache.
    pub kv_type: String,
    /// Pages of weights, keys and values.
    pub pages: String,
}

/// What reports of an earlier version do not say.
fn f32_products() -> String {
    FloatProducts::F32.name().to_owned()
}
