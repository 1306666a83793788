//! From what RWKV-7's recurrence read to what its output projection takes: a norm per head, the bonus, and the gate.
//!
//! ```text
//! bonus = sum over a head's channels of receptance * key * r_k        the current token, past the state
//! out   = (layer_norm(y) + bonus * value) * gate
//! ```
//!
//! The norm is [`layer_norm`] with a group per head, and so with a weight and a bias per channel; its eps is `head_dim * 1e-5` in the
//! published models (64e-5), and no key of a model file holds it. Key and value are those of [`wkv7_gates`](crate::wkv7_gates), as the
//! recurrence had them. The gate is a low-rank projection as it is, with no function after it.
//!
//! A head of a token needs no other head, and no other token: a kernel that has a whole head's `y` may go on at once.
//!
//! # Shape
//! `y`, `receptance`, `key`, `value`, `gate` and the result `(tokens, heads, head_dim)`; `weight`, `bias` and `r_k`
//! `(heads, head_dim)`.
//!
//! # Source
//! Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025; its section on the recurrence's output.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, layer_norm};

/// As [`layer_norm::TOLERANCE`], with one more f32 sum over a head.
pub const TOLERANCE: f64 = 4e-6;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Added to the variance of a head's `y`.
    pub eps: f32,
}

/// What a call reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(tokens, heads, head_dim)`: what the recurrence read.
    pub y: &'a [f32],
    /// `(tokens, heads, head_dim)`.
    pub receptance: &'a [f32],
    /// `(tokens, heads, head_dim)`: where the value was written.
    pub key: &'a [f32],
    /// `(tokens, heads, head_dim)`: what was written.
    pub value: &'a [f32],
    /// `(tokens, heads, head_dim)`.
    pub gate: &'a [f32],
    /// `(heads, head_dim)`: of the norm.
    pub weight: &'a [f32],
    /// `(heads, head_dim)`: of the norm.
    pub bias: &'a [f32],
    /// `(heads, head_dim)`: of the bonus.
    pub r_k: &'a [f32],
}

/// The gated rows.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, inputs: &Inputs<'_>) -> Vec<f64> {
    let Shape {
        tokens,
        heads,
        head_dim,
        eps,
    } = *shape;
    let Inputs {
        y,
        receptance,
        key,
        value,
        gate,
        weight,
        bias,
        r_k,
    } = *inputs;
    for (what, slice) in [
        ("y", y),
        ("receptance", receptance),
        ("key", key),
        ("value", value),
        ("gate", gate),
    ] {
        assert_eq!(
            slice.len(),
            tokens * heads * head_dim,
            "{what} must be (tokens, heads, head_dim)"
        );
    }
    assert_eq!(r_k.len(), heads * head_dim, "r_k must be (heads, head_dim)");
    let norm = layer_norm::Shape {
        rows: tokens,
        groups: heads,
        width: head_dim,
        eps,
    };
    let mut out = layer_norm::reference(&norm, y, weight, bias);
    for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
        let (at, weights) = (head * head_dim, head % heads * head_dim);
        let bonus: f64 = (0..head_dim)
            .map(|i| {
                f64::from(receptance[at + i]) * f64::from(key[at + i]) * f64::from(r_k[weights + i])
            })
            .sum();
        for (i, out) in out.iter_mut().enumerate() {
            *out = (*out + bonus * f64::from(value[at + i])) * f64::from(gate[at + i]);
        }
    }
    out
}

/// Reads every input once; per channel a norm (7), the bonus (3), its product and sum (2), and the gate (1).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        heads,
        head_dim,
        ..
    } = *shape;
    let values = f32_bytes(&[tokens, heads, head_dim]);
    Cost {
        read_bytes: values
            .saturating_mul(5)
            .saturating_add(f32_bytes(&[3, heads, head_dim])),
        written_bytes: values,
        f32_flops: product(&[13, tokens, heads, head_dim]),
        ..Cost::default()
    }
}

/// Odd heads, and RWKV-7's.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, heads, head_dim| Case {
        name,
        shape: Shape {
            tokens,
            heads,
            head_dim,
            eps: 64e-5,
        },
    };
    vec![
        case("one channel", 1, 1, 1),
        case("odd heads", 3, 5, 19),
        case("RWKV-7-0.1B, 1 token", 1, 12, 64),
        case("RWKV-7-2.9B, 9 tokens", 9, 40, 64),
        case("RWKV-7-1.5B, 65 tokens", 65, 32, 64),
    ]
}

#[cfg(test)]
mod tests;
