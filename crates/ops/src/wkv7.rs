//! RWKV-7's recurrence: a state matrix per head, each row with a decay of its own, corrected by one rank at each token.
//!
//! Per head, with state `S` `(head_dim, head_dim)`, a row per key channel and a column per value channel:
//!
//! ```text
//! u = S^T removal                                     what the state holds under the removal key
//! S = diag(decay) S - erasure u^T + key value^T
//! y = S^T receptance
//! ```
//!
//! `u` is of the state *before* its decay. [`wkv7_gates`](crate::wkv7_gates) makes the five vectors of a token, receptance aside, which is
//! a projection as it is; [`wkv7_output`](crate::wkv7_output) turns `y` into the layer's result.
//!
//! [`reference()`] is that recurrence. A fast version may read S once per token: with `u = S^T removal` and
//! `p = S^T (decay * receptance)` of the old state, `y = p - (erasure . receptance) u + (key . receptance) value`. It is the gated delta
//! rule ([`gated_delta`](crate::gated_delta)) with a decay per row and with the keys of reading, erasing and writing apart: both are the
//! same where a head's decays are one alpha, `removal` is k, `erasure` is `alpha beta k` and `key` is `beta k`.
//!
//! Columns of S never meet, so that a head's value channels may be split; rows may not. Other programs keep S transposed (a row per
//! value channel), which would end every product in a sum across lanes.
//!
//! # Shape
//! `receptance`, `decay`, `key`, `value`, `removal`, `erasure` and the result `(tokens, heads, head_dim)`; `state`
//! `(heads, head_dim, head_dim)`: head, key channel, value channel.
//!
//! # Source
//! Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025; its section on the weighted key value state evolution.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Of the outputs and of the state, in f32, over the case table's lengths.
pub const TOLERANCE: f64 = 1e-5;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens, in order.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head: rows and columns of its state.
    pub head_dim: usize,
}

/// What a call reads beside the state, each `(tokens, heads, head_dim)`.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the state is read with.
    pub receptance: &'a [f32],
    /// What stays of each row of the state, 0..=1.
    pub decay: &'a [f32],
    /// Where the value is written.
    pub key: &'a [f32],
    /// What is written.
    pub value: &'a [f32],
    /// Where the state is read for what is to go.
    pub removal: &'a [f32],
    /// Where that is taken away.
    pub erasure: &'a [f32],
}

/// The token-by-token recurrence; `state` advances by the call's tokens.
///
/// # Panics
/// When a slice does not fit `shape`.
pub fn reference(shape: &Shape, inputs: &Inputs<'_>, state: &mut [f64]) -> Vec<f64> {
    check(shape, inputs, state);
    let Shape {
        tokens,
        heads,
        head_dim,
    } = *shape;
    let mut out = vec![0.0; tokens * heads * head_dim];
    for (head, state) in state.chunks_exact_mut(head_dim * head_dim).enumerate() {
        for token in 0..tokens {
            let at = (token * heads + head) * head_dim;
            let of = |slice: &[f32], channel: usize| f64::from(slice[at + channel]);
            for column in 0..head_dim {
                let held: f64 = (0..head_dim)
                    .map(|row| state[row * head_dim + column] * of(inputs.removal, row))
                    .sum();
                for row in 0..head_dim {
                    let s = &mut state[row * head_dim + column];
                    *s = of(inputs.decay, row) * *s - of(inputs.erasure, row) * held
                        + of(inputs.key, row) * of(inputs.value, column);
                    out[at + column] += *s * of(inputs.receptance, row);
                }
            }
        }
    }
    out
}

fn check(shape: &Shape, inputs: &Inputs<'_>, state: &[f64]) {
    let Shape {
        tokens,
        heads,
        head_dim,
    } = *shape;
    let Inputs {
        receptance,
        decay,
        key,
        value,
        removal,
        erasure,
    } = *inputs;
    for (what, slice) in [
        ("receptance", receptance),
        ("decay", decay),
        ("key", key),
        ("value", value),
        ("removal", removal),
        ("erasure", erasure),
    ] {
        assert_eq!(
            slice.len(),
            tokens * heads * head_dim,
            "{what} must be (tokens, heads, head_dim)"
        );
    }
    assert_eq!(
        state.len(),
        heads * head_dim * head_dim,
        "state must be (heads, head_dim, head_dim)"
    );
}

/// Reads and writes the f32 state once per call, however many tokens it takes; per token and state element the product with the
/// removal key (2), the decay (1), two updates (4) and the product with the receptance (2).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        heads,
        head_dim,
    } = *shape;
    let state = f32_bytes(&[heads, head_dim, head_dim]);
    Cost {
        read_bytes: state.saturating_add(f32_bytes(&[6, tokens, heads, head_dim])),
        written_bytes: state.saturating_add(f32_bytes(&[tokens, heads, head_dim])),
        f32_flops: product(&[9, tokens, heads, head_dim, head_dim]),
        ..Cost::default()
    }
}

/// Odd heads, RWKV-7's, and more tokens than a prefill's chunk.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, heads, head_dim| Case {
        name,
        shape: Shape {
            tokens,
            heads,
            head_dim,
        },
    };
    vec![
        case("one head, one token", 1, 1, 16),
        case("three vectors of channels", 9, 3, 48),
        case("RWKV-7-0.1B, 1 token", 1, 12, 64),
        case("RWKV-7-2.9B, 3 tokens", 3, 40, 64),
        case("RWKV-7 heads, 65 tokens", 65, 4, 64),
        case("130 tokens", 130, 2, 32),
    ]
}

#[cfg(test)]
mod tests;
