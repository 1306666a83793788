//! The gated delta rule, token by token: a matrix state per value head, decayed, corrected and read once per token.
//!
//! 1. `prepare`: queries and keys are L2-normalised per head (queries scaled), and each head's decay alpha and step beta come
//!    from their projections.
//! 2. `step`: for a tile of value columns, held in L1 over all tokens of the pass, one sweep per token over the rows of S writes
//!    the last token's update and reads this token's products: `S = alpha' S + k' delta'`, `u += k S`, `w += q S`; then
//!    `delta = beta (v - alpha u)`, `o = alpha w + (k.q) delta`.
//!
//! With a decay for each key channel (Kimi Delta Attention) alpha is on the key and the query instead ([`cpu`]'s `channels`).
//! The update is applied when a pass ends, so the bits do not depend on where passes are cut.
//! The chunked form for prefill is the next step; it will be a second variant under the same tests.
//! Sources: Yang, Kautz and Hatamizadeh, *Gated Delta Networks*, 2024; Kimi Team, *Kimi Linear*, 2025.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;
