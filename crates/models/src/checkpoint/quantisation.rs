//! Which number format each tensor gets.
//!
//! As users know it from llama.cpp: matrices in the format that was asked for; vectors, norms, convolutions, routers and the
//! small projections that steer a recurrent state in f32; the output projection (and an embedding that serves as one) in
//! Q6_K, since it is the most sensitive matrix, or in Q8_0 where that was asked for. A row that is no multiple of a format's
//! block takes the nearest format with smaller blocks.

use ops::Dtype;

/// A number format that a model can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantisation(Dtype);

/// What can be asked for: name, format, and llama.cpp's number for a file mostly in it (`general.file_type`).
const KNOWN: [(&str, Dtype, u32); 11] = [
    ("f32", Dtype::F32, 0),
    ("f16", Dtype::F16, 1),
    ("bf16", Dtype::Bf16, 32),
    ("q8_0", Dtype::Q8_0, 7),
    ("q4_0", Dtype::Q4_0, 2),
    ("q4_1", Dtype::Q4_1, 3),
    ("q5_0", Dtype::Q5_0, 8),
    ("q5_1", Dtype::Q5_1, 9),
    ("q4_k", Dtype::Q4K, 14),
    ("q5_k", Dtype::Q5K, 16),
    ("q6_k", Dtype::Q6K, 18),
];

impl Quantisation {
    /// By name, in upper or lower case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let found = KNOWN.iter().find(|(known, _, _)| *known == lower);
        found.map(|&(_, dtype, _)| Self(dtype))
    }

    /// Every name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, _, _)| *name)
    }

    /// The format of most matrices.
    #[must_use]
    pub fn dtype(self) -> Dtype {
        self.0
    }
}

/// llama.cpp's number for a file whose matrices are mostly in `dtype`.
pub(super) fn file_type(dtype: Dtype) -> u32 {
    let found = KNOWN.iter().find(|(_, known, _)| *known == dtype);
    found.map_or(0, |&(_, _, number)| number)
}

/// Whether blocks of several weights share a scale.
pub(super) fn is_blocked(dtype: Dtype) -> bool {
    dtype.block_len() > 1
}

/// What a tensor is for, as far as its format depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Always f32.
    Precise,
    /// A matrix of a layer, or an embedding that is nothing else.
    Matrix,
    /// What makes the logits.
    Output,
}

/// A format, and what was wanted where the row length does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) dtype: Dtype,
    pub(super) instead_of: Option<Dtype>,
}

pub(super) fn choose(
    role: Role,
    stored: Dtype,
    row_len: usize,
    asked: Option<Quantisation>,
) -> Choice {
    let wanted = match (role, asked) {
        (Role::Precise, _) => Dtype::F32,
        (_, None) => stored,
        (Role::Output, Some(Quantisation(dtype))) if is_blocked(dtype) && dtype != Dtype::Q8_0 => {
            Dtype::Q6K
        }
        (_, Some(Quantisation(dtype))) => dtype,
    };
    let mut dtype = wanted;
    while !row_len.is_multiple_of(dtype.block_len()) {
        dtype = smaller_blocks(dtype);
    }
    Choice {
        dtype,
        instead_of: (dtype != wanted).then_some(wanted),
    }
}

/// The nearest format with smaller blocks; at last one without blocks.
fn smaller_blocks(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::Q4K => Dtype::Q5_0,
        Dtype::Q5K => Dtype::Q5_1,
        Dtype::Q6K => Dtype::Q8_0,
        _ => Dtype::F16,
    }
}
