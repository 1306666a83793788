//! From f32 to every stored format: the inverse of [`crate::dequantize`].
//!
//! 1. Lengths and values are checked: whole blocks, nothing but finite numbers.
//! 2. The float formats round to nearest, ties to even.
//! 3. The formats of 32 (`rounding`) take their scale from the block's extremes and round: the same bytes as the `gguf` Python
//!    package's quantisers, which are ggml's reference ones.
//! 4. The super-block formats (`super_block`) have two levels of scales, for which no closed form is known. Each group's scale
//!    and minimum are searched by weighted least squares (`search`), then rounded to the super-block's integers together with its
//!    two f16 factors.
//! 5. Codes and scales are packed (`pack`) into the bits that [`crate::dequantize`] documents.
//!
//! Invariants: no block holds a scale that is infinite or NaN; the same values always become the same bytes; on an error the
//! output is as it was. It knows no importance matrix: every value's weight follows from the values alone.

mod pack;
mod rounding;
mod search;
mod super_block;

use std::fmt;

use half::{bf16, f16};

use crate::Dtype;

/// Why values could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EncodeError {
    /// The values are not whole blocks.
    PartialBlock {
        /// The format.
        dtype: Dtype,
        /// Values that came.
        elements: usize,
    },
    /// A value is NaN or infinite.
    NotFinite {
        /// The format.
        dtype: Dtype,
        /// Index of the first such value.
        at: usize,
        /// The value.
        value: f32,
    },
    /// A value is too large for the format, or for the 16-bit scale of its block.
    OutOfRange {
        /// The format.
        dtype: Dtype,
        /// Index of the block's largest value in magnitude.
        at: usize,
        /// The value.
        value: f32,
        /// The magnitude up to which every value fits.
        limit: f32,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PartialBlock { dtype, elements } => write!(
                f,
                "{elements} values are not whole {dtype} blocks of {}; choose a format with a smaller block for this tensor",
                dtype.block_len()
            ),
            Self::NotFinite { dtype, at, value } => write!(
                f,
                "value {at} is {value}, {dtype} takes finite numbers; the source is damaged: get it again"
            ),
            Self::OutOfRange {
                dtype,
                at,
                value,
                limit,
            } => write!(
                f,
                "value {at} is {value:e}, {dtype} takes magnitudes up to {limit:e}; keep this tensor in F32"
            ),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends `values`, a row or whole rows, to `out` in the bytes of `dtype`.
///
/// # Errors
/// [`EncodeError`] when the values are not whole blocks, not finite, or too large for the format. `out` is unchanged then.
///
/// # Source
/// ggml's block definitions; the formats of 32 equal `gguf.quantize` of the `gguf` Python package byte for byte.
pub fn encode(dtype: Dtype, values: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let elements = values.len();
    let bytes = dtype
        .bytes_for(elements)
        .ok_or(EncodeError::PartialBlock { dtype, elements })?;
    if let Some(at) = values.iter().position(|x| !x.is_finite()) {
        let value = values[at];
        return Err(EncodeError::NotFinite { dtype, at, value });
    }
    let start = out.len();
    out.resize(start + bytes, 0);
    let encoded = encode_blocks(dtype, values, &mut out[start..]);
    if encoded.is_err() {
        out.truncate(start);
    }
    encoded
}

/// Fills `out`, zeroed and of the right length.
fn encode_blocks(dtype: Dtype, values: &[f32], out: &mut [u8]) -> Result<(), EncodeError> {
    match dtype {
        Dtype::F32 => each(dtype, values, out, |&[x]: &[f32; 1], out: &mut [u8; 4]| {
            *out = x.to_le_bytes();
            Some(())
        }),
        Dtype::F16 => each(dtype, values, out, |&[x]: &[f32; 1], out: &mut [u8; 2]| {
            *out = finite_half(x)?.to_le_bytes();
            Some(())
        }),
        Dtype::Bf16 => each(dtype, values, out, |&[x]: &[f32; 1], out: &mut [u8; 2]| {
            let rounded = bf16::from_f32(x);
            *out = rounded.to_le_bytes();
            rounded.is_finite().then_some(())
        }),
        Dtype::Q8_0 => each(dtype, values, out, rounding::q8_0),
        Dtype::Q4_0 => each(dtype, values, out, rounding::q4_0),
        Dtype::Q4_1 => each(dtype, values, out, rounding::q4_1),
        Dtype::Q5_0 => each(dtype, values, out, rounding::q5_0),
        Dtype::Q5_1 => each(dtype, values, out, rounding::q5_1),
        Dtype::Q4K => each(dtype, values, out, super_block::q4_k),
        Dtype::Q5K => each(dtype, values, out, super_block::q5_k),
        Dtype::Q6K => each(dtype, values, out, super_block::q6_k),
    }
}

/// Encodes block by block; `block` answers `None` for values that do not fit.
fn each<const LEN: usize, const BYTES: usize>(
    dtype: Dtype,
    values: &[f32],
    out: &mut [u8],
    block: impl Fn(&[f32; LEN], &mut [u8; BYTES]) -> Option<()>,
) -> Result<(), EncodeError> {
    let blocks = values.as_chunks().0.iter().zip(out.as_chunks_mut().0);
    for (index, (x, out)) in blocks.enumerate() {
        if block(x, out).is_none() {
            let (within, value) = largest(x);
            return Err(EncodeError::OutOfRange {
                dtype,
                at: index * LEN + within,
                value,
                limit: limit(dtype),
            });
        }
    }
    Ok(())
}

/// Place and value of the first of the largest magnitudes.
fn largest(x: &[f32]) -> (usize, f32) {
    let first = (0, x.first().copied().unwrap_or(0.0));
    x.iter().copied().enumerate().fold(first, |best, next| {
        if next.1.abs() > best.1.abs() {
            next
        } else {
            best
        }
    })
}

/// The magnitude up to which every value of `dtype` fits, whatever its neighbours are.
fn limit(dtype: Dtype) -> f32 {
    let half = f32::from(f16::MAX);
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::Bf16 => bf16::MAX.to_f32(),
        // In the formats with a minimum, the minimum itself is an f16.
        Dtype::F16 | Dtype::Q4_1 | Dtype::Q5_1 => half,
        Dtype::Q4_0 => half * 8.0,
        Dtype::Q5_0 => half * 16.0,
        Dtype::Q8_0 => half * 127.0,
        Dtype::Q4K | Dtype::Q5K => super_block::AFFINE_LIMIT,
        Dtype::Q6K => super_block::SYMMETRIC_LIMIT,
    }
}

/// `x` as f16, if finite there.
fn finite_half(x: f32) -> Option<f16> {
    let half = f16::from_f32(x);
    half.is_finite().then_some(half)
}

#[cfg(test)]
mod tests;
