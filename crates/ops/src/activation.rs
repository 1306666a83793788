//! Rounding activations to 8 bits, so that a product with integer weight codes is an exact integer sum.
//!
//! Per block of 32 consecutive values of a row:
//!
//! 1. `amax` = the largest magnitude, `scale = amax / 127` (one f32 division);
//! 2. `code = round(x / scale)`, a f32 division, then to nearest with ties to even, which leaves -127..=127 (-128 never occurs,
//!    so that a kernel may negate codes);
//! 3. `sums` = the sum of each 16 codes, at most 2032 in magnitude. A product needs them because the formats' offsets and minima
//!    multiply the sum of the activations and not each one. 16 is the smallest group of any format (Q6_K).
//!
//! Special blocks, defined so that every kernel can meet them bit for bit:
//!
//! - a scale below the smallest normal f32 (an all-zero block, above all) becomes 0 with codes 0: with fewer bits than that the
//!   quotient could leave the range of a code, and machines that flush subnormals to zero agree;
//! - a block that holds a NaN or an infinity gets scale NaN and codes 0, so that every product with it is NaN and cannot be
//!   overlooked. (The largest of the magnitudes' bit patterns, taken as integers, is `0x7f80_0000` or above then.)
//!
//! # Shape
//! `(tokens, width)` with `width` a multiple of 32; codes `(tokens, width)`, scales `(tokens, width / 32)`, sums
//! `(tokens, width / 16)`. Blocks never span two rows, so a whole batch may be rounded as one slice.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Values that share a scale.
pub const BLOCK: usize = 32;
/// Codes that share a sum.
pub const SUM_GROUP: usize = 16;

/// Rounding is exact arithmetic with a stated tie rule: codes and sums must be equal, and scales equal bit for bit.
pub const TOLERANCE: f64 = 0.0;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows.
    pub tokens: usize,
    /// Values in a row; a multiple of 32.
    pub width: usize,
}

/// Activations as integers: `x` is about `scales[i / 32] * codes[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activation {
    /// Codes, -127..=127.
    pub codes: Vec<i8>,
    /// One scale for each 32 codes; 0 for a block of zeros, NaN for a block with a non-finite value.
    pub scales: Vec<f32>,
    /// One sum for each 16 codes.
    pub sums: Vec<i16>,
}

impl Activation {
    /// The values that the codes stand for.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        let blocks = self.codes.chunks_exact(BLOCK).zip(&self.scales);
        blocks
            .flat_map(|(codes, &scale)| {
                codes
                    .iter()
                    .map(move |&code| f64::from(scale) * f64::from(code))
            })
            .collect()
    }
}

/// Rounds `x`, whole blocks of 32.
///
/// # Panics
/// When the length of `x` is not a multiple of 32.
#[must_use]
pub fn reference(x: &[f32]) -> Activation {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    assert!(
        rest.is_empty(),
        "{} activations are not whole blocks of {BLOCK}",
        x.len()
    );
    let mut out = Activation::default();
    for block in blocks {
        let (codes, scale) = round_block(block);
        out.sums.extend(
            codes
                .chunks_exact(SUM_GROUP)
                .map(|group| group.iter().map(|&code| i16::from(code)).sum::<i16>()),
        );
        out.codes.extend(codes);
        out.scales.push(scale);
    }
    out
}

/// Codes and scale of one block.
fn round_block(x: &[f32; BLOCK]) -> ([i8; BLOCK], f32) {
    if !x.iter().all(|value| value.is_finite()) {
        return ([0; BLOCK], f32::NAN);
    }
    let scale = x.iter().fold(0.0f32, |amax, value| amax.max(value.abs())) / 127.0;
    if scale < f32::MIN_POSITIVE {
        return ([0; BLOCK], 0.0);
    }
    (
        x.map(|value| (value / scale).round_ties_even() as i8),
        scale,
    )
}

/// Reads f32, writes codes, scales and sums; a magnitude, a comparison, a division and a rounding per value.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape { tokens, width } = *shape;
    Cost {
        read_bytes: f32_bytes(&[tokens, width]),
        written_bytes: bytes(tokens, width),
        f32_flops: product(&[4, tokens, width]),
        ..Cost::default()
    }
}

/// Bytes of `tokens` rounded rows: 1 per code, 4 per 32 for the scale, 2 per 16 for the sum.
#[must_use]
pub fn bytes(tokens: usize, width: usize) -> u64 {
    product(&[tokens, width])
        .saturating_add(f32_bytes(&[tokens, width / BLOCK]))
        .saturating_add(product(&[2, tokens, width / SUM_GROUP]))
}

/// Model widths, and the smallest row.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, width| Case {
        name,
        shape: Shape { tokens, width },
    };
    vec![
        case("one block", 1, 32),
        case("odd blocks", 3, 96),
        case("SmolLM2-135M hidden", 1, 576),
        case("SmolLM2-135M hidden, 65 tokens", 65, 576),
        case("SmolLM2-135M ffn", 7, 1536),
        case("Qwen3.5-27B ffn", 2, 17408),
    ]
}

#[cfg(test)]
mod tests;
