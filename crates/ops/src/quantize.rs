//! From f32 to blocks by plain rounding, as ggml's reference quantisers do, bit for bit.
//!
//! Per block of 32, with every operation rounded to f32:
//!
//! - Q8_0: `d = amax / 127`; code = x * (1 / d), rounded half away from zero;
//! - Q4_0: `d = m / -8`, where m is the value of largest magnitude, sign kept (the first of equals), so that it gets code 0;
//!   code = floor(x * (1 / d) + 8.5), at most 15;
//! - Q4_1: `d = (max - min) / 15`, minimum `min`; code = floor((x - min) * (1 / d) + 0.5), at most 15.
//!
//! `d` and the minimum are then stored as f16, but the codes are chosen with the unrounded ones. F16 and BF16 round to
//! nearest, ties to even. Rounding is the simplest quantiser, not the best; the super-block formats need a search and are not
//! made here.

use std::fmt;

use half::{bf16, f16};

use crate::Dtype;

/// Weights in a block of the formats made here.
const BLOCK: usize = 32;

/// Why values could not be quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizeError {
    /// No quantiser for this format.
    Unsupported {
        /// The format.
        dtype: Dtype,
    },
    /// The values are not whole blocks.
    PartialBlock {
        /// The format.
        dtype: Dtype,
        /// Values that came.
        elements: usize,
    },
    /// A block has no finite scale in f16: it holds a NaN or an infinity, or values beyond the format's range.
    OutOfRange {
        /// The format.
        dtype: Dtype,
        /// Index of the block's first value.
        at: usize,
    },
}

impl fmt::Display for QuantizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unsupported { dtype } => {
                write!(
                    f,
                    "{dtype} is not written by rounding; choose F32, F16, BF16, Q8_0, Q4_0 or Q4_1"
                )
            }
            Self::PartialBlock { dtype, elements } => write!(
                f,
                "{elements} values are not whole {dtype} blocks of {}; keep this tensor in a float format",
                dtype.block_len()
            ),
            Self::OutOfRange { dtype, at } => write!(
                f,
                "values from index {at} on are NaN, infinite or too large for {dtype}; check the source or keep it in F32"
            ),
        }
    }
}

impl std::error::Error for QuantizeError {}

/// The bytes of `x` in `dtype`: a row, or whole rows.
///
/// # Errors
/// [`QuantizeError`] for a format without a quantiser, values that are not whole blocks, and values that a quantised format or F16
/// cannot hold. F32 and BF16 keep NaN and infinities.
pub fn quantize(dtype: Dtype, x: &[f32]) -> Result<Vec<u8>, QuantizeError> {
    let bytes = dtype
        .bytes_for(x.len())
        .ok_or(QuantizeError::PartialBlock {
            dtype,
            elements: x.len(),
        })?;
    let mut out = Vec::with_capacity(bytes);
    match dtype {
        Dtype::F32 => out.extend(x.iter().flat_map(|x| x.to_le_bytes())),
        Dtype::Bf16 => out.extend(x.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes())),
        Dtype::F16 => {
            for (at, &x) in x.iter().enumerate() {
                out.extend(finite_half(x).ok_or(QuantizeError::OutOfRange { dtype, at })?);
            }
        }
        Dtype::Q8_0 => each_block(dtype, x, &mut out, q8_0)?,
        Dtype::Q4_0 => each_block(dtype, x, &mut out, q4_0)?,
        Dtype::Q4_1 => each_block(dtype, x, &mut out, q4_1)?,
        Dtype::Q5_0 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K | Dtype::Q6K => {
            return Err(QuantizeError::Unsupported { dtype });
        }
    }
    Ok(out)
}

/// Appends every block of `x`; `block` answers `None` for values out of range.
fn each_block(
    dtype: Dtype,
    x: &[f32],
    out: &mut Vec<u8>,
    block: impl Fn(&[f32; BLOCK], &mut Vec<u8>) -> Option<()>,
) -> Result<(), QuantizeError> {
    for (index, x) in x.as_chunks().0.iter().enumerate() {
        let out_of_range = QuantizeError::OutOfRange {
            dtype,
            at: index * BLOCK,
        };
        // NaN would slip through the comparisons that find the extremes.
        if !x.iter().all(|x| x.is_finite()) {
            return Err(out_of_range);
        }
        block(x, out).ok_or(out_of_range)?;
    }
    Ok(())
}

fn q8_0(x: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let d = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs())) / 127.0;
    let inverse = inverse(d);
    out.extend(finite_half(d)?);
    out.extend(
        x.iter()
            .map(|x| ((x * inverse).round() as i8).cast_unsigned()),
    );
    Some(())
}

fn q4_0(x: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    let extreme = x.iter().fold(
        0.0f32,
        |extreme, &x| if x.abs() > extreme.abs() { x } else { extreme },
    );
    let d = extreme / -8.0;
    let inverse = inverse(d);
    out.extend(finite_half(d)?);
    pack_nibbles(x.map(|x| (x * inverse + 8.5) as u8), out);
    Some(())
}

fn q4_1(x: &[f32; BLOCK], out: &mut Vec<u8>) -> Option<()> {
    // Plain comparisons: which zero `f32::min` picks from 0.0 and -0.0 depends on the machine.
    let (min, max) = x.iter().fold((x[0], x[0]), |(min, max), &x| {
        (if x < min { x } else { min }, if x > max { x } else { max })
    });
    let d = (max - min) / 15.0;
    let inverse = inverse(d);
    out.extend(finite_half(d)?);
    out.extend(finite_half(min)?);
    pack_nibbles(x.map(|x| ((x - min) * inverse + 0.5) as u8), out);
    Some(())
}

/// `1 / d`, and 0 for a block without extent.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Codes of at most 15, the second half of the block in the high nibbles.
fn pack_nibbles(codes: [u8; BLOCK], out: &mut Vec<u8>) {
    let (low, high) = codes.split_at(BLOCK / 2);
    out.extend(
        low.iter()
            .zip(high)
            .map(|(&low, &high)| low.min(15) | high.min(15) << 4),
    );
}

/// Bytes of `x` as f16, if finite there.
fn finite_half(x: f32) -> Option<[u8; 2]> {
    let half = f16::from_f32(x);
    half.is_finite().then(|| half.to_le_bytes())
}

#[cfg(test)]
mod tests;
