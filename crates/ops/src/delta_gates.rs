//! Gated DeltaNet's two gates per token and value head, from the projections `a` and `b`:
//!
//! ```text
//! alpha = exp(decay_rate * softplus(a + dt_bias))        how much of the state stays, 0..=1
//! beta  = sigmoid(b)                                     how much of the new value is written, 0..=1
//! ```
//!
//! `decay_rate` is the GGUF tensor `ssm_a`, which is `-exp(A_log)` already. `softplus(x) = ln(1 + exp(x))`, and x itself above
//! 20, as in the checkpoints' code (the two differ by 2e-9 there).
//!
//! # Shape
//! `a`, `b`, alpha and beta `(tokens, value_heads)`; `decay_rate` and `dt_bias` `(value_heads)`.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu};

/// Two exponentials and a logarithm, whose errors the outer exponential scales by at most the exponent.
pub const TOLERANCE: f64 = 5e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens.
    pub tokens: usize,
    /// Value heads.
    pub value_heads: usize,
}

/// Both gates, each `(tokens, value_heads)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// What stays of the state.
    pub alpha: Vec<f64>,
    /// What is written of the new value.
    pub beta: Vec<f64>,
}

/// `ln(1 + exp(x))`, linear above 20.
#[must_use]
pub fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// The gates.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(
    shape: &Shape,
    a: &[f32],
    b: &[f32],
    decay_rate: &[f32],
    dt_bias: &[f32],
) -> Gates {
    let Shape {
        tokens,
        value_heads,
    } = *shape;
    assert_eq!(
        a.len(),
        tokens * value_heads,
        "a must be (tokens, value_heads)"
    );
    assert_eq!(b.len(), a.len(), "b must be (tokens, value_heads)");
    assert_eq!(
        (decay_rate.len(), dt_bias.len()),
        (value_heads, value_heads),
        "decay_rate and dt_bias must be (value_heads)"
    );
    let per_head = decay_rate.iter().zip(dt_bias).cycle();
    let alpha = a.iter().zip(per_head).map(|(&a, (&rate, &bias))| {
        (f64::from(rate) * softplus(f64::from(a) + f64::from(bias))).exp()
    });
    Gates {
        alpha: alpha.collect(),
        beta: b.iter().map(|&b| glu::sigmoid(f64::from(b))).collect(),
    }
}

/// Reads both projections and both vectors once; 6 flops for alpha and 3 for beta.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        value_heads,
    } = *shape;
    let gates = f32_bytes(&[2, tokens, value_heads]);
    Cost {
        read_bytes: gates.saturating_add(f32_bytes(&[2, value_heads])),
        written_bytes: gates,
        f32_flops: product(&[9, tokens, value_heads]),
        int8_ops: 0,
    }
}

/// The hybrids' value heads.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, value_heads| Case {
        name,
        shape: Shape {
            tokens,
            value_heads,
        },
    };
    vec![
        case("one head", 1, 1),
        case("Qwen3.5-0.8B, 1 token", 1, 16),
        case("Qwen3.5-27B, 65 tokens", 65, 48),
    ]
}

#[cfg(test)]
mod tests;
