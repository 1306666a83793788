//! What must be moved and computed.

use serde::{Deserialize, Serialize};

/// What a regime must move and compute, per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// Weights, caches and state.
    pub streamed_bytes: f64,
    /// Activations, which stay in the caches.
    pub activation_bytes: f64,
    /// Operations.
    #[serde(flatten)]
    pub work: Work,
}

/// Operations of each kind, per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// On 8-bit integers.
    pub int8_ops: f64,
    /// On 16-bit integers.
    #[serde(default)]
    pub int16_ops: f64,
    /// On bfloat16.
    #[serde(default)]
    pub bf16_flops: f64,
    /// On f32.
    pub f32_flops: f64,
}

impl Work {
    /// Of all kinds.
    #[must_use]
    pub fn ops(&self) -> f64 {
        self.int8_ops + self.int16_ops + self.bf16_flops + self.f32_flops
    }

    /// That of so many tokens.
    #[must_use]
    pub fn times(self, tokens: f64) -> Self {
        Self {
            int8_ops: self.int8_ops * tokens,
            int16_ops: self.int16_ops * tokens,
            bf16_flops: self.bf16_flops * tokens,
            f32_flops: self.f32_flops * tokens,
        }
    }
}
