//! RWKV-7's time mixing between its projections: a matrix state per head, each row with a decay of its own, corrected by one rank
//! at each token.
//!
//! 1. `gates`: decays, learning rates, both keys and the value, from the projections, a head of a token at a time.
//! 2. `scan`: for a tile of value columns, held in L1 over all tokens of the pass, one sweep per token. With S the state before the
//!    token, `u = S^T removal` and `p = S^T (decay * receptance)` are summed side by side, and
//!    `y = p - (erasure . receptance) u + (key . receptance) value`. What the token changes in S,
//!    `diag(decay) S - erasure u^T + key value^T`, is written by the next token's sweep, so that S is read and written once per token.
//! 3. `output`: a head's norm, the bonus of the current token, the gate; in place, optionally rounded to 8 bits.
//!
//! Columns of S never meet, so any tiling gives the same bits; sums run over the rows in order, wherever passes are cut. Where
//! [`crate::gated_delta`] has one decay and one key, this has a decay per row and three keys: too much in the inner loop to share.
//! Source: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
