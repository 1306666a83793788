//! RWKV's token shift: each row mixed with the one before it, in one or several mixtures, each optionally rounded to 8 bits.
//!
//! The row before a pass's first one is the state, which becomes the pass's last row. Work is split over columns: a thread reads and
//! writes its own columns of the state only, so that nobody reads what another has overwritten already.
//! The arithmetic of a column does not know of passes, so any cut of a sequence gives the same bits.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
