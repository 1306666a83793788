//! Gemma's gate of the feed-forward block: `y = gelu(gate) * up`, with the tanh approximation of GELU:
//!
//! ```text
//! gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
//! ```
//!
//! The approximation is the definition here: the models were trained with it. `1 + tanh(u)` cancels for large negative u; the equal
//! form `gelu(x) = x * sigmoid(2 u)` does not, and costs one exponential.
//!
//! # Shape
//! `gate`, `up` and the result `(tokens, width)`.
//!
//! # Source
//! Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// A hyperbolic tangent (or an exponential) and a few products.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows.
    pub tokens: usize,
    /// Values in a row: the feed-forward size.
    pub width: usize,
}

/// The Gaussian error linear unit in its tanh approximation.
#[must_use]
pub fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    x / 2.0 * (1.0 + inner.tanh())
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
        .map(|(&gate, &up)| gelu(f64::from(gate)) * f64::from(up))
        .collect()
}

/// Reads both inputs once; a cubic (5), a hyperbolic tangent, a sum and three products per value.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.tokens, shape.width]);
    Cost {
        read_bytes: values.saturating_mul(2),
        written_bytes: values,
        f32_flops: product(&[10, shape.tokens, shape.width]),
        int8_ops: 0,
    }
}

/// Gemma's feed-forward sizes, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, width| Case {
        name,
        shape: Shape { tokens, width },
    };
    vec![
        case("one value", 1, 1),
        case("odd width", 3, 37),
        case("Gemma-3-270M", 1, 2048),
        case("Gemma-3-1B, 7 tokens", 7, 6912),
        case("Gemma-3-270M, 65 tokens", 65, 2048),
    ]
}

#[cfg(test)]
mod tests;
