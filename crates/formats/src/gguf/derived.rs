//! A GGUF file that is nowhere: its head is made from another model's, its tensors when they are asked for.
//!
//! The head is written by the writer and read back by the parser, so a derived file has been through the same checks as one
//! on the disk, and [`super::save`] writes the very bytes that were checked.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;

use ops::Dtype;

use super::error::{Fault, Origin, Quoted};
use super::storage::Storage;
use super::tensor::TensorInfo;
use super::value::Value;
use super::write::{Entry, Head, WriteError, byte_len};
use super::{Gguf, GgufError};

/// A tensor that is made when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name, unique in the file.
    pub name: String,
    /// How its weights are stored.
    pub dtype: Dtype,
    /// 1 to 4 dimensions, the contiguous one first; that one is a multiple of the format's block.
    pub shape: Vec<usize>,
}

/// Why a tensor could not be made.
pub type MakeError = Box<dyn std::error::Error + Send + Sync>;

type Make = dyn Fn(&str) -> Result<Vec<u8>, MakeError> + Send + Sync;

/// What makes a file's tensors, by name.
pub(super) struct Maker(Box<Make>);

impl Maker {
    pub(super) fn make(&self, tensor: &TensorInfo) -> Result<Vec<u8>, Fault> {
        let fault = |source| Fault::Making {
            tensor: Quoted::new(tensor.name()),
            source,
        };
        let bytes = (self.0)(tensor.name()).map_err(fault)?;
        if Some(bytes.len()) != tensor.byte_len() {
            let told = format!("{} bytes came where its shape takes others", bytes.len());
            return Err(fault(told.into()));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}

impl Gguf {
    /// A file whose tensors `make` makes, by name, in the format and size that `tensors` says. `path` is what it is derived
    /// from.
    ///
    /// # Errors
    /// Names are not unique, or shapes are not valid.
    pub fn derived<K: AsRef<str>, V: Borrow<Value>>(
        path: &Path,
        metadata: &[(K, V)],
        tensors: &[TensorSpec],
        make: impl Fn(&str) -> Result<Vec<u8>, MakeError> + Send + Sync + 'static,
    ) -> Result<Self, WriteError> {
        let mut entries = Vec::with_capacity(tensors.len());
        for TensorSpec { name, dtype, shape } in tensors {
            let tensor_type = (*dtype).into();
            let len = byte_len(tensor_type, shape).ok_or_else(|| WriteError::WrongSize {
                name: name.clone(),
                expected: None,
                found: 0,
            })?;
            entries.push(Entry {
                name,
                tensor_type,
                shape,
                len,
            });
        }
        let head = Head::of(metadata, &entries)?;
        let origin = Origin::File(path.into());
        let gguf = Self::with_len(&origin, Storage::Owned(head.bytes), head.file_len)
            .map_err(|fault| WriteError::Invalid(GgufError::new(&origin, fault)))?;
        Ok(Self {
            maker: Some(Maker(Box::new(make))),
            ..gguf
        })
    }

    /// Whether the tensors are made when they are asked for.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.maker.is_some()
    }
}
