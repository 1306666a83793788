//! Gated DeltaNet's output norm: `y = rms_norm(x) * w * silu(z)`, per head, where `silu(z) = z / (1 + exp(-z))`; in Kimi Delta
//! Attention the gate is `sigmoid(z) = 1 / (1 + exp(-z))`.
//!
//! The norm comes before the gate, and its weight is plain in every checkpoint and every GGUF file.
//!
//! # Shape
//! `x`, `z` and the result `(rows, width)`, a row per token and value head; `weight` `(width)`, shared by the heads.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu, rms_norm};

/// As [`rms_norm::TOLERANCE`], with an exponential.
pub const TOLERANCE: f64 = 3e-6;

/// What a gate goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `z * sigmoid(z)`.
    Silu,
    /// `sigmoid(z)`.
    Sigmoid,
}

impl Gate {
    fn of(self, z: f64) -> f64 {
        match self {
            Self::Silu => glu::silu(z),
            Self::Sigmoid => glu::sigmoid(z),
        }
    }
}

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows: tokens times value heads.
    pub rows: usize,
    /// Values in a row.
    pub width: usize,
    /// Added to the mean of the squares.
    pub eps: f32,
    /// What the gate goes through.
    pub gate: Gate,
}

/// The normalised and gated rows.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], z: &[f32], weight: &[f32]) -> Vec<f64> {
    let Shape {
        rows,
        width,
        eps,
        gate,
    } = *shape;
    assert_eq!(z.len(), rows * width, "z must be (rows, width)");
    let normed = rms_norm::reference(&rms_norm::Shape { rows, width, eps }, x, weight);
    normed
        .iter()
        .zip(z)
        .map(|(&y, &z)| y * gate.of(f64::from(z)))
        .collect()
}

/// Reads `x`, `z` and the weight once; a norm, a SiLU (4; a sigmoid is 3) and a product per value.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        rows, width, gate, ..
    } = *shape;
    let flops = match gate {
        Gate::Silu => 9,
        Gate::Sigmoid => 8,
    };
    let values = f32_bytes(&[rows, width]);
    Cost {
        read_bytes: values.saturating_mul(2).saturating_add(f32_bytes(&[width])),
        written_bytes: values,
        f32_flops: product(&[flops, rows, width]),
        ..Cost::default()
    }
}

/// Value heads of the hybrids, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, rows, width, gate| Case {
        name,
        shape: Shape {
            rows,
            width,
            eps: 1e-6,
            gate,
        },
    };
    vec![
        case("one value", 1, 1, Gate::Silu),
        case("odd width", 3, 21, Gate::Silu),
        case("Qwen3.5-0.8B, 1 token", 16, 128, Gate::Silu),
        case("Qwen3.5-27B, 3 tokens", 3 * 48, 128, Gate::Silu),
        case("Qwen3.5-0.8B, 65 tokens", 65 * 16, 128, Gate::Silu),
        case("odd width, sigmoid", 3, 21, Gate::Sigmoid),
        case("Kimi-Linear-48B-A3B, 2 tokens", 2 * 32, 128, Gate::Sigmoid),
    ]
}

#[cfg(test)]
mod tests;
