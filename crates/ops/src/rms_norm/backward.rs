//! Root-mean-square normalisation backwards.
//!
//! With `r = 1 / sqrt(mean(x^2) + eps)` and `y_i = x_i r w_i`, the factor moves with every value of its row: `dr / dx_j = -r^3 x_j / width`. So
//!
//! ```text
//! dx_i = r * (w_i dy_i - x_i * r^2 / width * sum over j of w_j dy_j x_j)
//! dw_i = sum over the rows of dy_i x_i r
//! ```
//!
//! The weight is shared by all rows: of a norm per head, those are the heads of every token.
//!
//! # Shape
//! `x`, `dy` and `dx` `(rows, width)`; `weight` and `dw` `(width)`.

use super::Shape;

/// Of a loss with respect to the values and the weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(rows, width)`.
    pub x: Vec<f64>,
    /// `(width)`, summed over the rows.
    pub weight: Vec<f64>,
}

/// The gradients of the values and of the weight.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], weight: &[f32], dy: &[f32]) -> Gradients {
    let dy: Vec<f64> = dy.iter().copied().map(f64::from).collect();
    in_f64(shape, x, weight, &dy)
}

/// As [`reference`], for a `dy` that another reference has computed.
pub(crate) fn in_f64(shape: &Shape, x: &[f32], weight: &[f32], dy: &[f64]) -> Gradients {
    let Shape { rows, width, eps } = *shape;
    assert_eq!(x.len(), rows * width, "x must be (rows, width)");
    assert_eq!(weight.len(), width, "weight must be (width)");
    assert_eq!(dy.len(), x.len(), "dy must be (rows, width)");
    let mut gradients = Gradients {
        x: Vec::with_capacity(x.len()),
        weight: vec![0.0; width],
    };
    for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
        let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let inverse = 1.0 / (squares / width as f64 + f64::from(eps)).sqrt();
        let weighted: Vec<f64> = (0..width).map(|i| f64::from(weight[i]) * dy[i]).collect();
        let along: f64 = (0..width).map(|i| weighted[i] * f64::from(x[i])).sum();
        let pull = inverse * inverse / width as f64 * along;
        for i in 0..width {
            gradients
                .x
                .push(inverse * (weighted[i] - f64::from(x[i]) * pull));
            gradients.weight[i] += dy[i] * f64::from(x[i]) * inverse;
        }
    }
    gradients
}

#[cfg(test)]
mod tests;
