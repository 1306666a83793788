//! Causal attention over whole sequences, forward and backward, never storing scores of more than a block of queries.
//!
//! A thread has one key-value head of one sequence. Its queries come in blocks of one or two vectors, and scores are kept *transposed*, a row
//! per key and a lane per query: maxima, sums and masks are then lane arithmetic, and every product is a [`tile`](super::product::tile).
//! With `S = scale K Q^T`, `P = softmax(S)` over keys and `D = sum of dO O`, all transposed:
//!
//! ```text
//! forward    O  = V^T P                          kept: ln(sum exp S) of each query
//! backward   P  = exp(S - kept), dP = V dO^T, dS = scale P (dP - D)
//!            dV += P dO, dK += dS Q, dQ = dS^T K
//! ```
//!
//! All scores of a block of queries are in L1 or L2, so that the softmax needs no second scale as in Dao et al., *FlashAttention*, 2022, whose
//! backward pass this is otherwise.
//!
//! # Shape
//! `q`, `out` (tokens, heads, `head_dim`); `k`, `v` (tokens, `kv_heads`, `head_dim`); log-sums (tokens, heads). Head h reads key-value
//! head `h / (heads / kv_heads)`.

mod backward;
mod forward;

use std::ops::Range;

pub use backward::{AttentionKept, attention_backward};
pub use forward::attention;

use super::{
    product::{Source, tile},
    shared::Shared,
};
use crate::simd::{LANES, Simd};

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Sequences, one behind the other.
    pub sequences: usize,
    /// Tokens of each.
    pub positions: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Channels of a head; a multiple of 16.
    pub head_dim: usize,
    /// Keys that a query sees, itself included; all before it where there is none.
    pub window: Option<usize>,
    /// Of the scores.
    pub scale: f32,
}

/// Queries of a block, at most.
const QUERIES: usize = 2 * LANES;

impl AttentionShape {
    /// f32 of `q` and of the result.
    #[must_use]
    pub const fn queries(&self) -> usize {
        self.sequences * self.positions * self.heads * self.head_dim
    }

    /// f32 of `k` and of `v`.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.sequences * self.positions * self.kv_heads * self.head_dim
    }

    /// Log-sums.
    #[must_use]
    pub const fn log_sums(&self) -> usize {
        self.sequences * self.positions * self.heads
    }

    /// Working memory of both passes, in f32.
    #[must_use]
    pub const fn scratch(&self, threads: usize) -> usize {
        threads * self.scratch_of_thread()
    }

    const fn scratch_of_thread(&self) -> usize {
        let keys = self.positions.next_multiple_of(LANES);
        // Panels of K and V; gradients of both; two blocks of scores; blocks of Q, dO and dQ.
        4 * (keys * self.head_dim + 2 * LANES)
            + 2 * keys * QUERIES
            + 3 * (self.head_dim * QUERIES + LANES)
    }

    fn check(&self) {
        assert!(
            self.head_dim.is_multiple_of(LANES),
            "channels of a head: a multiple of 16"
        );
        assert!(
            self.heads.is_multiple_of(self.kv_heads),
            "query heads: a multiple of key-value heads"
        );
        assert!(self.window != Some(0), "a window of at least one key");
    }

    /// The rows of one head of one sequence.
    fn head(&self, values: Shared, sequence: usize, head: usize, heads: usize) -> Head {
        let step = heads * self.head_dim;
        Head {
            at: values.at(sequence * self.positions * step + head * self.head_dim),
            positions: self.positions,
            head_dim: self.head_dim,
            step,
        }
    }

    /// Keys that queries may see.
    fn seen(&self, queries: &Range<usize>) -> Range<usize> {
        let first = self
            .window
            .map_or(0, |window| (queries.start + 1).saturating_sub(window));
        first..queries.end
    }
}

/// A head's rows within rows of all heads.
#[derive(Clone, Copy)]
struct Head {
    at: *mut f32,
    positions: usize,
    head_dim: usize,
    step: usize,
}

impl Head {
    const fn row(self, position: usize) -> *mut f32 {
        self.at.wrapping_add(position * self.step)
    }

    const fn source(self) -> Source {
        Source {
            at: self.at,
            rows: self.positions,
            columns: self.head_dim,
            row_step: self.step,
            column_step: 1,
        }
    }
}

/// Of the lanes of a block's vector whose first query is `query`, those that see `key`: from the first number up to the second.
#[inline(always)]
fn lanes_that_see(key: usize, query: usize, window: Option<usize>) -> (usize, usize) {
    let from = key.saturating_sub(query).min(LANES);
    let to = window.map_or(LANES, |window| {
        (key + window).saturating_sub(query).min(LANES)
    });
    (from, to.max(from))
}

/// `to[c][query] = sum over keys of rows[key][c] weights[key][query]`: `M` channels at a time.
///
/// # Safety
/// The rows exist; `weights` has a vector per key, `to` one per channel; the features of `S` are there.
#[inline(always)]
unsafe fn over_keys<S: Simd, const M: usize, const N: usize>(
    rows: Head,
    keys: &Range<usize>,
    weights: *const f32,
    to: *mut f32,
) {
    let wide = N * LANES;
    let weights = weights.wrapping_add(keys.start * wide);
    for channel in (0..rows.head_dim).step_by(M) {
        // SAFETY: the caller's contract; `M` divides 16, which divides the channels.
        unsafe {
            let left = rows.row(keys.start).add(channel);
            let sums = tile::<S, M, N, 1>(keys.len(), left, rows.step, weights, wide);
            for (m, sums) in sums.into_iter().enumerate() {
                for (n, sum) in sums.into_iter().enumerate() {
                    S::store(to.add((channel + m) * wide + n * LANES), sum);
                }
            }
        }
    }
}

/// Rows `queries` of `to` from the columns of `block`, (channel, query), each multiplied by its query's factor.
///
/// # Safety
/// The rows exist; the block has `16 N` queries; the features of `S` are there.
#[inline(always)]
unsafe fn give_rows<S: Simd, const N: usize>(
    block: *const f32,
    queries: &Range<usize>,
    factors: [S::F; N],
    to: Head,
    add: bool,
) {
    let wide = N * LANES;
    for (n, factor) in factors.into_iter().enumerate() {
        let first = queries.start + n * LANES;
        for channel in (0..to.head_dim).step_by(LANES) {
            // SAFETY: the caller's contract.
            unsafe {
                let mut square = [S::splat(0.0); LANES];
                for (c, row) in square.iter_mut().enumerate() {
                    let from = block.add((channel + c) * wide + n * LANES);
                    *row = S::mul(S::load(from), factor);
                }
                for (i, mut row) in S::transpose(square).into_iter().enumerate() {
                    if first + i < queries.end {
                        let to = to.row(first + i).add(channel);
                        if add {
                            row = S::add(S::load(to), row);
                        }
                        S::store(to, row);
                    }
                }
            }
        }
    }
}
