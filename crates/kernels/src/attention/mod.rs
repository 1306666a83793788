//! Causal attention over the KV cache, in the manner of flash attention: one pass over keys and values, blocked, with a running
//! maximum and sum. Grouped heads share each block of keys.
//!
//! The order of reduction is fixed by absolute position. Keys are taken in blocks of 64 and in *splits* of 512, both counted
//! from position 0. A split starts from nothing and yields (maximum, sum, weighted values); splits are merged in order. So a
//! decode step that spreads splits over threads has the bits of a prefill that runs them in one thread, and a query has the
//! same bits alone and in a tile: keys that its mask hides contribute exact zeros.
//!
//! Source: Dao, *FlashAttention-2*, 2023; the split over keys is that of flash-decoding.

pub(crate) mod cache;
pub(crate) mod cpu;
#[cfg(test)]
mod tests;
