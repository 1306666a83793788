//! Layer norm of whole rows: mean, variance around it, then scale, weight and bias; optionally rounded to 8 bits as it is written.
//!
//! The variance is summed from distances to the mean in a second pass over a row that stays in L1: the difference of two large
//! sums would lose what a small spread around a large mean has. What RWKV-7 does to each head's part of a row
//! ([`crate::wkv7`]) is the same pass over fewer columns.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
