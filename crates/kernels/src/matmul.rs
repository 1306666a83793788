//! y = W x for one token or many: the products that dominate both prefill and decode.
//!
//! Every output element is one chain over the columns in order, whatever the number of tokens, threads or the instruction
//! set. Integer formats: for each block of 32 columns the integer products are summed exactly, then
//! `y = fma(f32(sum), scale * activation_scale, y)` and, with minima, `y = fma(minimum, activation_scale * code_sum, y)`.
//! Float formats: `y = fma(w, x, y)` column by column. So one token alone and 512 together give the same bits.
//!
//! With [`FloatProducts::SplitBf16`](crate::profile::FloatProducts) the tiles sum BF16 products in their own order: other bits than
//! those, but again the same in any company.
//!
//! What it does not do: choose. The variant and the tile come from the profile.

pub(crate) mod cpu;
#[cfg(test)]
mod tests;

pub(crate) use cpu::{has_bf16_tiles, has_int8_tiles, splits};
