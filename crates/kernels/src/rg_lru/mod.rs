//! The RG-LRU: gates, decays and the recurrence of a channel in one pass over the tokens.
//!
//! 1. A vector of 16 channels takes its state, its constants and then token after token: two sigmoids, `a = exp(log a)`,
//!    `1 - a^2 = -(exp(2 log a) - 1)` without cancellation, a root, and one fused multiply-add for the state.
//! 2. Only that last step waits for the token before; all else of several tokens overlaps. What is read and written is whole cache lines.
//!
//! Channels do not meet, so the bits depend neither on threads nor on where passes are cut. A sequence's first token forgets whatever
//! the state held.
//! Source: De et al., *Griffin*, 2024, section 2.4.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
