//! The logarithm of a softmax's denominator: `y = ln sum_i exp(x_i)`, by which a logit becomes a log-probability.
//!
//! # Shape
//! `x (len)`; the result is one number.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Of the sum: exponentials and sums of a few hundred of them in f32.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Values.
    pub len: usize,
}

/// The logarithm; NaN where a value is NaN or the largest is not finite; minus infinity of nothing.
///
/// # Panics
/// When `x` does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32]) -> f64 {
    assert_eq!(x.len(), shape.len, "x must be (len)");
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |&x: &f32| (f64::from(x) - f64::from(largest)).exp();
    f64::from(largest) + x.iter().map(above).sum::<f64>().ln()
}

/// Reads each value once; a comparison, a difference, an exponential and a sum.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    Cost {
        read_bytes: f32_bytes(&[shape.len]),
        written_bytes: f32_bytes(&[1]),
        f32_flops: product(&[4, shape.len]),
        ..Cost::default()
    }
}

/// Vocabularies, and what fills no vector.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, len| Case {
        name,
        shape: Shape { len },
    };
    vec![
        case("one value", 1),
        case("less than a vector", 15),
        case("a vector and one", 17),
        case("SmolLM2's vocabulary", 49_152),
        case("Qwen3.5's vocabulary and a rest", 248_320 + 5),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_values_and_of_none() {
        let y = reference(&Shape { len: 4 }, &[1000.0; 4]);
        assert!((y - (1000.0 + 4f64.ln())).abs() <= 1e-12);
        let y = reference(&Shape { len: 2 }, &[f32::NEG_INFINITY, 3.0]);
        assert!((y - 3.0).abs() <= f64::EPSILON);
        for bad in [
            [f32::NAN, 1.0],
            [f32::INFINITY, 1.0],
            [f32::NEG_INFINITY; 2],
        ] {
            assert!(reference(&Shape { len: 2 }, &bad).is_nan());
        }
        assert!(reference(&Shape { len: 0 }, &[]) < f64::MIN);
    }

    #[test]
    fn costs_by_hand() {
        let cost = cost(&Shape { len: 5 });
        assert_eq!(
            (cost.read_bytes, cost.written_bytes, cost.f32_flops),
            (20, 4, 20)
        );
    }
}
