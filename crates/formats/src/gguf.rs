//! GGUF: the file format of llama.cpp's models, read lazily from a memory map.
//!
//! A model that lies elsewhere in another form can be seen as a GGUF file too ([`Gguf::derived`]): its head is made at once, a
//! tensor's bytes when they are asked for ([`Gguf::weights`]). So whatever reads models has one kind of source.
//!
//! A file is a header, metadata (keys and values), a table of tensors, and their bytes. [`Gguf::open`] maps the
//! file, reads and validates everything but the tensors' bytes, and hands those out as slices of the map. So a
//! model of any size opens in milliseconds, and the system reads its weights when they are first touched.
//!
//! # Invariants
//! Whatever the bytes are: no panic, no arithmetic that wraps, and no allocation that the file's size or a small
//! limit does not bound. Of a [`Gguf`] that exists: keys and tensor names are unique, not empty and UTF-8, every tensor
//! consists of whole blocks within the file, aligned, and shares no byte with another.
//!
//! # What this does not do
//! Big-endian files and version 1 are refused. A split model's parts are opened one by one; joining them is the
//! caller's work. Weights are not decoded here (see `ops` and `kernels`), except for [`Gguf::check_finite`].

mod derived;
mod error;
mod finite;
mod foreign;
mod layout;
mod metadata;
mod parse;
mod quantisation;
mod reader;
mod storage;
mod tensor;
mod value;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use ops::Dtype;

use derived::Maker;
pub use derived::{MakeError, TensorSpec};
pub use error::{Fault, Field, GgufError, Origin, Quoted};
pub use finite::first_non_finite;
pub use foreign::Foreign;
pub use metadata::Metadata;
pub use quantisation::{Fallback, Formats, Quantisation, Role};
use storage::Storage;
pub use storage::{Text, TextArray};
pub use tensor::{Block, MAX_DIMS, TensorInfo, TensorType};
pub use value::{Array, Value, ValueType};
pub use write::{TensorData, WriteError, encode, save, write};

/// An open GGUF file.
///
/// It owns the map; share it with `Arc<Gguf>` where weights outlive the scope that opened the file.
///
/// # Files that change while they are open
/// On Unix, replacing the file by a new one (write elsewhere, then rename) is safe: the map keeps the old bytes.
/// Shortening it in place is not: the next touch of a page that is gone stops the process with SIGBUS. Writing
/// into it changes weights under way. Nothing in this process can prevent either.
#[derive(Debug)]
pub struct Gguf {
    origin: Origin,
    storage: Arc<Storage>,
    // More than the storage's length for a derived file.
    file_len: usize,
    // Makes the tensors of a derived file.
    maker: Option<Maker>,
    version: u32,
    alignment: usize,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    // Indices of `tensors`, sorted by name.
    by_name: Vec<u32>,
}

impl Gguf {
    /// Maps the file and validates its head: metadata and tensor table. The tensors' bytes are not read.
    ///
    /// # Errors
    /// When the file can't be opened and mapped, is not GGUF version 2 or 3 in little-endian order, or is damaged.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let origin = Origin::File(path.into());
        crate::mmap::map(path)
            .map_err(Fault::from)
            .and_then(|map| Self::new(&origin, Storage::Mapped(map)))
            .map_err(|fault| GgufError::new(&origin, fault))
    }

    /// As [`Self::open`], for bytes in memory.
    ///
    /// # Errors
    /// When the bytes are not GGUF version 2 or 3 in little-endian order, or are damaged.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GgufError> {
        let origin = Origin::Memory;
        Self::new(&origin, Storage::Owned(bytes)).map_err(|fault| GgufError::new(&origin, fault))
    }

    fn new(origin: &Origin, storage: Storage) -> Result<Self, Fault> {
        let file_len = storage.bytes().len();
        Self::with_len(origin, storage, file_len)
    }

    fn with_len(origin: &Origin, storage: Storage, file_len: usize) -> Result<Self, Fault> {
        let storage = Arc::new(storage);
        let parse::Head {
            version,
            alignment,
            metadata,
            tensors,
        } = parse::head(&storage, origin, file_len)?;
        let by_name = index_by_name(&tensors)?;
        Ok(Self {
            origin: origin.clone(),
            storage,
            file_len,
            maker: None,
            version,
            alignment,
            metadata,
            tensors,
            by_name,
        })
    }

    /// The file's version: 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file's alignment of tensors, in bytes; a power of two.
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// The file's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors in the order of the file's table.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let found = self
            .by_name
            .binary_search_by(|&index| (*self.tensors[index as usize].name).cmp(name))
            .ok()?;
        Some(&self.tensors[self.by_name[found] as usize])
    }

    /// The tensor with this name, which must have this shape (contiguous dimension first).
    ///
    /// # Errors
    /// When it is missing, or has another shape.
    pub fn require(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, GgufError> {
        let fault = match self.tensor(name) {
            Some(tensor) if tensor.shape() == shape => return Ok(tensor),
            Some(tensor) => Fault::WrongShape {
                tensor: Quoted::new(name),
                expected: shape.to_vec(),
                found: tensor.shape().to_vec(),
            },
            None => Fault::MissingTensor {
                tensor: Quoted::new(name),
            },
        };
        Err(GgufError::new(&self.origin, fault))
    }

    /// A tensor's number format.
    ///
    /// # Errors
    /// When it is one that Sprag does not read.
    pub fn dtype(&self, tensor: &TensorInfo) -> Result<Dtype, GgufError> {
        tensor
            .dtype()
            .ok_or_else(|| GgufError::new(&self.origin, tensor.unsupported()))
    }

    /// A tensor's bytes where they lie in the file, in its own format. Empty for a format of unknown size (see
    /// [`TensorInfo::byte_len`]) and for a tensor of a derived file, which lies nowhere: [`Self::weights`] makes it.
    ///
    /// # Panics
    /// When `tensor` belongs to another, longer file.
    #[must_use]
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        match tensor.byte_range() {
            Some(range) if self.maker.is_none() => &self.storage.bytes()[range],
            _ => &[],
        }
    }

    /// A tensor's bytes, from the file or made for the occasion.
    ///
    /// # Errors
    /// Only for a derived file: the tensor can't be made.
    ///
    /// # Panics
    /// When `tensor` belongs to another, longer file.
    pub fn weights(&self, tensor: &TensorInfo) -> Result<Cow<'_, [u8]>, GgufError> {
        match &self.maker {
            None => Ok(Cow::Borrowed(self.bytes(tensor))),
            Some(maker) => maker
                .make(tensor)
                .map(Cow::Owned)
                .map_err(|fault| GgufError::new(&self.origin, fault)),
        }
    }

    /// Gives back the memory of a tensor's `rows` that were read and won't be read again soon. They stay readable.
    ///
    /// # Panics
    /// When `tensor` belongs to another, longer file.
    pub fn release(&self, tensor: &TensorInfo, rows: std::ops::Range<usize>) {
        if let (Storage::Mapped(map), Some(range)) = (&*self.storage, tensor.byte_range())
            && self.maker.is_none()
        {
            let row_bytes = range.len() / tensor.rows().max(1);
            let end = range.end.min(range.start + rows.end * row_bytes);
            let start = end.min(range.start + rows.start * row_bytes);
            crate::mmap::release(map, start..end);
        }
    }

    /// Reads all of a tensor and fails on the first scale or float that is NaN or infinite. To check in parallel,
    /// or while repacking, see [`first_non_finite`].
    ///
    /// # Errors
    /// When a value is not finite, or the number format is one that Sprag does not read.
    pub fn check_finite(&self, tensor: &TensorInfo) -> Result<(), GgufError> {
        let dtype = self.dtype(tensor)?;
        match first_non_finite(dtype, &self.weights(tensor)?) {
            None => Ok(()),
            Some(block) => Err(self.not_finite(tensor, dtype, block)),
        }
    }

    /// The error for a non-finite value that a caller found with [`first_non_finite`]; `block` counts from the
    /// start of the tensor.
    #[must_use]
    pub fn not_finite(&self, tensor: &TensorInfo, dtype: Dtype, block: usize) -> GgufError {
        let tensor = Quoted::new(tensor.name());
        GgufError::new(
            &self.origin,
            Fault::NotFinite {
                tensor,
                block,
                block_len: dtype.block_len(),
                dtype,
            },
        )
    }

    /// The file's path, or `None` for bytes in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Memory => None,
        }
    }

    /// The file's length in bytes; of a derived file, what it would be.
    #[must_use]
    pub fn file_len(&self) -> usize {
        self.file_len
    }
}

fn index_by_name(tensors: &[TensorInfo]) -> Result<Vec<u32>, Fault> {
    // The parser reads far fewer than `u32::MAX` tensors.
    let mut by_name: Vec<u32> = (0u32..).take(tensors.len()).collect();
    by_name.sort_unstable_by_key(|&index| &tensors[index as usize].name);
    let name = |index: u32| &tensors[index as usize].name;
    match by_name
        .windows(2)
        .find(|pair| name(pair[0]) == name(pair[1]))
    {
        Some(pair) => Err(Fault::DuplicateTensor {
            tensor: Quoted::new(name(pair[0])),
        }),
        None => Ok(by_name),
    }
}
