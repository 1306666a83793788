//! The gated delta rule over whole sequences from a state of zeros, forward and backward, in chunks of [`CHUNK`] tokens.
//!
//! Per value head with decay `exp(g)`: `S = exp(g) S`, `d = beta (v - S^T k)`, `S = S + k d^T`, `o = S^T q`. Within a chunk let G be the
//! running sum of g, `E_i = exp(G_i)`, `F_i = exp(G_last - G_i)`, and `L_ij = exp(G_i - G_j)` for i >= j and 0 above (masked before the
//! exponential). With the chunk's rows Q, K, V and the state S at its start
//!
//! ```text
//! A  = I + strictly lower part of (beta_i K K^T . L)        P = Q K^T . L
//! R  = beta (V - E K S)        A D = R                      solved row by row, in blocks
//! O  = E (Q S) + P D           S' = E_last S + K^T (F D)
//! ```
//!
//! The forward pass keeps D, the recurrence's corrections, and the state behind every chunk but the last. The backward pass walks chunks from
//! the last to the first with dS, the gradient of the state behind a chunk:
//!
//! ```text
//! dD = F (K dS) + P^T dO       A^T dR = dD                  dA = -dR D^T below the diagonal, dP = dO D^T up to it
//! dV = beta dR                 W = dP . L                   B = beta dA . L
//! dQ = E (dO S^T) + W K        dK = F (D dS^T) - beta E (dR S^T) + W^T Q + (B + B^T) K
//! dS = E_last dS - K^T (beta E dR) + Q^T (E dO)
//! dbeta = dR . V - E (dR S^T . K) + row sums of (dA . L . K K^T)
//! ```
//!
//! and G's gradient is `E (dO S^T . Q - beta dR S^T . K) - F (D dS^T . K)` plus row sums less column sums of `W . Q K^T + B . K K^T`; its last
//! element gains `E_last (dS . S) + sum of F (D dS^T . K)`. That of g is its sum from each token on. A shorter last chunk has rows of zeros.
//!
//! A thread has a key head of one sequence with all value heads that use it: no two threads add to one place. What is multiplied with S costs
//! the same with chunks of any length, what is multiplied within a chunk grows with it, and tiles are less efficient where it is short. A
//! decay below e^-60 is taken for none that is left: numbers near the end of f32's range take a hundred cycles each.
//!
//! # Shape
//! `q` and `k` (tokens, `key_heads`, `key_dim`), normed and scaled; `v` and the result (tokens, `value_heads`, `value_dim`); g and beta
//! (tokens, `value_heads`).
//!
//! # Source
//! Yang, Kautz and Hatamizadeh, *Gated Delta Networks*, 2024, on chunks; derivatives taken here.

mod backward;
mod buffers;
mod chunk;
mod forward;
mod gates;
mod gradients;
mod products;

pub use backward::gated_delta_backward;
pub use forward::gated_delta;
use ops::gated_delta::HeadMap;

use super::{product::Source, shared::Shared};
use crate::simd::LANES;

/// Tokens of a chunk.
const CHUNK: usize = 32;
/// Numbers of a square of a chunk's tokens.
const SQUARE: usize = CHUNK * CHUNK;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatedDeltaShape {
    /// Sequences, one behind the other.
    pub sequences: usize,
    /// Tokens of each.
    pub positions: usize,
    /// Query and key heads.
    pub key_heads: usize,
    /// Value heads; a multiple of `key_heads`.
    pub value_heads: usize,
    /// Channels of a query or key head; a multiple of 16.
    pub key_dim: usize,
    /// Channels of a value head; a multiple of 16.
    pub value_dim: usize,
    /// Which key head a value head uses.
    pub head_map: HeadMap,
}

/// What both passes read.
#[derive(Clone, Copy)]
pub struct GatedDelta<'a> {
    /// (tokens, `key_heads`, `key_dim`)
    pub q: &'a [f32],
    /// (tokens, `key_heads`, `key_dim`)
    pub k: &'a [f32],
    /// (tokens, `value_heads`, `value_dim`)
    pub v: &'a [f32],
    /// (tokens, `value_heads`): logarithms of the decays, 0 or below.
    pub log_decay: &'a [f32],
    /// (tokens, `value_heads`): the share that is written.
    pub beta: &'a [f32],
}

impl GatedDeltaShape {
    const fn tokens(&self) -> usize {
        self.sequences * self.positions
    }

    /// f32 of `q` and of `k`.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.tokens() * self.key_heads * self.key_dim
    }

    /// f32 of `v` and of the result.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.tokens() * self.value_heads * self.value_dim
    }

    /// f32 of g and of beta.
    #[must_use]
    pub const fn gates(&self) -> usize {
        self.tokens() * self.value_heads
    }

    /// f32 that the forward pass keeps: corrections, then states behind chunks.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.values() + self.sequences * self.value_heads * self.states_of_head()
    }

    /// Working memory of both passes, in f32.
    #[must_use]
    pub const fn scratch(&self, threads: usize) -> usize {
        threads * self.scratch_of_thread()
    }

    const fn scratch_of_thread(&self) -> usize {
        let group = self.value_heads / self.key_heads;
        // Nine squares; K, Q and their gradients by channel, and a product like them; rows and channels of D, dR and dO; states' gradients.
        9 * SQUARE
            + 5 * self.key_dim * CHUNK
            + 6 * self.value_dim * CHUNK
            + 6 * LANES
            + group * self.state()
    }

    const fn chunks(&self) -> usize {
        self.positions.div_ceil(CHUNK)
    }

    const fn state(&self) -> usize {
        self.key_dim * self.value_dim
    }

    const fn states_of_head(&self) -> usize {
        self.chunks().saturating_sub(1) * self.state()
    }

    fn check(&self, inputs: &GatedDelta<'_>) {
        let dims = self.key_dim.is_multiple_of(LANES) && self.value_dim.is_multiple_of(LANES);
        assert!(
            dims && self.state() > 0,
            "channels of a head: a multiple of 16"
        );
        assert!(
            self.value_heads.is_multiple_of(self.key_heads),
            "value heads: a multiple of key heads"
        );
        let (keys, values, gates) = (self.keys(), self.values(), self.gates());
        assert_eq!(
            (inputs.q.len(), inputs.k.len()),
            (keys, keys),
            "queries and keys"
        );
        assert_eq!(inputs.v.len(), values, "values");
        assert_eq!(
            (inputs.log_decay.len(), inputs.beta.len()),
            (gates, gates),
            "decays and beta"
        );
    }

    /// Whether `value_head` uses `key_head`.
    const fn uses(&self, value_head: usize, key_head: usize) -> bool {
        self.head_map
            .key_head(value_head, self.key_heads, self.value_heads)
            == key_head
    }

    /// The rows of a key head of one sequence.
    fn key_rows(&self, values: Shared, sequence: usize, head: usize) -> Rows {
        rows(
            values,
            sequence * self.positions,
            (self.key_heads, self.key_dim),
            head,
        )
    }

    /// The rows of a value head of one sequence.
    fn value_rows(&self, values: Shared, sequence: usize, head: usize) -> Rows {
        rows(
            values,
            sequence * self.positions,
            (self.value_heads, self.value_dim),
            head,
        )
    }

    /// The gates of a value head of one sequence.
    fn gate_rows(&self, values: Shared, sequence: usize, head: usize) -> Rows {
        rows(
            values,
            sequence * self.positions,
            (self.value_heads, 1),
            head,
        )
    }

    /// The states of a value head of one sequence: behind its first chunk, and so on.
    fn states(&self, kept: Shared, sequence: usize, head: usize) -> *mut f32 {
        kept.at(self.values() + (sequence * self.value_heads + head) * self.states_of_head())
    }
}

fn rows(values: Shared, token: usize, (heads, dim): (usize, usize), head: usize) -> Rows {
    Rows {
        at: values.at((token * heads + head) * dim),
        step: heads * dim,
    }
}

/// Rows of vectors, `step` apart.
#[derive(Clone, Copy)]
struct Rows {
    at: *mut f32,
    step: usize,
}

impl Rows {
    const fn of(at: *mut f32, step: usize) -> Self {
        Self { at, step }
    }

    /// The row's address.
    const fn row(self, row: usize) -> *mut f32 {
        self.at.wrapping_add(row * self.step)
    }

    /// From `row` on.
    const fn from(self, row: usize) -> Self {
        Self {
            at: self.row(row),
            step: self.step,
        }
    }

    /// From `rows` rows before these on.
    const fn before(self, rows: usize) -> Self {
        Self {
            at: self.at.wrapping_sub(rows * self.step),
            step: self.step,
        }
    }

    /// As a matrix to be packed.
    const fn source(self, rows: usize, columns: usize) -> Source {
        Source {
            at: self.at,
            rows,
            columns,
            row_step: self.step,
            column_step: 1,
        }
    }
}
