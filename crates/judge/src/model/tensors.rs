//! The tensors of a file: each is taken once, by name and exact shape, and at the end none may be left.
//!
//! The container's head is read by the `safetensors` crate, which proves that the tensors lie side by side without a gap. Its own
//! entrance for whole files is not used: in version 0.8.0 it adds the tensors' end to the head's length, and panics at a tensor that
//! claims nearly 2^64 bytes where overflow is checked. Here the data's length is compared with the tensors' end, and nothing is added.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::flaw::{Flaw, short};

/// 256 layers have less than a megabyte of names and shapes.
const MOST_HEAD_BYTES: usize = 4 << 20;
const MOST_ABOUT_BYTES: usize = 4 << 20;
/// In f64 they take 1 GiB.
const MOST_PARAMETERS: usize = 1 << 27;
const ABOUT: &str = "about";

/// What has not been taken yet.
#[derive(Debug)]
pub(super) struct Tensors<'a> {
    data: &'a [u8],
    entries: BTreeMap<String, TensorInfo>,
    all: usize,
    parameters: usize,
}

impl<'a> Tensors<'a> {
    /// Of a whole file.
    pub(super) fn of(file: &'a [u8]) -> Result<Self, Flaw> {
        let head = |expected, came: String| Flaw::Head { expected, came };
        let (length, rest) = file.split_first_chunk().ok_or_else(|| {
            head(
                "8 bytes that tell its length",
                format!("{} bytes", file.len()),
            )
        })?;
        let length = u64::from_le_bytes(*length);
        let split = usize::try_from(length)
            .ok()
            .filter(|&length| length <= MOST_HEAD_BYTES)
            .and_then(|length| rest.split_at_checked(length));
        let (json, data) = split.ok_or_else(|| {
            head(
                "a length of at most 4 MiB and the file's",
                format!("{length} of {} bytes", file.len()),
            )
        })?;
        let read: Metadata = serde_json::from_slice(json)
            .map_err(|e| head("JSON of tensors side by side", short(e)))?;
        if read.data_len() != data.len() {
            let came = format!(
                "{} bytes of tensors and {} of data",
                read.data_len(),
                data.len()
            );
            return Err(head("as many bytes as its tensors have", came));
        }
        let entries: BTreeMap<_, _> = read
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.clone()))
            .collect();
        let parameters = data.len() / size_of::<f32>();
        if parameters > MOST_PARAMETERS {
            return Err(Flaw::Large {
                what: "parameters",
                came: parameters as u128,
                most: MOST_PARAMETERS as u128,
            });
        }
        let all = entries.len();
        Ok(Self {
            data,
            entries,
            all,
            parameters,
        })
    }

    /// How many f32 fit into the file.
    pub(super) fn parameters(&self) -> usize {
        self.parameters
    }

    /// The JSON that describes the model.
    pub(super) fn about(&mut self) -> Result<&'a [u8], Flaw> {
        let (info, bytes) = self.take(ABOUT).ok_or_else(|| Flaw::About {
            came: "no such tensor".to_owned(),
        })?;
        if info.dtype != Dtype::U8 || info.shape.len() != 1 || bytes.len() > MOST_ABOUT_BYTES {
            return Err(wrong(
                ABOUT,
                &info,
                "U8 of one dimension, at most 4 MiB".to_owned(),
            ));
        }
        Ok(bytes)
    }

    /// The weights of this name (without `weights.`), exactly of this shape.
    pub(super) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Array2<f64>, Flaw> {
        let name = format!("weights.{name}");
        let shape = [rows, columns];
        let Some((info, bytes)) = self.take(&name) else {
            return Err(Flaw::Missing {
                name,
                shape: shape.to_vec(),
            });
        };
        if info.dtype != Dtype::F32 || info.shape != shape {
            return Err(wrong(&name, &info, format!("F32 {shape:?}")));
        }
        let (values, _) = bytes.as_chunks();
        let values: Vec<f64> = values
            .iter()
            .enumerate()
            .map(|(at, &value)| match f32::from_le_bytes(value) {
                value if value.is_finite() => Ok(f64::from(value)),
                value => Err(Flaw::NotFinite {
                    name: name.clone(),
                    at,
                    value,
                }),
            })
            .collect::<Result<_, _>>()?;
        Array2::from_shape_vec(shape, values)
            .map_err(|_| wrong(&name, &info, format!("F32 {shape:?}")))
    }

    /// A matrix of one row.
    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Array1<f64>, Flaw> {
        Ok(self.matrix(name, 1, length)?.flatten().into_owned())
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Flaw> {
        self.entries.first_key_value().map_or(Ok(()), |(name, _)| {
            Err(Flaw::LeftOver {
                name: short(name),
                expected: self.all - self.entries.len(),
                came: self.all,
            })
        })
    }

    fn take(&mut self, name: &str) -> Option<(TensorInfo, &'a [u8])> {
        let info = self.entries.remove(name)?;
        let (from, to) = info.data_offsets;
        let bytes = self.data.get(from..to)?;
        Some((info, bytes))
    }
}

fn wrong(name: &str, info: &TensorInfo, expected: String) -> Flaw {
    Flaw::Tensor {
        name: name.to_owned(),
        came: short(format!("{:?} {:?}", info.dtype, info.shape)),
        expected,
    }
}
