//! Layer normalisation: `y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`, over each `width` columns of a row.
//!
//! The variance is the mean squared distance from the mean. With one group this is the norm over a row; with a group per head it is
//! the *group norm* over heads, where each head has a mean and a variance of its own, and its own part of the weights.
//!
//! # Shape
//! `x` and the result `(rows, groups, width)`; `weight` and `bias` `(groups, width)`.
//!
//! # Source
//! Ba, Kiros and Hinton, *Layer Normalization*, 2016; Wu and He, *Group Normalization*, 2018.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Two f32 sums over a row, and five roundings, of values whose mean is no larger than their spread.
pub const TOLERANCE: f64 = 3e-6;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows: tokens.
    pub rows: usize,
    /// Groups of columns that are normalised apart: 1, or heads.
    pub groups: usize,
    /// Values in a group.
    pub width: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// The normalised rows.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let Shape {
        rows,
        groups,
        width,
        eps,
    } = *shape;
    assert_eq!(
        x.len(),
        rows * groups * width,
        "x must be (rows, groups, width)"
    );
    assert_eq!(
        (weight.len(), bias.len()),
        (groups * width, groups * width),
        "weight and bias must be (groups, width)"
    );
    let affine = weight
        .chunks_exact(width)
        .zip(bias.chunks_exact(width))
        .cycle();
    let mut y = Vec::with_capacity(x.len());
    for (x, (weight, bias)) in x.chunks_exact(width).zip(affine) {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
        let squares: f64 = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        let inverse = 1.0 / (squares / width as f64 + f64::from(eps)).sqrt();
        y.extend(
            x.iter().zip(weight).zip(bias).map(|((&x, &w), &b)| {
                (f64::from(x) - mean) * inverse * f64::from(w) + f64::from(b)
            }),
        );
    }
    y
}

/// Reads `x`, the weight and the bias once; per value two sums, a distance, a square, a scale, a product and a sum.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        rows,
        groups,
        width,
        ..
    } = *shape;
    let values = f32_bytes(&[rows, groups, width]);
    Cost {
        read_bytes: values.saturating_add(f32_bytes(&[2, groups, width])),
        written_bytes: values,
        f32_flops: product(&[7, rows, groups, width]),
        ..Cost::default()
    }
}

/// Hidden sizes, heads, and groups that are no multiple of 16.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, rows, groups, width, eps| Case {
        name,
        shape: Shape {
            rows,
            groups,
            width,
            eps,
        },
    };
    vec![
        case("one value", 1, 1, 1, 1e-5),
        case("odd width", 3, 1, 37, 1e-5),
        case("odd groups", 2, 3, 19, 1e-3),
        case("RWKV-7-0.1B hidden", 1, 1, 768, 1e-5),
        case("RWKV-7-0.1B heads, 9 tokens", 9, 12, 64, 64e-5),
        case("RWKV-7-1.5B hidden, 65 tokens", 65, 1, 2048, 1e-5),
        case("RWKV-7-2.9B heads", 1, 40, 64, 64e-5),
    ]
}

#[cfg(test)]
mod tests;
