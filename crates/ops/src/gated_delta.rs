//! The gated delta rule: a recurrent layer whose state is a matrix per head, decayed and corrected by one rank at each token.
//!
//! Per value head, with state `S` `(key_dim, value_dim)`:
//!
//! ```text
//! S     = alpha * S
//! delta = beta * (v - S^T k)         what the state got wrong about this key
//! S     = S + k delta^T
//! o     = S^T q
//! ```
//!
//! [`reference()`] is that recurrence. A fast version reads S once per token: with `u = S^T k` and `w = S^T q` of the old state,
//! `delta = beta * (v - alpha * u)` and `o = alpha * w + (k . q) * delta`.
//!
//! [`reference_chunked`] computes the same with matrix products over chunks of C tokens, for prefill. With
//! `decay(i, j) = alpha_{j+1} * ... * alpha_i` (1 for i = j) and `carry_i = alpha_1 * ... * alpha_i` within a chunk:
//!
//! 1. solve for D, row by row (a unit lower triangular system):
//!    `D_i = beta_i * (v_i - carry_i * S^T k_i - sum over j < i of decay(i, j) * (k_j . k_i) * D_j)`;
//! 2. `o_i = carry_i * S^T q_i + sum over j <= i of decay(i, j) * (k_j . q_i) * D_j`;
//! 3. `S = carry_C * S + sum over j of decay(C, j) * k_j D_j^T`.
//!
//! `D_i` is the recurrence's delta, so both forms agree but for rounding. Decays are products here, not exponentials of
//! differences of logarithms: an alpha of 0 stays exact.
//!
//! Kimi Delta Attention is the same with a decay for each key channel ([`Decay::PerChannel`]): alpha is a vector, `alpha * S` scales the
//! rows of S, and the products with an old state carry the decays on their key or query: `u = S^T (alpha * k)`, `k_j . (decay(i, j) * k_i)`.
//!
//! q and k come in ready: convolved, L2-normed, q scaled ([`l2_norm`](crate::l2_norm)); alpha and beta from
//! [`delta_gates`](crate::delta_gates).
//!
//! # Shape
//! `q` and `k` `(tokens, key_heads, key_dim)`; `v` and the result `(tokens, value_heads, value_dim)`; `beta` `(tokens, value_heads)`
//! and `alpha` likewise, or with a decay per channel `(tokens, value_heads, key_dim)`; `state` `(value_heads, key_dim, value_dim)`.
//!
//! # Source
//! Yang, Kautz and Hatamizadeh, *Gated Delta Networks*, 2024; its section on chunkwise training. Kimi Team, *Kimi Linear*, 2025.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Of the outputs and of the state, in f32, over the case table's lengths.
pub const TOLERANCE: f64 = 1e-5;

/// Which key head a value head uses, with `r = value_heads / key_heads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadMap {
    /// `h / r`: neighbours share, as in checkpoints and in `qwen3next` files.
    Grouped,
    /// `h mod key_heads`: as in `qwen35` files, whose value heads are reordered.
    Tiled,
}

impl HeadMap {
    /// The key head of value head `h`.
    #[must_use]
    pub const fn key_head(self, h: usize, key_heads: usize, value_heads: usize) -> usize {
        match self {
            Self::Grouped => h / (value_heads / key_heads),
            Self::Tiled => h % key_heads,
        }
    }
}

/// How finely a state forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// One decay for a value head.
    PerHead,
    /// One for each of its key channels.
    PerChannel,
}

impl Decay {
    /// Decays of a value head.
    #[must_use]
    pub const fn count(self, key_dim: usize) -> usize {
        match self {
            Self::PerHead => 1,
            Self::PerChannel => key_dim,
        }
    }
}

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens, in order.
    pub tokens: usize,
    /// Query and key heads.
    pub key_heads: usize,
    /// Value heads; a multiple of `key_heads`.
    pub value_heads: usize,
    /// Values in a query or key head.
    pub key_dim: usize,
    /// Values in a value head.
    pub value_dim: usize,
    /// Which key head a value head uses.
    pub head_map: HeadMap,
    /// How many decays a value head has.
    pub decay: Decay,
}

/// What a call reads beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(tokens, key_heads, key_dim)`, normed and scaled.
    pub q: &'a [f32],
    /// `(tokens, key_heads, key_dim)`, normed.
    pub k: &'a [f32],
    /// `(tokens, value_heads, value_dim)`.
    pub v: &'a [f32],
    /// `(tokens, value_heads)` or `(tokens, value_heads, key_dim)`, 0..=1.
    pub alpha: &'a [f32],
    /// `(tokens, value_heads)`, 0..=1.
    pub beta: &'a [f32],
}

/// The token-by-token recurrence; `state` advances by the call's tokens.
///
/// # Panics
/// When a slice does not fit `shape`, or `value_heads` is no multiple of `key_heads`.
pub fn reference(shape: &Shape, inputs: &Inputs<'_>, state: &mut [f64]) -> Vec<f64> {
    check(shape, inputs, state);
    let Shape {
        tokens,
        value_heads,
        key_dim,
        value_dim,
        ..
    } = *shape;
    let mut out = vec![0.0; tokens * value_heads * value_dim];
    for (head, state) in state.chunks_exact_mut(key_dim * value_dim).enumerate() {
        for token in 0..tokens {
            let one = Token::of(shape, inputs, token, head);
            scale_rows(state, &one.alpha, value_dim);
            let known = transposed_product(state, &one.k, value_dim);
            let delta: Vec<f64> = one
                .v
                .iter()
                .zip(known)
                .map(|(v, known)| one.beta * (v - known))
                .collect();
            add_outer_product(state, &one.k, &delta);
            let o = transposed_product(state, &one.q, value_dim);
            out[(token * value_heads + head) * value_dim..][..value_dim].copy_from_slice(&o);
        }
    }
    out
}

/// The chunked form with chunks of `chunk` tokens, the last one shorter; `state` advances by the call's tokens.
///
/// # Panics
/// As [`reference()`], and when `chunk` is 0.
pub fn reference_chunked(
    shape: &Shape,
    inputs: &Inputs<'_>,
    state: &mut [f64],
    chunk: usize,
) -> Vec<f64> {
    check(shape, inputs, state);
    let Shape {
        tokens,
        value_heads,
        key_dim,
        value_dim,
        ..
    } = *shape;
    let mut out = vec![0.0; tokens * value_heads * value_dim];
    for (head, state) in state.chunks_exact_mut(key_dim * value_dim).enumerate() {
        for from in (0..tokens).step_by(chunk) {
            let all: Vec<Token> = (from..tokens.min(from + chunk))
                .map(|t| Token::of(shape, inputs, t, head))
                .collect();
            for (i, o) in advance_by_chunk(state, &all, value_dim)
                .into_iter()
                .enumerate()
            {
                out[((from + i) * value_heads + head) * value_dim..][..value_dim]
                    .copy_from_slice(&o);
            }
        }
    }
    out
}

/// Steps 1 to 3 of the chunked form; the outputs of the chunk's tokens.
fn advance_by_chunk(state: &mut [f64], all: &[Token], value_dim: usize) -> Vec<Vec<f64>> {
    // decays(i)[j] = alpha_{j+1} * ... * alpha_i, for each key channel
    let decays = |i: usize| {
        let mut row = vec![vec![1.0; all[i].k.len()]; i + 1];
        for j in (0..i).rev() {
            row[j] = scaled(&row[j + 1], &all[j + 1].alpha);
        }
        row
    };
    let (mut deltas, mut out) = (
        Vec::<Vec<f64>>::with_capacity(all.len()),
        Vec::with_capacity(all.len()),
    );
    for (i, one) in all.iter().enumerate() {
        let decay = decays(i);
        let carry = scaled(&decay[0], &all[0].alpha);
        let mut known = transposed_product(state, &scaled(&carry, &one.k), value_dim);
        for j in 0..i {
            let through = dot(&scaled(&decay[j], &all[j].k), &one.k);
            add_scaled(&mut known, through, &deltas[j]);
        }
        deltas.push(
            one.v
                .iter()
                .zip(known)
                .map(|(v, known)| one.beta * (v - known))
                .collect(),
        );
        let mut o = transposed_product(state, &scaled(&carry, &one.q), value_dim);
        for j in 0..=i {
            let through = dot(&scaled(&decay[j], &all[j].k), &one.q);
            add_scaled(&mut o, through, &deltas[j]);
        }
        out.push(o);
    }
    if let Some(last) = all.len().checked_sub(1) {
        let decay = decays(last);
        let carry = scaled(&decay[0], &all[0].alpha);
        scale_rows(state, &carry, value_dim);
        for ((one, delta), decay) in all.iter().zip(&deltas).zip(decay) {
            add_outer_product(state, &scaled(&decay, &one.k), delta);
        }
    }
    out
}

/// One token as one value head sees it.
struct Token {
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    /// One for each key channel, all the same where the head has one decay.
    alpha: Vec<f64>,
    beta: f64,
}

impl Token {
    fn of(shape: &Shape, inputs: &Inputs<'_>, token: usize, head: usize) -> Self {
        let Shape {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            head_map,
            decay,
            ..
        } = *shape;
        let decays = decay.count(key_dim);
        let key_head = token * key_heads + head_map.key_head(head, key_heads, value_heads);
        let value_head = token * value_heads + head;
        let wide = |x: &[f32], head: usize, dim: usize| -> Vec<f64> {
            x[head * dim..][..dim]
                .iter()
                .copied()
                .map(f64::from)
                .collect()
        };
        Self {
            q: wide(inputs.q, key_head, key_dim),
            k: wide(inputs.k, key_head, key_dim),
            v: wide(inputs.v, value_head, value_dim),
            alpha: wide(inputs.alpha, value_head, decays)
                .into_iter()
                .cycle()
                .take(key_dim)
                .collect(),
            beta: f64::from(inputs.beta[value_head]),
        }
    }
}

fn check(shape: &Shape, inputs: &Inputs<'_>, state: &[f64]) {
    let Shape {
        tokens,
        key_heads,
        value_heads,
        key_dim,
        value_dim,
        decay,
        ..
    } = *shape;
    assert!(
        value_heads.is_multiple_of(key_heads),
        "{value_heads} value heads are not shared evenly by {key_heads}"
    );
    assert_eq!(
        inputs.q.len(),
        tokens * key_heads * key_dim,
        "q must be (tokens, key_heads, key_dim)"
    );
    assert_eq!(
        inputs.k.len(),
        inputs.q.len(),
        "k must be (tokens, key_heads, key_dim)"
    );
    assert_eq!(
        inputs.v.len(),
        tokens * value_heads * value_dim,
        "v must be (tokens, value_heads, value_dim)"
    );
    assert_eq!(
        inputs.alpha.len(),
        tokens * value_heads * decay.count(key_dim),
        "alpha must be (tokens, value_heads), with a decay per channel (tokens, value_heads, key_dim)"
    );
    assert_eq!(
        inputs.beta.len(),
        tokens * value_heads,
        "beta must be (tokens, value_heads)"
    );
    assert_eq!(
        state.len(),
        value_heads * key_dim * value_dim,
        "state must be (value_heads, key_dim, value_dim)"
    );
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `sum += factor * x`.
fn add_scaled(sum: &mut [f64], factor: f64, x: &[f64]) {
    sum.iter_mut()
        .zip(x)
        .for_each(|(sum, x)| *sum += factor * x);
}

/// `a * b`, channel by channel.
fn scaled(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// Scales each row of S by its own factor.
fn scale_rows(state: &mut [f64], factors: &[f64], value_dim: usize) {
    for (row, factor) in state.chunks_exact_mut(value_dim).zip(factors) {
        row.iter_mut().for_each(|s| *s *= factor);
    }
}

/// `S^T x`.
fn transposed_product(state: &[f64], x: &[f64], value_dim: usize) -> Vec<f64> {
    let mut y = vec![0.0; value_dim];
    for (row, &x) in state.chunks_exact(value_dim).zip(x) {
        add_scaled(&mut y, x, row);
    }
    y
}

/// `S += k delta^T`.
fn add_outer_product(state: &mut [f64], k: &[f64], delta: &[f64]) {
    for (row, k) in state.chunks_exact_mut(delta.len()).zip(k) {
        add_scaled(row, *k, delta);
    }
}

/// The recurrence in its single-read form: reads and writes the f32 state once per call, however many tokens it takes; per
/// token and state element two products with S (4 flops), a decay (1) and the update (2). Decays per channel scale the key and the
/// query too.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        key_heads,
        value_heads,
        key_dim,
        value_dim,
        decay,
        ..
    } = *shape;
    let state = f32_bytes(&[value_heads, key_dim, value_dim]);
    let values = f32_bytes(&[tokens, value_heads, value_dim]);
    let keys = f32_bytes(&[2, tokens, key_heads, key_dim]);
    let gates = f32_bytes(&[1 + decay.count(key_dim), tokens, value_heads]);
    let per_element = product(&[7, tokens, value_heads, key_dim, value_dim]);
    // k . q once per key head; delta and o for each value.
    let rest = product(&[2, tokens, key_heads, key_dim]).saturating_add(product(&[
        6,
        tokens,
        value_heads,
        value_dim,
    ]));
    let decayed = match decay {
        Decay::PerHead => 0,
        Decay::PerChannel => product(&[2, tokens, value_heads, key_dim]),
    };
    Cost {
        read_bytes: state
            .saturating_add(values)
            .saturating_add(keys)
            .saturating_add(gates),
        written_bytes: state.saturating_add(values),
        f32_flops: per_element.saturating_add(rest).saturating_add(decayed),
        ..Cost::default()
    }
}

/// Equal and shared heads in both maps, less than, exactly and more than a chunk of 64 tokens; both kinds of decay.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, key_heads, value_heads, dim, head_map| Case {
        name,
        shape: Shape {
            tokens,
            key_heads,
            value_heads,
            key_dim: dim,
            value_dim: dim,
            head_map,
            decay: Decay::PerHead,
        },
    };
    let per_channel = |case: Case<Shape>| Case {
        shape: Shape {
            decay: Decay::PerChannel,
            ..case.shape
        },
        ..case
    };
    let rectangular = Shape {
        tokens: 9,
        key_heads: 1,
        value_heads: 2,
        key_dim: 32,
        value_dim: 48,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    vec![
        case("one head, one token", 1, 1, 1, 16, HeadMap::Grouped),
        Case {
            name: "key and value sizes differ",
            shape: rectangular,
        },
        per_channel(Case {
            name: "key and value sizes differ, a decay per channel",
            shape: rectangular,
        }),
        per_channel(case(
            "Kimi-Linear-48B-A3B, 1 token",
            1,
            32,
            32,
            128,
            HeadMap::Grouped,
        )),
        per_channel(case(
            "Kimi-Linear heads, 67 tokens",
            67,
            3,
            3,
            128,
            HeadMap::Grouped,
        )),
        case("Qwen3.5-0.8B, 1 token", 1, 16, 16, 128, HeadMap::Tiled),
        case("Qwen3.5-4B, 3 tokens", 3, 16, 32, 128, HeadMap::Tiled),
        case("Qwen3-Next, 2 tokens", 2, 16, 32, 128, HeadMap::Grouped),
        case(
            "Qwen3.5-27B heads, 64 tokens",
            64,
            2,
            6,
            128,
            HeadMap::Tiled,
        ),
        case(
            "Qwen3.5-27B heads, 65 tokens",
            65,
            2,
            6,
            128,
            HeadMap::Grouped,
        ),
        case("130 tokens", 130, 1, 2, 128, HeadMap::Tiled),
    ]
}

#[cfg(test)]
mod tests;
