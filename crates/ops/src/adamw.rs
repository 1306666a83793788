//! AdamW: a step per parameter against its mean gradient, measured in the gradient's own root mean square, and a decay beside it.
//!
//! At step t, counted from 1, with gradient g and learning rate lr:
//!
//! ```text
//! m = beta1 * m + (1 - beta1) * g                   running mean
//! v = beta2 * v + (1 - beta2) * g^2                 running mean square
//! p = p * (1 - lr * weight_decay)                   decoupled: the decay is in no mean
//! p = p - lr * m' / (sqrt(v') + eps)                m' = m / (1 - beta1^t), v' = v / (1 - beta2^t)
//! ```
//!
//! Both means begin at zero; the divisions by `1 - beta^t` remove what that takes from them. Constants are f64: beta2 rounded to f32 alone
//! would move `1 - beta2` by 1e-5 of itself.
//!
//! # Shape
//! Gradient, parameters and both means `(len)`.
//!
//! # Source
//! Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2017, in the form of PyTorch's `torch.optim.AdamW`: the decay is
//! multiplied by the learning rate, and eps is added outside the corrected root.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Of parameters and both means, in f32 with constants made in f64. From parameters of zero the result is the step itself; others hide
/// an error of the step behind their own size.
pub const TOLERANCE: f64 = 1e-6;

/// Dimensions and constants of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Parameters.
    pub len: usize,
    /// The step's size, where all gradients agree.
    pub learning_rate: f64,
    /// How much of the mean stays.
    pub beta1: f64,
    /// How much of the mean square stays.
    pub beta2: f64,
    /// Added to the root.
    pub eps: f64,
    /// What a parameter loses, times the learning rate.
    pub weight_decay: f64,
    /// Steps, this one included: 1 at first.
    pub step: u32,
}

/// One step; parameters and both means advance.
///
/// # Panics
/// When a slice does not fit `shape`, or `step` is 0.
pub fn reference(
    shape: &Shape,
    gradient: &[f32],
    parameters: &mut [f64],
    mean: &mut [f64],
    mean_square: &mut [f64],
) {
    let Shape {
        len,
        learning_rate,
        beta1,
        beta2,
        eps,
        weight_decay,
        step,
    } = *shape;
    assert_eq!(
        (gradient.len(), parameters.len()),
        (len, len),
        "gradient and parameters must be (len)"
    );
    assert_eq!(
        (mean.len(), mean_square.len()),
        (len, len),
        "both means must be (len)"
    );
    assert!(step > 0, "steps are counted from 1");
    let corrections = [beta1, beta2].map(|beta| 1.0 - beta.powf(f64::from(step)));
    for i in 0..len {
        let g = f64::from(gradient[i]);
        mean[i] = beta1 * mean[i] + (1.0 - beta1) * g;
        mean_square[i] = beta2 * mean_square[i] + (1.0 - beta2) * g * g;
        let direction = mean[i] / corrections[0];
        let root = (mean_square[i] / corrections[1]).sqrt();
        parameters[i] *= 1.0 - learning_rate * weight_decay;
        parameters[i] -= learning_rate * direction / (root + eps);
    }
}

/// Reads all four arrays once and writes three, in f32; 3 flops for the mean, 4 for the mean square, 7 for root, division, decay and step.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.len]);
    Cost {
        read_bytes: values.saturating_mul(4),
        written_bytes: values.saturating_mul(3),
        f32_flops: product(&[14, shape.len]),
        ..Cost::default()
    }
}

/// First and late steps, PyTorch's constants and those of language models, and odd lengths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, len, step, beta2, weight_decay| Case {
        name,
        shape: Shape {
            len,
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2,
            eps: 1e-8,
            weight_decay,
            step,
        },
    };
    vec![
        case("one parameter, first step", 1, 1, 0.999, 0.01),
        case("odd length, second step", 37, 2, 0.999, 0.01),
        case("SmolLM2-135M norm, no decay", 576, 10, 0.95, 0.0),
        case("SmolLM2-135M attn_q, late", 576 * 576, 100_000, 0.95, 0.1),
    ]
}

#[cfg(test)]
mod tests;
