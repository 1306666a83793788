//! The gated output norm backwards.
//!
//! With `u = rms_norm(x) * w` and `y = u * act(z)`:
//!
//! ```text
//! du = dy * act(z)         which the norm's own backward takes on to x and w
//! dz = dy * u * act'(z)
//! ```
//!
//! # Shape
//! `x`, `z`, `dy` and their gradients `(rows, width)`; `weight` and its gradient `(width)`, summed over the rows.

use super::{Gate, Shape};
use crate::{glu, rms_norm};

/// Of a loss with respect to the values, the gates and the weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(rows, width)`.
    pub x: Vec<f64>,
    /// `(rows, width)`.
    pub z: Vec<f64>,
    /// `(width)`, summed over the rows.
    pub weight: Vec<f64>,
}

impl Gate {
    /// Its derivative at `z`.
    fn slope(self, z: f64) -> f64 {
        match self {
            Self::Silu => glu::backward::silu_slope(z),
            Self::Sigmoid => glu::backward::sigmoid_slope(z),
        }
    }
}

/// The gradients of the values, the gates and the weight.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], z: &[f32], weight: &[f32], dy: &[f32]) -> Gradients {
    let Shape {
        rows,
        width,
        eps,
        gate,
    } = *shape;
    assert_eq!(z.len(), rows * width, "z must be (rows, width)");
    assert_eq!(dy.len(), z.len(), "dy must be (rows, width)");
    let norm = rms_norm::Shape { rows, width, eps };
    let normed = rms_norm::reference(&norm, x, weight);
    let pairs = || {
        dy.iter()
            .zip(z)
            .map(|(&dy, &z)| (f64::from(dy), f64::from(z)))
    };
    let through: Vec<f64> = pairs().map(|(dy, z)| dy * gate.of(z)).collect();
    let inner = rms_norm::backward::in_f64(&norm, x, weight, &through);
    Gradients {
        x: inner.x,
        z: pairs()
            .zip(normed)
            .map(|((dy, z), u)| dy * u * gate.slope(z))
            .collect(),
        weight: inner.weight,
    }
}

#[cfg(test)]
mod tests;
