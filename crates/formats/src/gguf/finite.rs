//! Finds NaN and infinity in stored weights before they poison a whole forward pass.
//!
//! In a block-quantised format only the block's float scales can be non-finite; the codes are integers. In a
//! plain format every weight is looked at. A float is finite unless all bits of its exponent are set.

use ops::Dtype;

/// Index of the first block of `bytes` with a scale (or, for plain floats, the first element) that is NaN or
/// infinite. `bytes` are whole blocks of `dtype`; a trailing partial block is not looked at.
///
/// Works on any run of blocks, so that a caller who repacks in parallel can check the part that it reads.
#[must_use]
pub fn first_non_finite(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    match dtype {
        Dtype::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .position(|&chunk| u32::from_le_bytes(chunk) & F32_EXPONENT == F32_EXPONENT),
        Dtype::F16 => halves(bytes, F16_EXPONENT),
        Dtype::Bf16 => halves(bytes, BF16_EXPONENT),
        Dtype::Q4_0 | Dtype::Q5_0 | Dtype::Q8_0 => scales(dtype, bytes, &[0]),
        Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K => scales(dtype, bytes, &[0, 2]),
        Dtype::Q6K => scales(dtype, bytes, &[208]),
    }
}

const F32_EXPONENT: u32 = 0x7F80_0000;
const F16_EXPONENT: u16 = 0x7C00;
const BF16_EXPONENT: u16 = 0x7F80;

fn halves(bytes: &[u8], exponent: u16) -> Option<usize> {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .position(|&chunk| u16::from_le_bytes(chunk) & exponent == exponent)
}

/// `at` are the offsets of the f16 scales in a block.
fn scales(dtype: Dtype, bytes: &[u8], at: &[usize]) -> Option<usize> {
    bytes.chunks_exact(dtype.block_bytes()).position(|block| {
        at.iter().any(|&at| {
            u16::from_le_bytes([block[at], block[at + 1]]) & F16_EXPONENT == F16_EXPONENT
        })
    })
}
