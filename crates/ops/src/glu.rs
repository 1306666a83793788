//! The gate of the feed-forward block: `y = act(gate) * up`. SwiGLU takes SiLU, Gemma's GeGLU the tanh form of GELU:
//!
//! ```text
//! silu(x) = x / (1 + exp(-x))
//! gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
//! ```
//!
//! The tanh form is the definition here, not an approximation: the models were trained with it. `1 + tanh(u)` cancels for large
//! negative u; the equal form `gelu(x) = x * sigmoid(2 u)` does not, and costs one exponential.
//!
//! # Shape
//! `gate`, `up` and the result `(tokens, width)`.
//!
//! # Source
//! Shazeer, *GLU Variants Improve Transformer*, 2020; Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// An exponential, a division and a few products.
pub const TOLERANCE: f64 = 2e-6;

/// Which function the gate goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The sigmoid-weighted linear unit.
    Silu,
    /// The Gaussian error linear unit in its tanh form.
    GeluTanh,
}

impl Activation {
    /// Its value at `x`.
    #[must_use]
    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Silu => silu(x),
            Self::GeluTanh => gelu(x),
        }
    }

    /// Operations per value, the product with `up` included: an exponential, a sum, a division and two products; or a cubic
    /// (5), a hyperbolic tangent, a sum and three products.
    const fn flops(self) -> usize {
        match self {
            Self::Silu => 5,
            Self::GeluTanh => 10,
        }
    }
}

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Through which the gate goes.
    pub activation: Activation,
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

/// The Gaussian error linear unit in its tanh form.
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
        .map(|(&gate, &up)| shape.activation.of(f64::from(gate)) * f64::from(up))
        .collect()
}

/// Reads both inputs once.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.tokens, shape.width]);
    Cost {
        read_bytes: values.saturating_mul(2),
        written_bytes: values,
        f32_flops: product(&[shape.activation.flops(), shape.tokens, shape.width]),
        ..Cost::default()
    }
}

/// Feed-forward sizes of real models, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, activation, tokens, width| Case {
        name,
        shape: Shape {
            activation,
            tokens,
            width,
        },
    };
    let mut cases = Vec::new();
    for activation in [Activation::Silu, Activation::GeluTanh] {
        cases.push(case("one value", activation, 1, 1));
        cases.push(case("odd width", activation, 3, 37));
    }
    cases.extend([
        case("SmolLM2-135M", Activation::Silu, 1, 1536),
        case("Qwen3.5-0.8B, 7 tokens", Activation::Silu, 7, 3584),
        case("SmolLM2-135M, 65 tokens", Activation::Silu, 65, 1536),
        case("Gemma-3-270M", Activation::GeluTanh, 1, 2048),
        case("Gemma-3-1B, 7 tokens", Activation::GeluTanh, 7, 6912),
        case("Gemma-3-270M, 65 tokens", Activation::GeluTanh, 65, 2048),
    ]);
    cases
}

#[cfg(test)]
mod tests;
