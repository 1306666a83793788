//! What each operation *is*: number types, a plain reference, a tolerance, its cost in bytes and operations.
//!
//! Nothing here is fast, and nothing here knows the fast code: a judge may depend on this crate.
//!
//! Every operation is one module with the same five parts:
//!
//! 1. a head that states the arithmetic and the shapes;
//! 2. `Shape`, the dimensions and constants of one call;
//! 3. `reference`, naive code over f32 slices that computes in f64;
//! 4. `TOLERANCE`, the [`relative_error`] up to which a fast version counts as correct (compare with `<=`, so that NaN fails);
//! 5. `cost(&Shape)`, what the call must move and compute, and `cases()`, the table that tests, timings and support lists share.
//!
//! What training needs has its derivative beside it: `<op>::backward` has `reference`, which takes the forward's inputs and the gradient
//! of a loss with respect to its output, and returns `Gradients`, one for each input. Each is compared with finite differences of the
//! forward, element by element. [`cross_entropy`] is where such gradients begin, [`adamw`] and [`muon`] are where they end.
//!
//! Slices are row-major with the last named dimension contiguous: `(tokens, heads, head_dim)` keeps a head's values together.
//! References panic when a slice does not fit its shape: that is a mistake of the calling code, never of a file.
//! Only bytes and values that come from files ([`dequantize`], [`encode`], and what builds on them) are answered with typed errors.

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod causal_conv;
pub mod cost;
pub mod cross_entropy;
pub mod delta_gates;
pub mod dequantize;
pub mod dtype;
pub mod embed;
pub mod encode;
pub mod error;
#[cfg(test)]
mod finite_differences;
pub mod gated_delta;
pub mod gated_rms_norm;
pub mod glu;
pub mod input;
pub mod l2_norm;
pub mod layer_norm;
pub mod log_sum_exp;
pub mod mamba2;
pub mod matmul;
pub mod mix;
pub mod muon;
pub mod pointwise;
pub mod quantize;
pub mod rg_lru;
pub mod rms_norm;
pub mod rope;
pub mod route;
pub mod softcap;
pub mod time_steps;
pub mod token_shift;
pub mod wkv7;
pub mod wkv7_gates;
pub mod wkv7_output;

pub use cost::Cost;
pub use dtype::Dtype;
pub use error::relative_error;

/// One line of an operation's case table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case<S> {
    /// Where the shape comes from: a model's tensor, or the edge that it probes.
    pub name: &'static str,
    /// The call.
    pub shape: S,
}
