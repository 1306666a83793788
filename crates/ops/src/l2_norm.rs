//! Scaled unit vectors: `y = x / sqrt(sum(x^2) + eps) * scale`, per row.
//!
//! Gated DeltaNet normalises each key head with scale 1 and each query head with scale `1 / sqrt(head_dim)`. Unlike
//! [`rms_norm`](crate::rms_norm) it divides by the norm, not by the root of the mean, and has no weight.
//!
//! # Shape
//! `x` and the result `(rows, width)`, a row per token and head.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// One f32 sum over a row, and two roundings.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows: tokens times heads.
    pub rows: usize,
    /// Values in a row.
    pub width: usize,
    /// Added to the sum of the squares.
    pub eps: f32,
    /// The norm of the result.
    pub scale: f32,
}

/// The normalised rows.
///
/// # Panics
/// When `x` does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32]) -> Vec<f64> {
    let Shape {
        rows,
        width,
        eps,
        scale,
    } = *shape;
    assert_eq!(x.len(), rows * width, "x must be (rows, width)");
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(width) {
        let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let factor = f64::from(scale) / (squares + f64::from(eps)).sqrt();
        y.extend(row.iter().map(|&x| f64::from(x) * factor));
    }
    y
}

/// Reads and writes each value once; squares, sums and scales it.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.rows, shape.width]);
    Cost {
        read_bytes: values,
        written_bytes: values,
        f32_flops: product(&[3, shape.rows, shape.width]),
        ..Cost::default()
    }
}

/// Gated DeltaNet's heads, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, rows, width, scale| Case {
        name,
        shape: Shape {
            rows,
            width,
            eps: 1e-6,
            scale,
        },
    };
    // 1 / sqrt(128)
    let query = 0.088_388_35;
    vec![
        case("one value", 1, 1, 1.0),
        case("odd width", 5, 19, 0.5),
        case("Qwen3.5 key heads, 1 token", 16, 128, 1.0),
        case("Qwen3.5 query heads, 65 tokens", 65 * 16, 128, query),
    ]
}

#[cfg(test)]
mod tests;
