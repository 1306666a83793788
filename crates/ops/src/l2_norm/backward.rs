//! Scaled unit vectors backwards.
//!
//! With `n = sqrt(sum(x^2) + eps)` and `y = scale * x / n`, the norm moves by `x_j / n` with each value:
//!
//! ```text
//! dx_i = scale / n * (dy_i - x_i / n^2 * sum over j of dy_j x_j)
//! ```
//!
//! # Shape
//! `x`, `dy` and `dx` `(rows, width)`.

use super::Shape;

/// Of a loss with respect to the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(rows, width)`.
    pub x: Vec<f64>,
}

/// The values' gradient.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], dy: &[f32]) -> Gradients {
    let Shape {
        rows,
        width,
        eps,
        scale,
    } = *shape;
    assert_eq!(x.len(), rows * width, "x must be (rows, width)");
    assert_eq!(dy.len(), x.len(), "dy must be (rows, width)");
    let mut dx = Vec::with_capacity(x.len());
    for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
        let pairs = || {
            x.iter()
                .zip(dy)
                .map(|(&x, &dy)| (f64::from(x), f64::from(dy)))
        };
        let squared_norm = pairs().map(|(x, _)| x * x).sum::<f64>() + f64::from(eps);
        let factor = f64::from(scale) / squared_norm.sqrt();
        let pull = pairs().map(|(x, dy)| x * dy).sum::<f64>() / squared_norm;
        dx.extend(pairs().map(|(x, dy)| factor * (dy - x * pull)));
    }
    Gradients { x: dx }
}

#[cfg(test)]
mod tests;
