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
//! Kimi Delta Attention has an alpha for each key channel of a head, with a bias of its own; the rate stays the head's.
//!
//! # Shape
//! `b` and beta `(tokens, value_heads)`; `a` and alpha `(tokens, value_heads, channels)`; `decay_rate` `(value_heads)`; `dt_bias`
//! `(value_heads, channels)`.

pub mod backward;

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
    /// Decays of a head: 1, or one for each key channel.
    pub channels: usize,
}

/// Both gates.
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
        channels,
    } = *shape;
    let decays = value_heads * channels;
    assert_eq!(
        a.len(),
        tokens * decays,
        "a must be (tokens, value_heads, channels)"
    );
    assert_eq!(
        b.len(),
        tokens * value_heads,
        "b must be (tokens, value_heads)"
    );
    assert_eq!(
        (decay_rate.len(), dt_bias.len()),
        (value_heads, decays),
        "decay_rate must be (value_heads) and dt_bias (value_heads, channels)"
    );
    let alpha = a.iter().enumerate().map(|(i, &a)| {
        let (rate, bias) = (decay_rate[i % decays / channels], dt_bias[i % decays]);
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
        channels,
    } = *shape;
    let gates = f32_bytes(&[1 + channels, tokens, value_heads]);
    let alphas = product(&[6, tokens, value_heads, channels]);
    Cost {
        read_bytes: gates.saturating_add(f32_bytes(&[1 + channels, value_heads])),
        written_bytes: gates,
        f32_flops: alphas.saturating_add(product(&[3, tokens, value_heads])),
        ..Cost::default()
    }
}

/// The hybrids' value heads.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, value_heads, channels| Case {
        name,
        shape: Shape {
            tokens,
            value_heads,
            channels,
        },
    };
    vec![
        case("one head", 1, 1, 1),
        case("Qwen3.5-0.8B, 1 token", 1, 16, 1),
        case("Qwen3.5-27B, 65 tokens", 65, 48, 1),
        case("odd channels", 3, 2, 19),
        case("Kimi-Linear-48B-A3B, 2 tokens", 2, 32, 128),
    ]
}

#[cfg(test)]
mod tests;
