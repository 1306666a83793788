//! The matrix product backwards: what a loss says about the activations and about the weights.
//!
//! With `y[t][n] = sum over k of W[n][k] * x[t][k]` and `dy` the gradient with respect to `y`:
//!
//! ```text
//! dx[t][k] = sum over n of dy[t][n] * W[n][k]        dx = dy W
//! dW[n][k] = sum over t of dy[t][n] * x[t][k]        dW = dy^T x
//! ```
//!
//! Weights come decoded: the shape's `dtype` says how they are stored, which is nothing to their gradient.
//!
//! # Shape
//! `x` and `dx` `(tokens, inputs)`; `weights` and `dW` `(outputs, inputs)`; `dy` `(tokens, outputs)`.

use super::Shape;

/// Of a loss with respect to both factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, inputs)`.
    pub x: Vec<f64>,
    /// `(outputs, inputs)`.
    pub weights: Vec<f64>,
}

/// The gradients of both factors.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, weights: &[f32], x: &[f32], dy: &[f32]) -> Gradients {
    let dy: Vec<f64> = dy.iter().copied().map(f64::from).collect();
    in_f64(shape, weights, x, &dy)
}

/// As [`reference`], for a `dy` that another reference has computed.
pub(crate) fn in_f64(shape: &Shape, weights: &[f32], x: &[f32], dy: &[f64]) -> Gradients {
    let Shape {
        tokens,
        inputs,
        outputs,
        ..
    } = *shape;
    assert_eq!(x.len(), tokens * inputs, "x must be (tokens, inputs)");
    assert_eq!(
        weights.len(),
        outputs * inputs,
        "weights must be (outputs, inputs)"
    );
    assert_eq!(dy.len(), tokens * outputs, "dy must be (tokens, outputs)");
    let mut gradients = Gradients {
        x: vec![0.0; x.len()],
        weights: vec![0.0; weights.len()],
    };
    for token in 0..tokens {
        for output in 0..outputs {
            let dy = dy[token * outputs + output];
            for input in 0..inputs {
                let (at, weight) = (token * inputs + input, output * inputs + input);
                gradients.x[at] += dy * f64::from(weights[weight]);
                gradients.weights[weight] += dy * f64::from(x[at]);
            }
        }
    }
    gradients
}

#[cfg(test)]
mod tests;
