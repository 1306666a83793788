//! What RWKV-7's recurrence ([`wkv7`](crate::wkv7)) needs of a token, channel by channel, from the projections:
//!
//! ```text
//! a       = sigmoid(rate)                             the in-context learning rate, 0..=1
//! decay   = exp(-exp(-1/2) * sigmoid(decay))          what stays of the state, 0.545..=1
//! value   = value + (first - value) * sigmoid(mix)    moved towards the first layer's value; the first layer itself skips this
//! removal = unit(key * k_k)                           per head: where the state is read for what is to go
//! erasure = a * removal                               where that is taken away
//! key     = key * (1 + (a - 1) * k_a)                 where the value is written
//! ```
//!
//! `unit(x) = x / max(|x|, 1e-12)` over a head's channels, so that a head of zeros stays one. Both keys come from the projection as it
//! was. The logits `rate`, `decay` and `mix` are low-rank projections with their biases (`time_mix_a0`, `_w0`, `_v0`) added already.
//!
//! Everything but `removal` may be written over what it comes from: decay over its logits, erasure over the rate's, key and value in
//! place. A head of a token needs no other head, and no other token.
//!
//! # Shape
//! `decay`, `rate`, `key`, `value`, `first`, `mix` and all results `(tokens, heads, head_dim)`; `k_k` and `k_a` `(heads, head_dim)`.
//!
//! # Source
//! Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025; its section on time mixing, where `removal` is the
//! normalised removal key and the second key the replacement key.

use crate::cost::{f32_bytes, product};
use crate::glu::sigmoid;
use crate::{Case, Cost};

/// As [`delta_gates::TOLERANCE`](crate::delta_gates::TOLERANCE), for functions that are no steeper; of each result by itself.
pub const TOLERANCE: f64 = 5e-6;

/// The smallest norm that a removal key is divided by.
pub const LEAST_NORM: f64 = 1e-12;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Whether values move towards the first layer's: in every layer but that one.
    pub residual: bool,
}

/// What a call reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(tokens, heads, head_dim)`: before the sigmoid.
    pub decay: &'a [f32],
    /// `(tokens, heads, head_dim)`: before the sigmoid.
    pub rate: &'a [f32],
    /// `(tokens, heads, head_dim)`.
    pub key: &'a [f32],
    /// `(tokens, heads, head_dim)`.
    pub value: &'a [f32],
    /// Where the shape has one.
    pub residual: Option<Residual<'a>>,
    /// `(heads, head_dim)`: scales the key before it becomes the removal key.
    pub k_k: &'a [f32],
    /// `(heads, head_dim)`: how far the learning rate scales the key that is written.
    pub k_a: &'a [f32],
}

/// Towards which values move, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// `(tokens, heads, head_dim)`: the first layer's values of the same tokens.
    pub first: &'a [f32],
    /// `(tokens, heads, head_dim)`: before the sigmoid.
    pub mix: &'a [f32],
}

/// All results, each `(tokens, heads, head_dim)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    /// What stays of a row of the state.
    pub decay: Vec<f64>,
    /// Where the value is written.
    pub key: Vec<f64>,
    /// What is written.
    pub value: Vec<f64>,
    /// Where the state is read for what is to go; of norm 1.
    pub removal: Vec<f64>,
    /// Where that is taken away.
    pub erasure: Vec<f64>,
}

/// What stays of a row of the state, from its logit.
#[must_use]
pub fn decay(logit: f64) -> f64 {
    (-(-0.5f64).exp() * sigmoid(logit)).exp()
}

/// The gates.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, inputs: &Inputs<'_>) -> Gates {
    check(shape, inputs);
    let Shape {
        tokens,
        heads,
        head_dim,
        ..
    } = *shape;
    let mut gates = Gates::default();
    for head in 0..tokens * heads {
        let (at, weights) = (head * head_dim, head % heads * head_dim);
        let scaled = |i: usize| f64::from(inputs.key[at + i]) * f64::from(inputs.k_k[weights + i]);
        let squares: f64 = (0..head_dim).map(|i| scaled(i).powi(2)).sum();
        let norm = squares.sqrt().max(LEAST_NORM);
        for i in 0..head_dim {
            let rate = sigmoid(f64::from(inputs.rate[at + i]));
            let (removal, k_a) = (scaled(i) / norm, f64::from(inputs.k_a[weights + i]));
            gates.decay.push(decay(f64::from(inputs.decay[at + i])));
            gates.removal.push(removal);
            gates.erasure.push(rate * removal);
            gates
                .key
                .push(f64::from(inputs.key[at + i]) * (1.0 + (rate - 1.0) * k_a));
            let value = f64::from(inputs.value[at + i]);
            gates.value.push(match inputs.residual {
                Some(Residual { first, mix }) => {
                    value + (f64::from(first[at + i]) - value) * sigmoid(f64::from(mix[at + i]))
                }
                None => value,
            });
        }
    }
    gates
}

fn check(shape: &Shape, inputs: &Inputs<'_>) {
    let Shape {
        tokens,
        heads,
        head_dim,
        residual,
    } = *shape;
    let Inputs {
        decay,
        rate,
        key,
        value,
        k_k,
        k_a,
        ..
    } = *inputs;
    for (what, slice) in [
        ("decay", decay),
        ("rate", rate),
        ("key", key),
        ("value", value),
    ] {
        assert_eq!(
            slice.len(),
            tokens * heads * head_dim,
            "{what} must be (tokens, heads, head_dim)"
        );
    }
    assert_eq!(
        (k_k.len(), k_a.len()),
        (heads * head_dim, heads * head_dim),
        "k_k and k_a must be (heads, head_dim)"
    );
    assert_eq!(
        inputs
            .residual
            .map(|Residual { first, mix }| (first.len(), mix.len())),
        residual.then_some((key.len(), key.len())),
        "first and mix must be (tokens, heads, head_dim), where the shape has a residual"
    );
}

/// Reads every input once. Per channel: decay 5 flops, learning rate 3, removal key 4 and erasure 1, key 4, residual 6.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        heads,
        head_dim,
        residual,
    } = *shape;
    let residual = usize::from(residual);
    Cost {
        read_bytes: f32_bytes(&[4 + 2 * residual, tokens, heads, head_dim])
            .saturating_add(f32_bytes(&[2, heads, head_dim])),
        written_bytes: f32_bytes(&[5, tokens, heads, head_dim]),
        f32_flops: product(&[17 + 6 * residual, tokens, heads, head_dim]),
        ..Cost::default()
    }
}

/// The first and later layers, odd heads, and RWKV-7's.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, heads, head_dim, residual| Case {
        name,
        shape: Shape {
            tokens,
            heads,
            head_dim,
            residual,
        },
    };
    vec![
        case("one channel", 1, 1, 1, false),
        case("odd heads", 3, 5, 19, true),
        case("RWKV-7-0.1B, first layer, 1 token", 1, 12, 64, false),
        case("RWKV-7-1.5B, 1 token", 1, 32, 64, true),
        case("RWKV-7-2.9B, 9 tokens", 9, 40, 64, true),
        case("RWKV-7-0.1B, 65 tokens", 65, 12, 64, true),
    ]
}

#[cfg(test)]
mod tests;
