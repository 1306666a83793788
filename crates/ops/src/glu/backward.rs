//! The feed-forward gate backwards: `y = act(gate) * up` has `dgate = dy * up * act'(gate)` and `dup = dy * act(gate)`.
//!
//! With `s = sigmoid(x)`, and `u = sqrt(2 / pi) * (x + 0.044715 x^3)` with `t = tanh(u)`:
//!
//! ```text
//! sigmoid'(x) = s * (1 - s)
//! silu'(x)    = s * (1 + x * (1 - s))
//! gelu'(x)    = (1 + t) / 2 + x / 2 * (1 - t^2) * u'        u' = sqrt(2 / pi) * (1 + 3 * 0.044715 x^2)
//! ```
//!
//! # Shape
//! `gate`, `up`, `dy` and the gradients `(tokens, width)`.

use super::{Activation, Shape, sigmoid};

/// Of a loss with respect to both inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, width)`.
    pub gate: Vec<f64>,
    /// `(tokens, width)`.
    pub up: Vec<f64>,
}

/// The derivative of [`sigmoid`].
#[must_use]
pub fn sigmoid_slope(x: f64) -> f64 {
    // `1 - s` would lose its digits above zero; the sigmoid of -x has them.
    sigmoid(x) * sigmoid(-x)
}

/// The derivative of [`silu`](super::silu).
#[must_use]
pub fn silu_slope(x: f64) -> f64 {
    sigmoid(x) * (1.0 + x * sigmoid(-x))
}

/// The derivative of [`gelu`](super::gelu).
#[must_use]
pub fn gelu_slope(x: f64) -> f64 {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let tanh = (root * (x + 0.044_715 * x * x * x)).tanh();
    let inner_slope = root * (1.0 + 3.0 * 0.044_715 * x * x);
    (1.0 + tanh) / 2.0 + x / 2.0 * (1.0 - tanh * tanh) * inner_slope
}

impl Activation {
    /// Its derivative at `x`.
    #[must_use]
    pub fn slope(self, x: f64) -> f64 {
        match self {
            Self::Silu => silu_slope(x),
            Self::GeluTanh => gelu_slope(x),
        }
    }
}

/// The gradients of both inputs.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, gate: &[f32], up: &[f32], dy: &[f32]) -> Gradients {
    let activation = shape.activation;
    assert_eq!(
        gate.len(),
        shape.tokens * shape.width,
        "gate must be (tokens, width)"
    );
    assert_eq!(up.len(), gate.len(), "up must be (tokens, width)");
    assert_eq!(dy.len(), gate.len(), "dy must be (tokens, width)");
    let mut gradients = Gradients {
        gate: Vec::with_capacity(gate.len()),
        up: Vec::with_capacity(up.len()),
    };
    for ((&gate, &up), &dy) in gate.iter().zip(up).zip(dy) {
        let (gate, up, dy) = (f64::from(gate), f64::from(up), f64::from(dy));
        gradients.gate.push(dy * up * activation.slope(gate));
        gradients.up.push(dy * activation.of(gate));
    }
    gradients
}

#[cfg(test)]
mod tests;
