//! Number formats of stored weights: plain floats and the block-quantised formats of GGUF.
//!
//! A block holds `block_len` consecutive weights of one row in `block_bytes` bytes, scales included.

/// How the weights of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
    /// 32 weights: f16 scale, 4-bit codes, w = d * (q - 8).
    Q4_0,
    /// 32 weights: f16 scale and minimum, 4-bit codes, w = d * q + m.
    Q4_1,
    /// 32 weights: f16 scale, 5-bit codes, w = d * (q - 16).
    Q5_0,
    /// 32 weights: f16 scale and minimum, 5-bit codes, w = d * q + m.
    Q5_1,
    /// 32 weights: f16 scale, signed 8-bit codes, w = d * q.
    Q8_0,
    /// 256 weights in 8 sub-blocks with 6-bit scales and minima, 4-bit codes.
    Q4K,
    /// 256 weights in 8 sub-blocks with 6-bit scales and minima, 5-bit codes.
    Q5K,
    /// 256 weights in 16 sub-blocks with signed 8-bit scales, 6-bit codes.
    Q6K,
}

impl Dtype {
    /// Every format that Sprag reads.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Weights in one block; a row's length must be a multiple of it.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block, scales included.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of `elements` weights, or `None` when they are not whole blocks or the product overflows.
    #[must_use]
    pub const fn bytes_for(self, elements: usize) -> Option<usize> {
        if !elements.is_multiple_of(self.block_len()) {
            return None;
        }
        (elements / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Bits stored for one weight, scales included.
    #[must_use]
    pub fn bits_per_weight(self) -> f64 {
        self.block_bytes() as f64 * 8.0 / self.block_len() as f64
    }

    /// The name that the field uses, as in file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
