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
//! q and k come in ready: convolved, L2-normed, q scaled ([`l2_norm`](crate::l2_norm)); alpha and beta from
//! [`delta_gates`](crate::delta_gates).
//!
//! # Shape
//! `q` and `k` `(tokens, key_heads, key_dim)`; `v` and the result `(tokens, value_heads, value_dim)`; `alpha` and `beta`
//! `(tokens, value_heads)`; `state` `(value_heads, key_dim, value_dim)`.
//!
//! # Source
//! Yang, Kautz and Hatamizadeh, *Gated Delta Networks*, 2024; its section on chunkwise training.

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
    /// `(tokens, value_heads)`, 0..=1.
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
            state.iter_mut().for_each(|s| *s *= one.alpha);
            let known = transposed_product(state, &one.k, value_dim);
            let delta: Vec<f64> = one
                .v
                .iter()
                .zip(known)
                .map(|(v, known)| one.beta * (v - known))
                .collect();
            add_outer_product(state, 1.0, &one.k, &delta);
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
    // decays(i)[j] = alpha_{j+1} * ... * alpha_i
    let decays = |i: usize| {
        let mut row = vec![1.0; i + 1];
        for j in (0..i).rev() {
            row[j] = row[j + 1] * all[j + 1].alpha;
        }
        row
    };
    let (mut deltas, mut out) = (
        Vec::<Vec<f64>>::with_capacity(all.len()),
        Vec::with_capacity(all.len()),
    );
    for (i, one) in all.iter().enumerate() {
        let decay = decays(i);
        let carry = decay[0] * all[0].alpha;
        let mut known: Vec<f64> = transposed_product(state, &one.k, value_dim)
            .iter()
            .map(|u| carry * u)
            .collect();
        for j in 0..i {
            add_scaled(&mut known, decay[j] * dot(&all[j].k, &one.k), &deltas[j]);
        }
        deltas.push(
            one.v
                .iter()
                .zip(known)
                .map(|(v, known)| one.beta * (v - known))
                .collect(),
        );
        let mut o: Vec<f64> = transposed_product(state, &one.q, value_dim)
            .iter()
            .map(|w| carry * w)
            .collect();
        for j in 0..=i {
            add_scaled(&mut o, decay[j] * dot(&all[j].k, &one.q), &deltas[j]);
        }
        out.push(o);
    }
    if let Some(last) = all.len().checked_sub(1) {
        let decay = decays(last);
        let carry = decay[0] * all[0].alpha;
        state.iter_mut().for_each(|s| *s *= carry);
        for ((one, delta), decay) in all.iter().zip(&deltas).zip(decay) {
            add_outer_product(state, decay, &one.k, delta);
        }
    }
    out
}

/// One token as one value head sees it.
struct Token {
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    alpha: f64,
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
            ..
        } = *shape;
        let key_head = token * key_heads + head_map.key_head(head, key_heads, value_heads);
        let value_head = token * value_heads + head;
        let wide = |x: &[f32], head: usize, dim: usize| {
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
            alpha: f64::from(inputs.alpha[value_head]),
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
        tokens * value_heads,
        "alpha must be (tokens, value_heads)"
    );
    assert_eq!(
        inputs.beta.len(),
        inputs.alpha.len(),
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

/// `S^T x`.
fn transposed_product(state: &[f64], x: &[f64], value_dim: usize) -> Vec<f64> {
    let mut y = vec![0.0; value_dim];
    for (row, &x) in state.chunks_exact(value_dim).zip(x) {
        add_scaled(&mut y, x, row);
    }
    y
}

/// `S += factor * k delta^T`.
fn add_outer_product(state: &mut [f64], factor: f64, k: &[f64], delta: &[f64]) {
    for (row, k) in state.chunks_exact_mut(delta.len()).zip(k) {
        add_scaled(row, factor * k, delta);
    }
}

/// The recurrence in its single-read form: reads and writes the f32 state once per call, however many tokens it takes; per
/// token and state element two products with S (4 flops), a decay (1) and the update (2).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        key_heads,
        value_heads,
        key_dim,
        value_dim,
        ..
    } = *shape;
    let state = f32_bytes(&[value_heads, key_dim, value_dim]);
    let values = f32_bytes(&[tokens, value_heads, value_dim]);
    let keys = f32_bytes(&[2, tokens, key_heads, key_dim]);
    let gates = f32_bytes(&[2, tokens, value_heads]);
    let per_element = product(&[7, tokens, value_heads, key_dim, value_dim]);
    // k . q once per key head; delta and o for each value.
    let rest = product(&[2, tokens, key_heads, key_dim]).saturating_add(product(&[
        6,
        tokens,
        value_heads,
        value_dim,
    ]));
    Cost {
        read_bytes: state
            .saturating_add(values)
            .saturating_add(keys)
            .saturating_add(gates),
        written_bytes: state.saturating_add(values),
        f32_flops: per_element.saturating_add(rest),
        int8_ops: 0,
    }
}

/// Equal and shared heads in both maps, less than, exactly and more than a chunk of 64 tokens.
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
        },
    };
    let rectangular = Shape {
        tokens: 9,
        key_heads: 1,
        value_heads: 2,
        key_dim: 32,
        value_dim: 48,
        head_map: HeadMap::Tiled,
    };
    vec![
        case("one head, one token", 1, 1, 1, 16, HeadMap::Grouped),
        Case {
            name: "key and value sizes differ",
            shape: rectangular,
        },
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
