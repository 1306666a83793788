//! Rotary positions: one table of cosines and sines per step and setting, and the one place where heads are turned.
//!
//! Pairs are (i, i + dims / 2), the half-split form; files whose rows are stored for the interleaved form are permuted at load.
//! Turning comes with what every model does around it: normalising heads, scaling queries, and writing keys and values to
//! the cache. Angles are computed in f64: at position 100 000 an f32 angle has lost three digits.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
