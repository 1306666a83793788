//! Root-mean-square normalisation: `y = x / sqrt(mean(x^2) + eps) * w`, per row.
//!
//! The weight is plain: conversion to GGUF has added the 1 of models that store `w - 1` (Gemma, Qwen3.5), so it is never added
//! here. Per-head norms are the same operation with a row per head.
//!
//! # Shape
//! `x` and the result `(rows, width)`; `weight` `(width)`.
//!
//! # Source
//! Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// One f32 sum over a row, and three roundings.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows: tokens, or tokens times heads.
    pub rows: usize,
    /// Values in a row.
    pub width: usize,
    /// Added to the mean of the squares.
    pub eps: f32,
}

/// The normalised rows.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], weight: &[f32]) -> Vec<f64> {
    let Shape { rows, width, eps } = *shape;
    assert_eq!(x.len(), rows * width, "x must be (rows, width)");
    assert_eq!(weight.len(), width, "weight must be (width)");
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(width) {
        let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let inverse = 1.0 / (squares / width as f64 + f64::from(eps)).sqrt();
        y.extend(
            row.iter()
                .zip(weight)
                .map(|(&x, &w)| f64::from(x) * inverse * f64::from(w)),
        );
    }
    y
}

/// Reads `x` and the weight once; squares, sums, scales and multiplies each value.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape { rows, width, .. } = *shape;
    let values = f32_bytes(&[rows, width]);
    Cost {
        read_bytes: values.saturating_add(f32_bytes(&[width])),
        written_bytes: values,
        f32_flops: product(&[4, rows, width]),
        ..Cost::default()
    }
}

/// Hidden sizes, head sizes, and rows that are no multiple of 16.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, rows, width, eps| Case {
        name,
        shape: Shape { rows, width, eps },
    };
    vec![
        case("one value", 1, 1, 1e-5),
        case("odd width", 3, 37, 1e-6),
        case("SmolLM2-135M hidden", 1, 576, 1e-5),
        case("SmolLM2-135M hidden, 65 tokens", 65, 576, 1e-5),
        case("Gemma-3-270M hidden", 7, 640, 1e-6),
        case("Qwen3.5 heads, 3 tokens", 24, 256, 1e-6),
        case("Qwen3.5-27B hidden", 2, 5120, 1e-6),
    ]
}

#[cfg(test)]
mod tests;
