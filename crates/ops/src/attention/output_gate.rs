//! The gate on attention's outputs as a step of its own: `y = x * sigmoid(gate)`, value by value, forwards and backwards.
//!
//! Inference has it inside [`attention`](super) (`gated`); training keeps `x` between the two. With `s = sigmoid(gate)`:
//!
//! ```text
//! dx    = dy * s
//! dgate = dy * x * s * (1 - s)
//! ```
//!
//! # Shape
//! All slices have one length, that of `(tokens, heads, head_dim)`.
//!
//! # Source
//! Qiu et al., *Gated Attention for Large Language Models*, 2025.

use crate::glu;

/// Of a loss with respect to the values and their gates.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, heads, head_dim)`.
    pub x: Vec<f64>,
    /// `(tokens, heads, head_dim)`.
    pub gate: Vec<f64>,
}

/// The gated values.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn reference(x: &[f32], gate: &[f32]) -> Vec<f64> {
    assert_eq!(gate.len(), x.len(), "gate must be as long as x");
    x.iter()
        .zip(gate)
        .map(|(&x, &gate)| f64::from(x) * glu::sigmoid(f64::from(gate)))
        .collect()
}

/// The gradients of the values and of their gates.
///
/// # Panics
/// When the lengths differ.
#[must_use]
pub fn backward(x: &[f32], gate: &[f32], dy: &[f32]) -> Gradients {
    assert_eq!(gate.len(), x.len(), "gate must be as long as x");
    assert_eq!(dy.len(), x.len(), "dy must be as long as x");
    let gates = || gate.iter().map(|&gate| f64::from(gate)).zip(dy);
    Gradients {
        x: gates()
            .map(|(gate, &dy)| f64::from(dy) * glu::sigmoid(gate))
            .collect(),
        gate: gates()
            .zip(x)
            .map(|((gate, &dy), &x)| {
                f64::from(dy) * f64::from(x) * glu::backward::sigmoid_slope(gate)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
