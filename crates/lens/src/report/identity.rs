//! What ran: the model and the runtime profile, as data.

use kernels::{BarrierStyle, FloatProducts, Pinning};
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
    /// Which processors they are bound to.
    #[serde(default = "no_pinning")]
    pub pinning: String,
    /// What they do while they wait for each other.
    #[serde(default = "default_barrier")]
    pub barrier: String,
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
    /// Roles whose products do otherwise; none where all do the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleProducts>,
    /// Query rows that share a pass over keys and values.
    pub attention_tile: usize,
    /// Precision of the KV cache.
    pub kv_type: String,
    /// Pages of weights, keys and values.
    pub pages: String,
}

/// What products of one role do otherwise than the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleProducts {
    /// The role.
    pub role: String,
    /// As [`Profile::matmul_tile`].
    pub matmul_tile: usize,
    /// As [`Profile::matvec_streams`].
    pub matvec_streams: usize,
    /// As [`Profile::prefetch_bytes`].
    pub prefetch_bytes: usize,
}

impl Profile {
    /// What roles do otherwise, in words.
    #[must_use]
    pub fn roles_in_words(&self) -> String {
        if self.roles.is_empty() {
            return "all alike".to_owned();
        }
        let words: Vec<String> = self
            .roles
            .iter()
            .map(|r| {
                format!(
                    "{}: tile {}, {} streams, {} B prefetched",
                    r.role, r.matmul_tile, r.matvec_streams, r.prefetch_bytes
                )
            })
            .collect();
        words.join("; ")
    }
}

/// What reports of an earlier version do not say: it was so in all of them.
fn no_pinning() -> String {
    Pinning::None.name().to_owned()
}

/// As [`no_pinning`].
fn default_barrier() -> String {
    BarrierStyle::Yield.name().to_owned()
}

/// What reports of an earlier version do not say.
fn f32_products() -> String {
    FloatProducts::F32.name().to_owned()
}
