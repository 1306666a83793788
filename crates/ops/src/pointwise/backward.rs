//! One function over every value, backwards: `dx = dy * f'(x)`.
//!
//! ```text
//! tanh(x)            1 - tanh(x)^2
//! sigmoid(x)         sigmoid(x) * (1 - sigmoid(x))
//! relu(x)^2          2 x above zero, and 0 below and at it
//! cap tanh(x / cap)  1 - tanh(x / cap)^2
//! ```
//!
//! # Shape
//! `x`, `dy` and the result `(tokens, width)`.

use super::{Function, Shape};
use crate::glu;

/// Of a loss with respect to the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, width)`.
    pub x: Vec<f64>,
}

impl Function {
    /// Its derivative at `x`.
    #[must_use]
    pub fn slope(self, x: f64) -> f64 {
        match self {
            Self::Tanh => 1.0 - x.tanh().powi(2),
            Self::Sigmoid => glu::backward::sigmoid_slope(x),
            // Not `max`, which would take 0 for NaN.
            Self::SquaredRelu if x < 0.0 => 0.0,
            Self::SquaredRelu => 2.0 * x,
            Self::SoftCap(cap) => 1.0 - (x / f64::from(cap)).tanh().powi(2),
        }
    }
}

/// The values' gradient.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], dy: &[f32]) -> Gradients {
    assert_eq!(
        x.len(),
        shape.tokens * shape.width,
        "x must be (tokens, width)"
    );
    assert_eq!(dy.len(), x.len(), "dy must be (tokens, width)");
    Gradients {
        x: x.iter()
            .zip(dy)
            .map(|(&x, &dy)| f64::from(dy) * shape.function.slope(f64::from(x)))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
