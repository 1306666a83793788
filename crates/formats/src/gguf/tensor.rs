//! A tensor's entry in the file's table: name, number format, shape, and where its bytes are.
//!
//! GGUF knows more number formats than Sprag computes with. A tensor in one of those must not keep a user from
//! inspecting the file, so it is listed with the format's name and, where known, its size; only using it fails.

use std::fmt;
use std::ops::Range;

use ops::Dtype;

use super::error::{Fault, Quoted};

/// The most dimensions that a tensor has.
pub const MAX_DIMS: usize = 4;

/// How a tensor's weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorType {
    /// A format that Sprag computes with.
    Readable(Dtype),
    /// A format that it only names.
    Unsupported {
        /// The format's number in the file.
        id: u32,
        /// Its name, or `unknown`.
        name: &'static str,
        /// Its block, when known.
        block: Option<Block>,
    },
}

/// The unit in which a format stores weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Weights in a block.
    pub len: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

/// Number, name, weights and bytes of a block, of each format in GGUF that Sprag does not read.
/// Source: the size table of the `gguf` Python package 0.19; formats that were withdrawn have no size there.
const UNSUPPORTED: [(u32, &str, usize, usize); 31] = [
    (4, "Q4_2", 0, 0),
    (5, "Q4_3", 0, 0),
    (9, "Q8_1", 32, 40),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (31, "Q4_0_4_4", 0, 0),
    (32, "Q4_0_4_8", 0, 0),
    (33, "Q4_0_8_8", 0, 0),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (36, "IQ4_NL_4_4", 0, 0),
    (37, "IQ4_NL_4_8", 0, 0),
    (38, "IQ4_NL_8_8", 0, 0),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
];

impl TensorType {
    /// The format with this number in the file.
    #[must_use]
    pub fn from_id(id: u32) -> Self {
        if let Some(&dtype) = Dtype::ALL.iter().find(|&&dtype| dtype_id(dtype) == id) {
            return Self::Readable(dtype);
        }
        match UNSUPPORTED.iter().find(|entry| entry.0 == id) {
            Some(&(_, name, len, bytes)) => Self::Unsupported {
                id,
                name,
                block: (len > 0).then_some(Block { len, bytes }),
            },
            None => Self::Unsupported {
                id,
                name: "unknown",
                block: None,
            },
        }
    }

    /// The format's number in the file.
    #[must_use]
    pub fn id(self) -> u32 {
        match self {
            Self::Readable(dtype) => dtype_id(dtype),
            Self::Unsupported { id, .. } => id,
        }
    }

    /// The format's name, or `unknown`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Readable(dtype) => dtype.name(),
            Self::Unsupported { name, .. } => name,
        }
    }

    /// The format's block, when known.
    #[must_use]
    pub fn block(self) -> Option<Block> {
        match self {
            Self::Readable(dtype) => Some(Block {
                len: dtype.block_len(),
                bytes: dtype.block_bytes(),
            }),
            Self::Unsupported { block, .. } => block,
        }
    }
}

impl From<Dtype> for TensorType {
    fn from(dtype: Dtype) -> Self {
        Self::Readable(dtype)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number by which GGUF calls a format.
const fn dtype_id(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Q4_0 => 2,
        Dtype::Q4_1 => 3,
        Dtype::Q5_0 => 6,
        Dtype::Q5_1 => 7,
        Dtype::Q8_0 => 8,
        Dtype::Q4K => 12,
        Dtype::Q5K => 13,
        Dtype::Q6K => 14,
        Dtype::Bf16 => 30,
    }
}

/// One entry of the tensor table, validated against the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub(super) name: Box<str>,
    pub(super) tensor_type: TensorType,
    pub(super) dims: [usize; MAX_DIMS],
    pub(super) n_dims: usize,
    /// Offset in the file of the first byte.
    pub(super) start: usize,
    /// Bytes, unless the format's size is unknown.
    pub(super) len: Option<usize>,
}

impl TensorInfo {
    /// The tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its weights are stored.
    #[must_use]
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// The number format, or `None` for one that Sprag does not read; [`super::Gguf::dtype`] makes that an error.
    #[must_use]
    pub fn dtype(&self) -> Option<Dtype> {
        match self.tensor_type {
            TensorType::Readable(dtype) => Some(dtype),
            TensorType::Unsupported { .. } => None,
        }
    }

    /// Dimensions in the file's order: `shape()[0]` is the contiguous one. 1 to 4 of them, none zero.
    /// A matrix that maps `k` inputs to `n` outputs has the shape `[k, n]` and is stored as `n` rows of `k`.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.dims[..self.n_dims]
    }

    /// Weights in one row: the contiguous dimension.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.dims[0]
    }

    /// Number of rows: the product of the other dimensions.
    #[must_use]
    pub fn rows(&self) -> usize {
        // The parser made sure that the product of all dimensions does not overflow.
        self.dims[1..].iter().product()
    }

    /// Number of weights.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Bytes in the file, or `None` for a format of unknown size.
    #[must_use]
    pub fn byte_len(&self) -> Option<usize> {
        self.len
    }

    /// Where the bytes are in the file, or `None` for a format of unknown size.
    #[must_use]
    pub fn byte_range(&self) -> Option<Range<usize>> {
        // The parser made sure that the end is within the file.
        self.len.map(|len| self.start..self.start + len)
    }

    pub(super) fn unsupported(&self) -> Fault {
        Fault::UnsupportedType {
            tensor: Quoted::new(&self.name),
            name: self.tensor_type.name(),
            id: self.tensor_type.id(),
        }
    }
}
