//! Mamba-2's selective scan: a recurrent layer whose state is a matrix per head, decayed and written to at each token.
//!
//! Per head, with state `S` `(state_dim, head_dim)` and the B and C of the head's group:
//!
//! ```text
//! S = decay * S + B (step * x)^T
//! y = S^T C + skip * x
//! ```
//!
//! Head h belongs to group `h / (heads / groups)`. Steps and decays come from [`time_steps`](crate::time_steps); x, B and C come in
//! convolved. It is the gated delta rule ([`gated_delta`](crate::gated_delta)) without the correction: B for the key, C for the query.
//!
//! # Shape
//! `x` and the result `(tokens, heads, head_dim)`; `b` and `c` `(tokens, groups, state_dim)`; `steps` and `decays`
//! `(tokens, heads)`; `skip` `(heads)`; `state` `(heads, state_dim, head_dim)`.
//!
//! # Source
//! Dao and Gu, *Transformers are SSMs*, 2024, section 6: its scalar decay per head.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Of the outputs and of the state, in f32, over the case table's lengths.
pub const TOLERANCE: f64 = 1e-5;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens, in order.
    pub tokens: usize,
    /// Heads; a multiple of `groups`.
    pub heads: usize,
    /// Groups of heads that share B and C.
    pub groups: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Rows of a head's state.
    pub state_dim: usize,
}

/// What a call reads beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(tokens, heads, head_dim)`.
    pub x: &'a [f32],
    /// `(tokens, groups, state_dim)`: where the input is written.
    pub b: &'a [f32],
    /// `(tokens, groups, state_dim)`: what is read.
    pub c: &'a [f32],
    /// `(tokens, heads)`.
    pub steps: &'a [f32],
    /// `(tokens, heads)`, 0..=1.
    pub decays: &'a [f32],
    /// `(heads)`: how much of the input goes past the state (`ssm_d`).
    pub skip: &'a [f32],
}

/// The token-by-token recurrence; `state` advances by the call's tokens.
///
/// # Panics
/// When a slice does not fit `shape`, or `heads` is no multiple of `groups`.
pub fn reference(shape: &Shape, inputs: &Inputs<'_>, state: &mut [f64]) -> Vec<f64> {
    check(shape, inputs, state);
    let Shape {
        tokens,
        heads,
        groups,
        head_dim,
        state_dim,
    } = *shape;
    let mut out = vec![0.0; tokens * heads * head_dim];
    for (head, state) in state.chunks_exact_mut(state_dim * head_dim).enumerate() {
        for token in 0..tokens {
            let (step, decay) = (
                f64::from(inputs.steps[token * heads + head]),
                f64::from(inputs.decays[token * heads + head]),
            );
            let group = (token * groups + head / (heads / groups)) * state_dim;
            let (b, c) = (
                &inputs.b[group..][..state_dim],
                &inputs.c[group..][..state_dim],
            );
            let at = (token * heads + head) * head_dim;
            for column in 0..head_dim {
                let x = f64::from(inputs.x[at + column]);
                let mut y = f64::from(inputs.skip[head]) * x;
                for ((row, &b), &c) in state.chunks_exact_mut(head_dim).zip(b).zip(c) {
                    row[column] = decay * row[column] + f64::from(b) * (step * x);
                    y += f64::from(c) * row[column];
                }
                out[at + column] = y;
            }
        }
    }
    out
}

fn check(shape: &Shape, inputs: &Inputs<'_>, state: &[f64]) {
    let Shape {
        tokens,
        heads,
        groups,
        head_dim,
        state_dim,
    } = *shape;
    assert!(
        heads.is_multiple_of(groups),
        "{heads} heads are not shared evenly by {groups} groups"
    );
    for (what, got, want) in [
        (
            "x must be (tokens, heads, head_dim)",
            inputs.x.len(),
            tokens * heads * head_dim,
        ),
        (
            "b must be (tokens, groups, state_dim)",
            inputs.b.len(),
            tokens * groups * state_dim,
        ),
        (
            "c must be (tokens, groups, state_dim)",
            inputs.c.len(),
            tokens * groups * state_dim,
        ),
        (
            "steps must be (tokens, heads)",
            inputs.steps.len(),
            tokens * heads,
        ),
        (
            "decays must be (tokens, heads)",
            inputs.decays.len(),
            tokens * heads,
        ),
        ("skip must be (heads)", inputs.skip.len(), heads),
        (
            "state must be (heads, state_dim, head_dim)",
            state.len(),
            heads * state_dim * head_dim,
        ),
    ] {
        assert_eq!(got, want, "{what}");
    }
}

/// Reads and writes the f32 state once per call, however many tokens it takes; per token and state element a decay (1), the
/// update (2) and the product with C (2); per value the step (1) and the skip (2).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        heads,
        groups,
        head_dim,
        state_dim,
    } = *shape;
    let state = f32_bytes(&[heads, state_dim, head_dim]);
    let values = f32_bytes(&[tokens, heads, head_dim]);
    let projections = f32_bytes(&[2, tokens, groups, state_dim]);
    let scalars = f32_bytes(&[2, tokens, heads]).saturating_add(f32_bytes(&[heads]));
    Cost {
        read_bytes: state
            .saturating_add(values)
            .saturating_add(projections)
            .saturating_add(scalars),
        written_bytes: state.saturating_add(values),
        f32_flops: product(&[5, tokens, heads, state_dim, head_dim])
            .saturating_add(product(&[3, tokens, heads, head_dim])),
        ..Cost::default()
    }
}

/// One and several groups, odd states, and the hybrids' heads.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, heads, groups, head_dim, state_dim| Case {
        name,
        shape: Shape {
            tokens,
            heads,
            groups,
            head_dim,
            state_dim,
        },
    };
    vec![
        case("one head, one token", 1, 1, 1, 16, 1),
        case("an odd state", 9, 4, 2, 48, 23),
        case("Granite-4.0-H-Tiny, 1 token", 1, 48, 1, 64, 128),
        case("Granite-4.0-H-Tiny heads, 65 tokens", 65, 4, 1, 64, 128),
        case("Mamba-2 heads in 8 groups, 3 tokens", 3, 16, 8, 64, 128),
        case("130 tokens", 130, 2, 1, 32, 64),
    ]
}

#[cfg(test)]
mod tests;
