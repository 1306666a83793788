//! Mamba-2's selective scan, token by token: a matrix state per head, decayed, written to and read once per token.
//!
//! 1. `steps`: each head's step size and decay come from their projection.
//! 2. `scan`: for a tile of channels, held in L1 over all tokens of the pass, one sweep per token over the rows of S:
//!    `S = decay S + B (step x)`, `y += C S`; then `y + skip x`.
//!
//! The order of the sums is fixed by the state's rows, so the bits do not depend on where passes are cut. The chunked form for
//! prefill would be a second variant under the same tests.
//! Source: Dao and Gu, *Transformers are SSMs*, 2024.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
