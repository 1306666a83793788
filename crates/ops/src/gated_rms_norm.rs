//! Gated DeltaNet's output norm: `y = rms_norm(x) * w * silu(z)`, per head, where `silu(z) = z / (1 + exp(-z))`.
//!
//! The norm comes before the gate, and its weight is plain in every checkpoint and every GGUF file.
//!
//! # Shape
//! `x`, `z` and the result `(rows, width)`, a row per token and value head; `weight` `(width)`, shared by the heads.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu, rms_norm};

/// As [`rms_norm::TOLERANCE`], with an exponential.
pub const TOLERANCE: f64 = 3e-6;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows: tokens times value heads.
    pub rows: usize,
    /// Values in a row.
    pub width: usize,
    /// Added to the mean of the squares.
    pub eps: f32,
}

/// The normalised and gated rows.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], z: &[f32], weight: &[f32]) -> Vec<f64> {
    let Shape { rows, width, eps } = *shape;
    assert_eq!(z.len(), rows * width, "z must be (rows, width)");
    let normed = rms_norm::reference(&rms_norm::Shape { rows, width, eps }, x, weight);
    normed
        .iter()
        .zip(z)
        .map(|(&y, &z)| y * glu::silu(f64::from(z)))
        .collect()
}

/// Reads `x`, `z` and the weight once; a norm, a SiLU (4) and a product per value.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape { rows, width, .. } = *shape;
    let values = f32_bytes(&[rows, width]);
    Cost {
        read_bytes: values.saturating_mul(2).saturating_add(f32_bytes(&[width])),
        written_bytes: values,
        f32_flops: product(&[9, rows, width]),
        int8_ops: 0,
    }
}

/// Value heads of the hybrids, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, rows, width| Case {
        name,
        shape: Shape {
            rows,
            width,
            eps: 1e-6,
        },
    };
    vec![
        case("one value", 1, 1),
        case("odd width", 3, 21),
        case("Qwen3.5-0.8B, 1 token", 16, 128),
        case("Qwen3.5-27B, 3 tokens", 3 * 48, 128),
        case("Qwen3.5-0.8B, 65 tokens", 65 * 16, 128),
    ]
}

#[cfg(test)]
mod tests;
