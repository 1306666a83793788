//! Causal attention backwards, over whole sequences as training sees them: no cache, and every position from 0 on.
//!
//! Per token t and query head h, with `P_j = exp(s_j - lse)` over the visible positions j and `s_j = scale * (q . k_j)`:
//!
//! ```text
//! o    = sum of P_j v_j          lse = ln sum of exp(s_j)
//! dP_j = do . v_j
//! ds_j = P_j * (dP_j - D)        D = sum of P_j dP_j = do . o
//! dq   = scale * sum of ds_j k_j
//! dk_j += scale * ds_j q         summed over the tokens that see j and the query heads that share its key head
//! dv_j += P_j do
//! ```
//!
//! [`forward`] is the parent's reference in the training form. It also returns the log-sum-exps, since a fast backward keeps those instead
//! of the weights and makes `P` anew. No soft-cap; the output gate is [`output_gate`](super::output_gate), a step of its own.
//!
//! # Shape
//! `q`, `do` and `dq` `(tokens, heads, head_dim)`; `k`, `v` and their gradients `(tokens, kv_heads, head_dim)`; the log-sum-exps
//! `(tokens, heads)`.
//!
//! # Source
//! Dao, Fu, Ermon, Rudra and Ré, *FlashAttention*, 2022, appendix B.2.

/// Dimensions and constants of one sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens, at positions from 0 on.
    pub tokens: usize,
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
}

impl Shape {
    /// The same call in the parent's form.
    #[must_use]
    pub const fn of_inference(&self) -> super::Shape {
        let Self {
            tokens,
            heads,
            kv_heads,
            head_dim,
            scale,
            window,
        } = *self;
        super::Shape {
            tokens,
            depth: 0,
            heads,
            kv_heads,
            head_dim,
            scale,
            window,
            softcap: None,
            gated: false,
        }
    }
}

/// What the backward needs beside its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// The attended values, `(tokens, heads, head_dim)`.
    pub out: Vec<f64>,
    /// Natural logarithms of the softmaxes' denominators, of scaled scores, `(tokens, heads)`.
    pub log_sum_exp: Vec<f64>,
}

/// Of a loss with respect to queries, keys and values.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, heads, head_dim)`.
    pub q: Vec<f64>,
    /// `(tokens, kv_heads, head_dim)`, summed over the query heads that share a key head.
    pub k: Vec<f64>,
    /// `(tokens, kv_heads, head_dim)`, likewise.
    pub v: Vec<f64>,
}

/// The attended values, and each softmax's denominator.
///
/// # Panics
/// When a slice does not fit `shape`, or `heads` is no multiple of `kv_heads`.
#[must_use]
pub fn forward(shape: &Shape, q: &[f32], k: &[f32], v: &[f32]) -> Forward {
    check(shape, q, k, v);
    let mut forward = Forward {
        out: vec![0.0; q.len()],
        log_sum_exp: Vec::with_capacity(shape.tokens * shape.heads),
    };
    for (i, out) in forward.out.chunks_exact_mut(shape.head_dim).enumerate() {
        let row = Row::of(shape, i, q, k);
        for (j, weight) in row.weights() {
            for (out, &v) in out.iter_mut().zip(&v[row.cached(shape, j)..]) {
                *out += weight * f64::from(v);
            }
        }
        forward.log_sum_exp.push(row.log_sum_exp);
    }
    forward
}

/// The gradients of queries, keys and values.
///
/// # Panics
/// As [`forward`], and when `dout` does not fit.
#[must_use]
pub fn reference(shape: &Shape, q: &[f32], k: &[f32], v: &[f32], dout: &[f32]) -> Gradients {
    check(shape, q, k, v);
    assert_eq!(
        dout.len(),
        q.len(),
        "dout must be (tokens, heads, head_dim)"
    );
    let (head_dim, scale) = (shape.head_dim, f64::from(shape.scale));
    let mut gradients = Gradients {
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
    };
    for (i, dout) in dout.chunks_exact(head_dim).enumerate() {
        let row = Row::of(shape, i, q, k);
        let of_weight = |j: usize| dot(dout, &v[row.cached(shape, j)..][..head_dim]);
        let mean: f64 = row.weights().map(|(j, p)| p * of_weight(j)).sum();
        for (j, weight) in row.weights() {
            let score = weight * (of_weight(j) - mean);
            let cached = row.cached(shape, j);
            for (c, &dout) in dout.iter().enumerate() {
                let (query, key) = (i * head_dim + c, cached + c);
                gradients.q[query] += scale * score * f64::from(k[key]);
                gradients.k[key] += scale * score * f64::from(q[query]);
                gradients.v[key] += weight * f64::from(dout);
            }
        }
    }
    gradients
}

/// One token's query head: what it sees, and how much of each.
struct Row {
    kv_head: usize,
    first: usize,
    /// Of the visible positions, from `first` on.
    scores: Vec<f64>,
    log_sum_exp: f64,
}

impl Row {
    /// Row `i` of `(tokens, heads)`.
    fn of(shape: &Shape, i: usize, q: &[f32], k: &[f32]) -> Self {
        let (token, head) = (i / shape.heads, i % shape.heads);
        let mut row = Self {
            kv_head: head / (shape.heads / shape.kv_heads),
            first: shape.of_inference().first_visible(token),
            scores: Vec::new(),
            log_sum_exp: 0.0,
        };
        let q = &q[i * shape.head_dim..][..shape.head_dim];
        row.scores = (row.first..=token)
            .map(|j| f64::from(shape.scale) * dot(q, &k[row.cached(shape, j)..][..shape.head_dim]))
            .collect();
        let largest = row.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = row.scores.iter().map(|score| (score - largest).exp()).sum();
        row.log_sum_exp = largest + total.ln();
        row
    }

    /// Where position `j` of its key head begins.
    const fn cached(&self, shape: &Shape, j: usize) -> usize {
        (j * shape.kv_heads + self.kv_head) * shape.head_dim
    }

    /// The visible positions with their softmax.
    fn weights(&self) -> impl Iterator<Item = (usize, f64)> {
        let weight = |score: &f64| (score - self.log_sum_exp).exp();
        (self.first..).zip(self.scores.iter().map(weight))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

fn check(shape: &Shape, q: &[f32], k: &[f32], v: &[f32]) {
    let Shape {
        tokens,
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
        tokens * kv_heads * head_dim,
        "k must be (tokens, kv_heads, head_dim)"
    );
    assert_eq!(v.len(), k.len(), "v must be (tokens, kv_heads, head_dim)");
    assert!(
        heads.is_multiple_of(kv_heads),
        "{heads} heads are not shared evenly by {kv_heads}"
    );
}

#[cfg(test)]
mod tests;
