//! Which number format each tensor of a new file gets.
//!
//! As users know it from llama.cpp: matrices in the format that was asked for; vectors, norms, convolutions, routers and the
//! small projections that steer a recurrent state in f32; the output projection (and an embedding that serves as one) in
//! Q6_K, since it is the most sensitive matrix, or in Q8_0 where that was asked for. A row that is no multiple of a format's
//! block takes the nearest format with smaller blocks.

use std::collections::BTreeMap;

use ops::Dtype;

use super::Value;

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

    /// The number format itself.
    #[must_use]
    pub fn dtype(self) -> Dtype {
        self.0
    }

    /// Every name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, _, _)| *name)
    }
}

/// What a tensor is for, as far as its format depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Always f32.
    Precise,
    /// A matrix of a layer, or an embedding that is nothing else.
    Matrix,
    /// What makes the logits.
    Output,
}

/// A format that could not be used because of a row's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The format that the tensors should have had.
    pub wanted: Dtype,
    /// The format that they have instead.
    pub used: Dtype,
    /// How many tensors.
    pub tensors: usize,
    /// The name of the first.
    pub first: String,
    /// Its weights in a row.
    pub row_len: usize,
}

/// Gives each tensor of a file its format, and remembers what a file's head says of them.
#[derive(Debug)]
pub struct Formats {
    /// Tensors keep theirs where nothing was asked for.
    asked: Option<Quantisation>,
    fallbacks: BTreeMap<(&'static str, &'static str), Fallback>,
    /// Of matrices, by the format's name.
    bytes: BTreeMap<&'static str, usize>,
    has_blocks: bool,
}

impl Formats {
    /// For a file whose matrices should be in this format.
    #[must_use]
    pub const fn new(asked: Option<Quantisation>) -> Self {
        Self {
            asked,
            fallbacks: BTreeMap::new(),
            bytes: BTreeMap::new(),
            has_blocks: false,
        }
    }

    /// The format of a tensor that is in `stored` now, with `rows` rows of `row_len`.
    pub fn choose(
        &mut self,
        name: &str,
        role: Role,
        stored: Dtype,
        (rows, row_len): (usize, usize),
    ) -> Dtype {
        let (dtype, wanted) = choice(role, stored, row_len, self.asked);
        if dtype != wanted {
            let key = (wanted.name(), dtype.name());
            let fallback = self.fallbacks.entry(key).or_insert_with(|| Fallback {
                wanted,
                used: dtype,
                tensors: 0,
                first: name.to_owned(),
                row_len,
            });
            fallback.tensors += 1;
        }
        if role != Role::Precise {
            let bytes = dtype.bytes_for(row_len).unwrap_or(0);
            *self.bytes.entry(dtype.name()).or_default() += bytes.saturating_mul(rows);
        }
        self.has_blocks |= is_blocked(dtype);
        dtype
    }

    /// `general.file_type`, and `general.quantization_version` where it matters.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let largest = self.bytes.iter().max_by_key(|(_, bytes)| **bytes);
        // What no row allowed is not what the file is in.
        let asked = self.asked.map(|asked| asked.0.name());
        let mostly = asked
            .filter(|name| self.bytes.contains_key(name))
            .or(largest.map(|(name, _)| *name));
        let known = KNOWN
            .iter()
            .find(|(_, known, _)| Some(known.name()) == mostly);
        let number = known.map_or(0, |&(_, _, number)| number);
        let mut metadata = vec![("general.file_type".to_owned(), Value::U32(number))];
        if self.has_blocks {
            // The second version of the block formats, which every reader since 2023 expects.
            metadata.push(("general.quantization_version".to_owned(), Value::U32(2)));
        }
        metadata
    }

    /// Formats that did not fit.
    #[must_use]
    pub fn fallbacks(self) -> Vec<Fallback> {
        self.fallbacks.into_values().collect()
    }
}

/// Whether blocks of several weights share a scale.
fn is_blocked(dtype: Dtype) -> bool {
    dtype.block_len() > 1
}

/// A format, and what was wanted where the row length does not allow it.
fn choice(
    role: Role,
    stored: Dtype,
    row_len: usize,
    asked: Option<Quantisation>,
) -> (Dtype, Dtype) {
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
    (dtype, wanted)
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
