//! From stored weights to f32, and the one definition of every block format's bit layout.
//!
//! A block of any quantised format comes down to the same three things: unsigned integer codes, a scale per group of 16 or 32
//! codes, and (in some formats) a minimum per group. A weight is
//!
//! ```text
//! w = scale[i / group] * (code[i] - offset) + minimum[i / group]
//! ```
//!
//! with one f32 rounding after the product and one after the sum, never fused. [`decode_block`] gives that view; the repacker of
//! the kernels and [`dequantize`] both read it, so that the layout is written down once.
//!
//! Scales are complete: the super-block formats' `d * sc` is one rounded f32 product, and their `d_min * m` is one, negated (so
//! that it is added like every other minimum). Formats without a minimum hold -0.0 there, the one number whose addition changes no
//! bit of any sum, not even of -0.0.
//!
//! The results equal the `gguf` Python package's bit for bit, except for the payloads of NaN. Source: ggml's block definitions.

use std::fmt;

use half::f16;

use crate::Dtype;

/// Most weights in one block of any format.
pub const MAX_BLOCK_LEN: usize = 256;
/// Most groups (scales) in one block of any format.
pub const MAX_GROUPS: usize = 16;

/// Why bytes could not be read as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DequantizeError {
    /// The number of weights asked for is not a whole number of blocks.
    PartialBlock {
        /// The format.
        dtype: Dtype,
        /// Weights asked for.
        elements: usize,
    },
    /// The bytes do not hold as many weights as asked for.
    WrongLength {
        /// The format.
        dtype: Dtype,
        /// Weights asked for.
        elements: usize,
        /// Bytes that they take.
        expected_bytes: usize,
        /// Bytes that came.
        got_bytes: usize,
    },
    /// A float format has no integer codes.
    NoCodes {
        /// The format.
        dtype: Dtype,
    },
}

impl fmt::Display for DequantizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PartialBlock { dtype, elements } => write!(
                f,
                "{elements} {dtype} weights are not whole blocks of {}; check the tensor's first dimension",
                dtype.block_len()
            ),
            Self::WrongLength {
                dtype,
                elements,
                expected_bytes,
                got_bytes,
            } => write!(
                f,
                "{elements} {dtype} weights take {expected_bytes} bytes, but {got_bytes} came; check the tensor's shape and type"
            ),
            Self::NoCodes { dtype } => {
                write!(
                    f,
                    "{dtype} is a float format without integer codes; use `dequantize` instead of its blocks"
                )
            }
        }
    }
}

impl std::error::Error for DequantizeError {}

/// What all blocks of a quantised format share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Codes in a block: 32 or 256.
    pub len: usize,
    /// Codes that share a scale (and a minimum): 32, or 16 in Q6_K.
    pub group: usize,
    /// Bits that a code uses: codes are below `1 << code_bits`.
    pub code_bits: u32,
    /// What is subtracted from a code before scaling.
    pub offset: u8,
    /// Whether minima can differ from zero.
    pub has_minimum: bool,
}

impl Layout {
    /// The layout of `dtype`, or `None` for the float formats.
    #[must_use]
    pub const fn of(dtype: Dtype) -> Option<Self> {
        let (group, code_bits, offset, has_minimum) = match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => return None,
            Dtype::Q4_0 => (32, 4, 8, false),
            Dtype::Q4_1 | Dtype::Q4K => (32, 4, 0, true),
            Dtype::Q5_0 => (32, 5, 16, false),
            Dtype::Q5_1 | Dtype::Q5K => (32, 5, 0, true),
            Dtype::Q8_0 => (32, 8, 128, false),
            Dtype::Q6K => (16, 6, 32, false),
        };
        Some(Self {
            len: dtype.block_len(),
            group,
            code_bits,
            offset,
            has_minimum,
        })
    }

    /// Groups in a block: 1, 8 or 16.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.len / self.group
    }
}

/// The two levels of a super-block's scales, as stored: a group's scale is `d * scales[i]`, its minimum `-(d_min * minima[i])`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Factors {
    /// Scale of the scales.
    pub d: f16,
    /// Scale of the minima; 0 in Q6_K, which has none.
    pub d_min: f16,
    /// Per group; 6-bit unsigned in Q4_K and Q5_K (the first 8 count), signed in Q6_K.
    pub scales: [i8; MAX_GROUPS],
    /// Per group, in Q4_K and Q5_K.
    pub minima: [u8; 8],
}

/// One block, unpacked: codes in the order of the weights, and complete scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The format's constants.
    pub layout: Layout,
    /// Unsigned codes; the first `layout.len` count.
    pub codes: [u8; MAX_BLOCK_LEN],
    /// One scale per group; the first `layout.groups()` count. May be negative, and NaN or infinite if the file says so.
    pub scales: [f32; MAX_GROUPS],
    /// One minimum per group, to be added; -0.0 in formats without minima.
    pub minima: [f32; MAX_GROUPS],
    /// The super-block formats' scales before they are multiplied out; `None` in the formats of 32.
    pub factors: Option<Factors>,
}

impl Block {
    /// An all-zero block with the layout of `dtype`, or `None` for the float formats.
    #[must_use]
    pub const fn empty(dtype: Dtype) -> Option<Self> {
        match Layout::of(dtype) {
            None => None,
            Some(layout) => Some(Self {
                layout,
                codes: [0; MAX_BLOCK_LEN],
                scales: [0.0; MAX_GROUPS],
                minima: [-0.0; MAX_GROUPS],
                factors: None,
            }),
        }
    }

    /// The codes that count.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes[..self.layout.len]
    }

    /// The scales that count.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales[..self.layout.groups()]
    }

    /// The minima that count.
    #[must_use]
    pub fn minima(&self) -> &[f32] {
        &self.minima[..self.layout.groups()]
    }

    /// The weights, into the first `layout.len` elements of `out` (or as many as `out` holds).
    pub fn weights(&self, out: &mut [f32]) {
        let Layout { group, offset, .. } = self.layout;
        let groups = self.codes().chunks_exact(group).zip(out.chunks_mut(group));
        for ((codes, out), (&scale, &minimum)) in groups.zip(self.scales.iter().zip(&self.minima)) {
            for (&code, weight) in codes.iter().zip(out) {
                *weight = scale * f32::from(i16::from(code) - i16::from(offset)) + minimum;
            }
        }
    }
}

/// Unpacks one block of a quantised format.
///
/// # Errors
/// [`DequantizeError::NoCodes`] for a float format, [`DequantizeError::WrongLength`] unless `bytes` is exactly one block.
pub fn decode_block(dtype: Dtype, bytes: &[u8]) -> Result<Block, DequantizeError> {
    let mut block = Block::empty(dtype).ok_or(DequantizeError::NoCodes { dtype })?;
    let whole = whole_blocks(dtype, bytes, dtype.block_len());
    whole.map(|()| {
        unpack(dtype, bytes, &mut block);
        block
    })
}

/// Calls `visit` with the index and the view of every block in `bytes`, in order; one view is reused.
///
/// # Errors
/// As [`decode_block`], for `elements` weights; nothing is visited then.
pub fn for_each_block(
    dtype: Dtype,
    bytes: &[u8],
    elements: usize,
    mut visit: impl FnMut(usize, &Block),
) -> Result<(), DequantizeError> {
    let mut block = Block::empty(dtype).ok_or(DequantizeError::NoCodes { dtype })?;
    whole_blocks(dtype, bytes, elements)?;
    for (index, one) in bytes.chunks_exact(dtype.block_bytes()).enumerate() {
        unpack(dtype, one, &mut block);
        visit(index, &block);
    }
    Ok(())
}

/// Reads `out.len()` weights of any format. `out` is written only when the lengths fit.
///
/// # Errors
/// [`DequantizeError::PartialBlock`] or [`DequantizeError::WrongLength`] when `bytes` are not exactly those weights.
pub fn dequantize(dtype: Dtype, bytes: &[u8], out: &mut [f32]) -> Result<(), DequantizeError> {
    whole_blocks(dtype, bytes, out.len())?;
    match dtype {
        Dtype::F32 => {
            for (weight, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *weight = f32::from_le_bytes(*bytes);
            }
            Ok(())
        }
        Dtype::F16 => {
            for (weight, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *weight = f16::from_le_bytes(*bytes).to_f32();
            }
            Ok(())
        }
        Dtype::Bf16 => {
            for (weight, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *weight = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
            }
            Ok(())
        }
        _ => {
            let (elements, len) = (out.len(), dtype.block_len());
            for_each_block(dtype, bytes, elements, |index, block| {
                block.weights(&mut out[index * len..][..len])
            })
        }
    }
}

/// Checks that `bytes` are exactly `elements` weights.
fn whole_blocks(dtype: Dtype, bytes: &[u8], elements: usize) -> Result<(), DequantizeError> {
    let expected_bytes = dtype
        .bytes_for(elements)
        .ok_or(DequantizeError::PartialBlock { dtype, elements })?;
    if bytes.len() == expected_bytes {
        Ok(())
    } else {
        Err(DequantizeError::WrongLength {
            dtype,
            elements,
            expected_bytes,
            got_bytes: bytes.len(),
        })
    }
}

/// Unpacks exactly one block (the callers check the length) of a quantised format.
fn unpack(dtype: Dtype, bytes: &[u8], block: &mut Block) {
    match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {}
        // d | codes
        Dtype::Q4_0 => {
            block.scales[0] = half_at(bytes, 0);
            nibbles(&bytes[2..18], &mut block.codes[..32]);
        }
        // d | m | codes
        Dtype::Q4_1 => {
            block.scales[0] = half_at(bytes, 0);
            block.minima[0] = half_at(bytes, 2);
            nibbles(&bytes[4..20], &mut block.codes[..32]);
        }
        // d | fifth bits | codes
        Dtype::Q5_0 => {
            block.scales[0] = half_at(bytes, 0);
            nibbles(&bytes[6..22], &mut block.codes[..32]);
            fifth_bits(&bytes[2..6], &mut block.codes[..32]);
        }
        // d | m | fifth bits | codes
        Dtype::Q5_1 => {
            block.scales[0] = half_at(bytes, 0);
            block.minima[0] = half_at(bytes, 2);
            nibbles(&bytes[8..24], &mut block.codes[..32]);
            fifth_bits(&bytes[4..8], &mut block.codes[..32]);
        }
        // d | signed codes, whose sign bit flipped is the code plus 128
        Dtype::Q8_0 => {
            block.scales[0] = half_at(bytes, 0);
            for (code, &signed) in block.codes.iter_mut().zip(&bytes[2..34]) {
                *code = signed ^ 0x80;
            }
        }
        // d | d_min | 12 bytes of 6-bit scales and minima | codes, 64 to 32 bytes
        Dtype::Q4K => {
            scales_and_minima(&bytes[..16], block);
            for (packed, codes) in bytes[16..144]
                .chunks_exact(32)
                .zip(block.codes.chunks_exact_mut(64))
            {
                nibbles(packed, codes);
            }
        }
        // As Q4_K, with 32 bytes of fifth bits in between: bit g of byte j belongs to code j of group g.
        Dtype::Q5K => {
            scales_and_minima(&bytes[..16], block);
            for (packed, codes) in bytes[48..176]
                .chunks_exact(32)
                .zip(block.codes.chunks_exact_mut(64))
            {
                nibbles(packed, codes);
            }
            for (group, codes) in block.codes.chunks_exact_mut(32).enumerate() {
                for (code, &high) in codes.iter_mut().zip(&bytes[16..48]) {
                    *code |= (high >> group & 1) << 4;
                }
            }
        }
        Dtype::Q6K => unpack_q6k(bytes, block),
    }
}

/// Low nibbles are the first half of `codes`, high nibbles the second.
fn nibbles(packed: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(packed.len());
    for ((&byte, low), high) in packed.iter().zip(low).zip(high) {
        *low = byte & 0x0f;
        *high = byte >> 4;
    }
}

/// Bit i of the four bytes is bit 4 of code i.
fn fifth_bits(packed: &[u8], codes: &mut [u8]) {
    for (codes, &bits) in codes.chunks_exact_mut(8).zip(packed) {
        for (i, code) in codes.iter_mut().enumerate() {
            *code |= (bits >> i & 1) << 4;
        }
    }
}

/// d | d_min | 8 scales and 8 minima of 6 bits in 12 bytes.
///
/// Groups 0 to 3 have their scale in the low 6 bits of bytes 0 to 3, and their minimum in those of bytes 4 to 7. Groups 4 to 7 have
/// their low 4 bits in bytes 8 to 11 (scale in the low nibble, minimum in the high one) and their top 2 bits in the top 2 bits
/// of bytes 0 to 3 (scale) and 4 to 7 (minimum).
fn scales_and_minima(bytes: &[u8], block: &mut Block) {
    let mut factors = Factors {
        d: f16_at(bytes, 0),
        d_min: f16_at(bytes, 2),
        ..Factors::default()
    };
    let packed = &bytes[4..16];
    for i in 0..4 {
        let (scale, minimum, low) = (packed[i], packed[i + 4], packed[i + 8]);
        factors.scales[i] = (scale & 0x3f).cast_signed();
        factors.minima[i] = minimum & 0x3f;
        factors.scales[i + 4] = (low & 0x0f | scale >> 6 << 4).cast_signed();
        factors.minima[i + 4] = low >> 4 | minimum >> 6 << 4;
    }
    let (d, d_min) = (factors.d.to_f32(), factors.d_min.to_f32());
    for (i, &minimum) in factors.minima.iter().enumerate() {
        block.scales[i] = d * f32::from(factors.scales[i]);
        block.minima[i] = -(d_min * f32::from(minimum));
    }
    block.factors = Some(factors);
}

/// 128 bytes of low nibbles | 64 bytes of top bit pairs | 16 signed scales | d.
///
/// Each half of 128 codes takes 64 bytes of nibbles (low nibbles first) and 32 bytes of pairs: pair p of byte j belongs to code
/// 32 p + j of that half.
fn unpack_q6k(bytes: &[u8], block: &mut Block) {
    let (low, rest) = bytes.split_at(128);
    let (high, rest) = rest.split_at(64);
    let mut factors = Factors {
        d: f16_at(rest, 16),
        ..Factors::default()
    };
    for (half, codes) in block.codes.chunks_exact_mut(128).enumerate() {
        nibbles(&low[64 * half..][..64], codes);
        for (pair, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, &bits) in codes.iter_mut().zip(&high[32 * half..][..32]) {
                *code |= (bits >> (2 * pair) & 3) << 4;
            }
        }
    }
    let d = factors.d.to_f32();
    for (i, &byte) in rest[..16].iter().enumerate() {
        factors.scales[i] = byte.cast_signed();
        block.scales[i] = d * f32::from(factors.scales[i]);
    }
    block.factors = Some(factors);
}

/// The f16 at byte `at`.
fn f16_at(bytes: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The f16 at byte `at`, widened.
fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16_at(bytes, at).to_f32()
}

#[cfg(test)]
mod tests;
