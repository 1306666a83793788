//! The gate of the feed-forward block: `y = silu(gate) * up`, where `silu(x) = x / (1 + exp(-x))`.
//!
//! # Shape
//! `gate`, `up` and the result `(tokens, width)`.
//!
//! # Source
//! Shazeer, *GLU Variants Improve Transformer*, 2020.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// An exponential, a division and two products.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows.
    pub tokens: usize,
    /// Values in a row: the feed-forward size.
    pub width: usize,
}

/// The sigmoid-weighted linear unit, exact at both ends: -0.0 far below zero and `x` far above.
#[must_use]
pub fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// `1 / (1 + exp(-x))`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The gated values.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, gate: &[f32], up: &[f32]) -> Vec<f64> {
    assert_eq!(
        gate.len(),
        shape.tokens * shape.width,
        "gate must be (tokens, width)"
    );
    assert_eq!(up.len(), gate.len(), "up must be (tokens, width)");
    gate.iter()
        .zip(up)
        .map(|(&gate, &up)| silu(f64::from(gate)) * f64::from(up))
        .collect()
}

/// Reads both inputs once; an exponential, a sum, a division and two products per value.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.tokens, shape.width]);
    Cost {
        read_bytes: values.saturating_mul(2),
        written_bytes: values,
        f32_flops: product(&[5, shape.tokens, shape.width]),
        int8_ops: 0,
    }
}

/// Feed-forward sizes, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, width| Case {
        name,
        shape: Shape { tokens, width },
    };
    vec![
        case("one value", 1, 1),
        case("odd width", 3, 37),
        case("SmolLM2-135M", 1, 1536),
        case("Qwen3.5-0.8B, 7 tokens", 7, 3584),
        case("SmolLM2-135M, 65 tokens", 65, 1536),
    ]
}

#[cfg(test)]
mod tests;
