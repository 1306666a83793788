//! The loss of a language model: how surprised it is, in nats, by the token that came next.
//!
//! Per token, with hidden state h, the head's weights W and the target y:
//!
//! ```text
//! z    = h W^T                      the logits
//! z    = cap * tanh(z / cap)        with a soft-cap
//! loss = ln sum of exp(z - m) + (m - z_y)      m the largest logit
//! mean = sum of losses / targets    a token without a target counts in neither
//! ```
//!
//! The head's product is part of it, since a fast version never holds all logits: they are the largest array of a training step. Differences to
//! the largest logit come first, so that no exponential overflows and the logarithm is never lost beside a logit of 1e20.
//!
//! # Shape
//! `hidden` `(tokens, width)`; `weights` `(vocabulary, width)`; `targets` `(tokens)`; losses `(tokens)`.
//!
//! # Units
//! Nats; divide by ln 2 for bits.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, softcap};

/// Of the losses of all tokens: f32 products and exponentials, and the difference of two numbers of the size of a logit.
pub const TOLERANCE: f64 = 1e-5;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens whose successor is predicted.
    pub tokens: usize,
    /// Values in a hidden state.
    pub width: usize,
    /// Logits of a token.
    pub vocabulary: usize,
    /// Bound of the logits.
    pub softcap: Option<f32>,
}

/// What came of the predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Of the tokens with a target, in nats; `None` where no token has one.
    pub mean: Option<f64>,
    /// `(tokens)`, in nats; `None` for a token without a target.
    pub per_token: Vec<Option<f64>>,
}

/// The loss; a token whose target is `None` is ignored.
///
/// # Panics
/// When a slice does not fit `shape`, or a target is beyond the vocabulary.
#[must_use]
pub fn reference(shape: &Shape, hidden: &[f32], weights: &[f32], targets: &[Option<u32>]) -> Loss {
    let logits = logits(shape, hidden, weights);
    let targets = indices(shape, targets);
    let rows = logits.chunks_exact(shape.vocabulary).zip(targets);
    let per_token: Vec<Option<f64>> = rows
        .map(|(logits, target)| target.map(|target| surprise(logits, target)))
        .collect();
    let counted = per_token.iter().flatten().count();
    let sum: f64 = per_token.iter().flatten().sum();
    Loss {
        mean: (counted > 0).then(|| sum / counted as f64),
        per_token,
    }
}

/// All logits, capped where the shape says so, `(tokens, vocabulary)`.
fn logits(shape: &Shape, hidden: &[f32], weights: &[f32]) -> Vec<f64> {
    let Shape {
        tokens,
        width,
        vocabulary,
        softcap: cap,
    } = *shape;
    assert_eq!(
        hidden.len(),
        tokens * width,
        "hidden must be (tokens, width)"
    );
    assert_eq!(
        weights.len(),
        vocabulary * width,
        "weights must be (vocabulary, width)"
    );
    let mut logits = Vec::with_capacity(tokens * vocabulary);
    for hidden in hidden.chunks_exact(width) {
        for row in weights.chunks_exact(width) {
            let logit: f64 = row
                .iter()
                .zip(hidden)
                .map(|(&w, &h)| f64::from(w) * f64::from(h))
                .sum();
            logits.push(cap.map_or(logit, |cap| softcap::softcap(logit, f64::from(cap))));
        }
    }
    logits
}

/// Targets as indices of logits.
fn indices(shape: &Shape, targets: &[Option<u32>]) -> Vec<Option<usize>> {
    assert_eq!(targets.len(), shape.tokens, "targets must be (tokens)");
    let index = |target: u32| {
        let index = usize::try_from(target).ok();
        let index = index.filter(|&index| index < shape.vocabulary);
        assert!(
            index.is_some(),
            "target {target} is beyond a vocabulary of {}",
            shape.vocabulary
        );
        index
    };
    targets
        .iter()
        .map(|target| target.and_then(index))
        .collect()
}

/// Of a target, in nats.
fn surprise(logits: &[f64], target: usize) -> f64 {
    let (largest, log_rest) = largest_and_rest(logits);
    log_rest + (largest - logits[target])
}

/// The largest m of x, and `ln sum of exp(x - m)`.
fn largest_and_rest(x: &[f64]) -> (f64, f64) {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let rest = x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
    (largest, rest)
}

/// Operations per logit beside its product: a comparison, a difference, an exponential and a sum, and a soft-cap (3).
const fn flops_per_logit(shape: &Shape) -> usize {
    if shape.softcap.is_some() { 7 } else { 4 }
}

/// Bytes of hidden states, weights and 32-bit targets.
fn read_bytes(shape: &Shape) -> u64 {
    f32_bytes(&[shape.tokens, shape.width])
        .saturating_add(f32_bytes(&[shape.vocabulary, shape.width]))
        .saturating_add(product(&[4, shape.tokens]))
}

/// Reads hidden states, weights and targets once and writes a loss per token; logits are neither. 2 flops per weight and token, 4 per logit
/// (7 with a soft-cap).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        width,
        vocabulary,
        ..
    } = *shape;
    Cost {
        read_bytes: read_bytes(shape),
        written_bytes: f32_bytes(&[tokens]),
        f32_flops: product(&[2, tokens, width, vocabulary]).saturating_add(product(&[
            flops_per_logit(shape),
            tokens,
            vocabulary,
        ])),
        ..Cost::default()
    }
}

/// Slices of real heads, with and without a soft-cap, and odd sizes in every dimension.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, width, vocabulary, softcap| Case {
        name,
        shape: Shape {
            tokens,
            width,
            vocabulary,
            softcap,
        },
    };
    vec![
        case("one word", 1, 1, 1, None),
        case("odd sizes", 3, 37, 19, None),
        case("odd sizes, soft-capped", 5, 33, 131, Some(2.0)),
        case("a slice of SmolLM2-135M's head", 65, 576, 2048, None),
        case("a slice of Gemma-2-2B's head", 7, 2304, 1005, Some(30.0)),
        case("a slice of nanochat d20's head", 16, 1280, 1024, Some(15.0)),
    ]
}

#[cfg(test)]
mod tests;
