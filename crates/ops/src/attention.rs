//! Causal softmax attention over a cache of keys and values, with grouped heads.
//!
//! For the token at absolute position `p = depth + t`, and query head `h` with key head `g = h / (heads / kv_heads)`:
//!
//! ```text
//! s_j = scale * (q . k_j)                        for max(0, p - window + 1) <= j <= p
//! s_j = cap * tanh(s_j / cap)                    with a soft-cap
//! o   = sum of softmax(s)_j * v_j
//! o   = o * sigmoid(gate)                        with an output gate (Qwen3.5), value by value
//! ```
//!
//! A window of w sees the token itself and the w - 1 before it (Gemma 3, as in its checkpoints and in llama.cpp). The softmax
//! subtracts the largest score first, so that no exponential overflows.
//!
//! # Shape
//! `q`, `gate` and the result `(tokens, heads, head_dim)`; `k` and `v` `(depth + tokens, kv_heads, head_dim)`: the cached
//! positions, then the call's own. A cache in f16 is compared by rounding `k` and `v` to f16 before both sides see them.

pub mod backward;
pub mod output_gate;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu, softcap};

/// Scores, exponentials and sums in f32 on the same keys and values.
pub const TOLERANCE: f64 = 1e-5;

/// Bytes of a cached key or value element: the cache holds f16.
pub const CACHE_ELEMENT_BYTES: u64 = 2;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens whose outputs are wanted.
    pub tokens: usize,
    /// Positions in the cache before the first of them.
    pub depth: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values in a head.
    pub head_dim: usize,
    /// Multiplies the scores, mostly `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Positions that a token sees, itself included; all when `None`.
    pub window: Option<usize>,
    /// Bound of the scores.
    pub softcap: Option<f32>,
    /// Whether each output is multiplied by the sigmoid of a gate.
    pub gated: bool,
}

impl Shape {
    /// The first position that the token at `position` sees.
    #[must_use]
    pub fn first_visible(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// The attended values. `gate` is given exactly when `shape.gated`.
///
/// # Panics
/// When a slice does not fit `shape`, or `heads` is no multiple of `kv_heads`.
#[must_use]
pub fn reference(shape: &Shape, q: &[f32], k: &[f32], v: &[f32], gate: Option<&[f32]>) -> Vec<f64> {
    let Shape {
        tokens,
        depth,
        heads,
        kv_heads,
        head_dim,
        ..
    } = *shape;
    assert_eq!(
        q.len(),
        tokens * heads * head_dim,
        "q must be (tokens, heads, head_dim)"
    );
    assert_eq!(
        k.len(),
        (depth + tokens) * kv_heads * head_dim,
        "k must be (depth + tokens, kv_heads, head_dim)"
    );
    assert_eq!(
        v.len(),
        k.len(),
        "v must be (depth + tokens, kv_heads, head_dim)"
    );
    assert!(
        heads.is_multiple_of(kv_heads),
        "{heads} heads are not shared evenly by {kv_heads}"
    );
    assert_eq!(
        gate.map(<[f32]>::len),
        shape.gated.then_some(q.len()),
        "gate must be (tokens, heads, head_dim) if gated"
    );
    let mut out = Vec::with_capacity(q.len());
    for token in 0..tokens {
        for head in 0..heads {
            let q = &q[(token * heads + head) * head_dim..][..head_dim];
            out.extend(attend(
                shape,
                depth + token,
                head / (heads / kv_heads),
                q,
                k,
                v,
            ));
        }
    }
    if let Some(gate) = gate {
        for (out, &gate) in out.iter_mut().zip(gate) {
            *out *= glu::sigmoid(f64::from(gate));
        }
    }
    out
}

/// One query head of the token at `position`, over key head `kv_head`.
fn attend(
    shape: &Shape,
    position: usize,
    kv_head: usize,
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> Vec<f64> {
    let Shape {
        kv_heads,
        head_dim,
        scale,
        softcap: cap,
        ..
    } = *shape;
    let row =
        |cache: &[f32], j: usize| cache[(j * kv_heads + kv_head) * head_dim..][..head_dim].to_vec();
    let visible = shape.first_visible(position)..=position;
    let scores: Vec<f64> = visible
        .clone()
        .map(|j| {
            let dot: f64 = q
                .iter()
                .zip(row(k, j))
                .map(|(&q, k)| f64::from(q) * f64::from(k))
                .sum();
            let score = dot * f64::from(scale);
            cap.map_or(score, |cap| softcap::softcap(score, f64::from(cap)))
        })
        .collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut out = vec![0.0; head_dim];
    for (j, weight) in visible.zip(weights) {
        for (out, v) in out.iter_mut().zip(row(v, j)) {
            *out += weight / total * f64::from(v);
        }
    }
    out
}

/// Reads q, the gate and every visible cached position once; 4 flops per head value and visible pair, 4 per score (7 with a
/// soft-cap), 4 per gated value.
///
/// Writing k and v to the cache is the cost of whoever writes them.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        depth,
        heads,
        kv_heads,
        head_dim,
        gated,
        ..
    } = *shape;
    let queries = f32_bytes(&[tokens, heads, head_dim]);
    let positions = depth.saturating_add(tokens) - shape.first_visible(depth);
    let cache = product(&[2, positions, kv_heads, head_dim]).saturating_mul(CACHE_ELEMENT_BYTES);
    let gate = if gated { queries } else { 0 };
    let per_score =
        product(&[4, head_dim]).saturating_add(if shape.softcap.is_some() { 7 } else { 4 });
    let scores = visible_pairs(shape).saturating_mul(heads as u64);
    Cost {
        read_bytes: queries.saturating_add(gate).saturating_add(cache),
        written_bytes: queries,
        f32_flops: scores.saturating_mul(per_score).saturating_add(gate),
        ..Cost::default()
    }
}

/// Of [`cost`] the products of queries with keys and of weights with values: what a cache of 16-bit integers turns into operations on those.
#[must_use]
pub fn product_flops(shape: &Shape) -> u64 {
    let scores = visible_pairs(shape).saturating_mul(shape.heads as u64);
    scores.saturating_mul(product(&[4, shape.head_dim]))
}

/// Pairs of a token and a position that it sees.
fn visible_pairs(shape: &Shape) -> u64 {
    let Shape {
        tokens,
        depth,
        window,
        ..
    } = *shape;
    // Tokens from `full` on see a whole window; those before see everything up to themselves.
    let full = window.map_or(tokens, |window| (window.saturating_sub(depth)).min(tokens));
    let (full, depth) = (full as u128, depth as u128);
    let growing = full * depth + full * (full + 1) / 2;
    let windowed = (tokens as u128 - full) * window.unwrap_or(0) as u128;
    u64::try_from(growing + windowed).unwrap_or(u64::MAX)
}

/// Grouped and single heads, windows shorter and longer than the context, soft-caps and gates, from empty and filled caches.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let base = |tokens, depth, heads, kv_heads, head_dim: usize| Shape {
        tokens,
        depth,
        heads,
        kv_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        window: None,
        softcap: None,
        gated: false,
    };
    let case = |name, shape| Case { name, shape };
    vec![
        case("one position", base(1, 0, 1, 1, 16)),
        case("odd depth, small heads", base(3, 13, 3, 1, 48)),
        case("SmolLM2-135M, first token", base(1, 0, 9, 3, 64)),
        case("SmolLM2-135M, decode at 129", base(1, 129, 9, 3, 64)),
        case("SmolLM2-135M, 65 tokens", base(65, 0, 9, 3, 64)),
        case("SmolLM2-135M, 64 tokens at 64", base(64, 64, 9, 3, 64)),
        case("Qwen3-0.6B, 7 tokens at 250", base(7, 250, 16, 8, 128)),
        case(
            "Gemma-3-270M local, window passed",
            Shape {
                window: Some(512),
                ..base(3, 700, 4, 1, 256)
            },
        ),
        case(
            "window inside the call",
            Shape {
                window: Some(8),
                ..base(17, 3, 4, 2, 64)
            },
        ),
        case(
            "window of one",
            Shape {
                window: Some(1),
                ..base(2, 5, 2, 1, 32)
            },
        ),
        case(
            "window beyond the context",
            Shape {
                window: Some(4096),
                ..base(5, 20, 2, 2, 64)
            },
        ),
        case(
            "Gemma 2, soft-capped",
            Shape {
                softcap: Some(50.0),
                window: Some(33),
                ..base(9, 40, 8, 4, 256)
            },
        ),
        case(
            "Qwen3.5-0.8B, gated, decode at 200",
            Shape {
                gated: true,
                ..base(1, 200, 8, 2, 256)
            },
        ),
        case(
            "Qwen3.5-0.8B, gated, 17 tokens",
            Shape {
                gated: true,
                ..base(17, 0, 8, 2, 256)
            },
        ),
    ]
}

#[cfg(test)]
mod tests;
