//! What training needs: each operation's forward pass that keeps what its backward pass reads, and the backward pass beside it.
//!
//! Functions here are safe and take slices: activations are matrices of whole f32 rows, one behind the other, a token a row. Each checks its
//! slices and panics where they do not fit: whoever composes a model checks shapes first, with names (crate `train`). A gradient that several
//! consumers add to is written by the first ([`Into::Set`]) and added to by the others ([`Into::Add`]).
//!
//! Sums over tokens are made over fixed pieces of them, in order, so that the number of threads changes no bit.

mod adamw;
mod attention;
mod causal_conv;
mod cross_entropy;
mod delta_gates;
mod embed;
mod gated_delta;
mod gated_norm;
mod gemm;
mod l2_norm;
mod machine;
mod pointwise;
mod product;
mod rms_norm;
mod rope;
mod shared;
#[cfg(test)]
mod tests;

pub use adamw::{AdamW, adamw, sum_of_squares};
pub use attention::{AttentionKept, AttentionShape, attention, attention_backward};
pub use causal_conv::{ConvolutionShape, causal_conv, causal_conv_backward};
pub use cross_entropy::{Gradients, IGNORED, Prediction, cross_entropy, cross_entropy_logits};
pub use delta_gates::{DeltaGates, delta_gates, delta_gates_backward, delta_gates_scratch};
pub use embed::{embed, embed_backward};
pub use gated_delta::{GatedDelta, GatedDeltaShape, gated_delta, gated_delta_backward};
pub use gated_norm::{GatedNormKept, gated_norm, gated_norm_backward, gated_norm_scratch};
pub use gemm::{Matrix, MatrixMut, Precision, gemm};
pub use l2_norm::{L2Norm, l2_norm, l2_norm_backward};
pub use machine::{Machine, NoMachine};
pub use pointwise::{
    add, scale, scale_in_place, sigmoid_gate, sigmoid_gate_backward, squared_relu,
    squared_relu_backward, swiglu, swiglu_backward,
};
pub use rms_norm::{Kept, rms_norm, rms_norm_backward, rms_norm_scratch};
pub use rope::{Angles, Turn, rope};

/// What becomes of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// It is written over what was there.
    Set,
    /// It is added.
    Add,
}
