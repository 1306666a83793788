//! The mean loss backwards, to the hidden states and the head's weights.
//!
//! With `p = softmax(z)` of the capped logits, and n tokens that have a target:
//!
//! ```text
//! dz_i = (p_i - [i = y]) / n            0 for a token without a target
//! dz_i = dz_i * (1 - (z_i / cap)^2)     through a soft-cap, whose tanh is z / cap
//! dh   = dz W        dW = dz^T h
//! ```
//!
//! # Shape
//! `hidden` and its gradient `(tokens, width)`; `weights` and theirs `(vocabulary, width)`; `targets` `(tokens)`.

use super::{Shape, flops_per_logit, indices, largest_and_rest, logits, read_bytes};
use crate::cost::{f32_bytes, product};
use crate::{Cost, Dtype, matmul};

/// Of either gradient: as the forward, with sums over the vocabulary or the tokens.
pub const TOLERANCE: f64 = 1e-5;

/// Of the mean loss with respect to hidden states and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, width)`.
    pub hidden: Vec<f64>,
    /// `(vocabulary, width)`.
    pub weights: Vec<f64>,
}

/// The gradients of the mean loss; zeros where no token has a target.
///
/// # Panics
/// When a slice does not fit `shape`, or a target is beyond the vocabulary.
#[must_use]
pub fn reference(
    shape: &Shape,
    hidden: &[f32],
    weights: &[f32],
    targets: &[Option<u32>],
) -> Gradients {
    let Shape {
        tokens,
        width,
        vocabulary,
        softcap,
    } = *shape;
    let targets = indices(shape, targets);
    let counted = targets.iter().flatten().count() as f64;
    let mut dlogits = logits(shape, hidden, weights);
    for (row, target) in dlogits.chunks_exact_mut(vocabulary).zip(targets) {
        let Some(target) = target else {
            row.fill(0.0);
            continue;
        };
        let (largest, log_rest) = largest_and_rest(row);
        for (i, z) in row.iter_mut().enumerate() {
            let wanted = if i == target { 1.0 } else { 0.0 };
            let slope = softcap.map_or(1.0, |cap| 1.0 - (*z / f64::from(cap)).powi(2));
            *z = ((*z - largest - log_rest).exp() - wanted) / counted * slope;
        }
    }
    let head = matmul::Shape {
        tokens,
        inputs: width,
        outputs: vocabulary,
        dtype: Dtype::F32,
    };
    let products = matmul::backward::in_f64(&head, weights, hidden, &dlogits);
    Gradients {
        hidden: products.x,
        weights: products.weights,
    }
}

/// Loss and gradients in one call that keeps no logits: reads hidden states, weights and targets once, writes both gradients. Three products
/// of 2 flops per weight and token; per logit those of the forward, a difference and a scaling, and a soft-cap's slope (3).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        width,
        vocabulary,
        softcap,
    } = *shape;
    let per_logit = flops_per_logit(shape) + 2 + if softcap.is_some() { 3 } else { 0 };
    Cost {
        read_bytes: read_bytes(shape),
        written_bytes: f32_bytes(&[tokens, width]).saturating_add(f32_bytes(&[vocabulary, width])),
        f32_flops: product(&[6, tokens, width, vocabulary])
            .saturating_add(product(&[per_logit, tokens, vocabulary])),
        ..Cost::default()
    }
}

#[cfg(test)]
mod tests;
