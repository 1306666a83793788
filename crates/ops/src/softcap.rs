//! Soft capping: `y = cap * tanh(x / cap)`, which bounds logits to +-cap and leaves small ones nearly unchanged (Gemma 2).
//!
//! # Shape
//! `x` and the result `(len)`.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// A hyperbolic tangent and two roundings.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Values.
    pub len: usize,
    /// The bound; positive.
    pub cap: f32,
}

/// One value, capped.
#[must_use]
pub fn softcap(x: f64, cap: f64) -> f64 {
    cap * (x / cap).tanh()
}

/// The capped values.
///
/// # Panics
/// When `x` does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32]) -> Vec<f64> {
    assert_eq!(x.len(), shape.len, "x must be (len)");
    x.iter()
        .map(|&x| softcap(f64::from(x), f64::from(shape.cap)))
        .collect()
}

/// Reads and writes each value once; two products and a hyperbolic tangent.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.len]);
    Cost {
        read_bytes: values,
        written_bytes: values,
        f32_flops: product(&[3, shape.len]),
        ..Cost::default()
    }
}

/// Logits and scores.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, len, cap| Case {
        name,
        shape: Shape { len, cap },
    };
    vec![
        case("one value", 1, 30.0),
        case("odd length", 37, 50.0),
        case("a slice of Gemma 2's logits", 4096, 30.0),
    ]
}

#[cfg(test)]
mod tests;
