//! Root-mean-square normalisation of rows and of heads: plain, added to a residual, or gated by SiLU(z) or sigmoid(z).
//!
//! The sum of squares is one chain of vectors over the columns, then the reduction tree; columns beyond a multiple of 16 join
//! as a vector padded with zeros.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
