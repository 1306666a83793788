//! Writes a GGUF file, version 3: whole, checked, or not at all.
//!
//! 1. Header, metadata and tensor table; each tensor's offset follows from the sizes before it.
//! 2. The tensors' bytes, each padded to the alignment.
//! 3. [`write()`] does this in a temporary file beside the target, opens that file with the parser, and only then
//!    gives it the target's name. A full disk or an interruption leaves the old file as it was.

use std::borrow::Borrow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::parse::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC};
use super::storage::TextArray;
use super::tensor::TensorType;
use super::value::{Array, Value};
use super::{Gguf, GgufError};

/// A tensor to write.
#[derive(Clone, Copy, Debug)]
pub struct TensorData<'a> {
    /// Its name, unique in the file.
    pub name: &'a str,
    /// How its weights are stored.
    pub tensor_type: TensorType,
    /// 1 to 4 dimensions, the contiguous one first; that one is a multiple of the format's block.
    pub shape: &'a [usize],
    /// The weights in that format.
    pub bytes: &'a [u8],
}

/// Why a file was not written. The target is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The alignment asked for is not a power of two of type u32.
    #[error("metadata key \"general.alignment\" is {found}; give a power of two of type u32")]
    BadAlignment {
        /// The value.
        found: String,
    },
    /// A tensor's bytes do not match its shape and format.
    #[error("tensor {name:?} has {found} bytes; its shape and format take {}", expected.map_or("an unknown number".into(), |len| len.to_string()))]
    WrongSize {
        /// The tensor.
        name: String,
        /// Bytes by shape and format, or `None` when the product overflows or the format's size is unknown.
        expected: Option<usize>,
        /// Bytes given.
        found: usize,
    },
    /// The operating system refused.
    #[error("can't write {}: {source}; check the folder's permissions and the space left on its disk", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A tensor's weights can't be had.
    #[error(transparent)]
    Weights(GgufError),
    /// The caller asked to stop.
    #[error("stopped; the file was not written")]
    Stopped,
    /// The parser refuses what was written: names are not unique, or a shape is not valid.
    #[error("the file to be written would not be valid: {0}")]
    Invalid(GgufError),
}

/// Writes a file at `path`, replacing one that is there. See the module's head.
///
/// # Errors
/// When sizes, shapes or names are not valid, or the system can't write.
pub fn write<K: AsRef<str>, V: Borrow<Value>>(
    path: &Path,
    metadata: &[(K, V)],
    tensors: &[TensorData<'_>],
) -> Result<(), WriteError> {
    let head = Head::new(metadata, tensors)?;
    let io = |source| WriteError::Io {
        path: path.to_path_buf(),
        source,
    };
    whole_or_not(path, &mut |out| head.write_to(out, tensors).map_err(io))
}

/// Writes all of `gguf` to `path`, replacing a file that is there; tensors that have to be made are made one by one, so that
/// only one is in memory. `progress` hears the bytes done so far and answers whether to go on.
///
/// # Errors
/// A tensor can't be made, the system can't write, or `progress` says stop. The target is then as it was.
pub fn save(
    gguf: &Gguf,
    path: &Path,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), WriteError> {
    let io = |source| WriteError::Io {
        path: path.to_path_buf(),
        source,
    };
    let mut done = 0u64;
    whole_or_not(path, &mut |out| {
        let mut put = |bytes: &[u8], out: &mut dyn Write| {
            put_padded(bytes, gguf.alignment(), out).map_err(io)?;
            done += bytes.len() as u64;
            progress(done).then_some(()).ok_or(WriteError::Stopped)
        };
        put(gguf.storage.bytes(), out)?;
        if gguf.maker.is_some() {
            for tensor in gguf.tensors() {
                put(&gguf.weights(tensor).map_err(WriteError::Weights)?, out)?;
            }
        }
        Ok(())
    })
}

/// See the module's head, step 3.
fn whole_or_not(
    path: &Path,
    content: &mut dyn FnMut(&mut dyn Write) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let io = |source| WriteError::Io {
        path: path.to_path_buf(),
        source,
    };
    let mut temporary = Temporary::create(path).map_err(io)?;
    let mut out = BufWriter::new(&mut temporary.file);
    content(&mut out)?;
    out.flush().map_err(io)?;
    drop(out);
    temporary.file.sync_all().map_err(io)?;
    drop(Gguf::open(&temporary.path).map_err(WriteError::Invalid)?);
    temporary.rename(path).map_err(io)
}

fn put_padded(bytes: &[u8], alignment: usize, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(bytes)?;
    let padding = bytes.len().next_multiple_of(alignment) - bytes.len();
    io::copy(&mut io::Read::take(io::repeat(0), padding as u64), out).map(drop)
}

/// The bytes that [`write()`] would write, without the parser's check.
///
/// # Errors
/// When a tensor's bytes do not match its shape, or the alignment is not valid.
pub fn encode<K: AsRef<str>, V: Borrow<Value>>(
    metadata: &[(K, V)],
    tensors: &[TensorData<'_>],
) -> Result<Vec<u8>, WriteError> {
    let head = Head::new(metadata, tensors)?;
    let mut bytes = Vec::new();
    let io = |source| WriteError::Io {
        path: PathBuf::from("(memory)"),
        source,
    };
    head.write_to(&mut bytes, tensors).map_err(io)?;
    Ok(bytes)
}

/// A tensor's entry in the table, with the length of its bytes.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) tensor_type: TensorType,
    pub(super) shape: &'a [usize],
    pub(super) len: usize,
}

/// Everything before the tensors' bytes, not yet padded.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    alignment: usize,
    /// Of the whole file, with the last tensor's padding.
    pub(super) file_len: usize,
}

impl Head {
    fn new<K: AsRef<str>, V: Borrow<Value>>(
        metadata: &[(K, V)],
        tensors: &[TensorData<'_>],
    ) -> Result<Self, WriteError> {
        let entries: Vec<Entry<'_>> = tensors
            .iter()
            .map(|tensor| Entry {
                name: tensor.name,
                tensor_type: tensor.tensor_type,
                shape: tensor.shape,
                len: tensor.bytes.len(),
            })
            .collect();
        Self::of(metadata, &entries)
    }

    pub(super) fn of<K: AsRef<str>, V: Borrow<Value>>(
        metadata: &[(K, V)],
        tensors: &[Entry<'_>],
    ) -> Result<Self, WriteError> {
        let alignment = alignment(metadata)?;
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&3u32.to_le_bytes());
        bytes.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut bytes, key.as_ref().as_bytes());
            put_value(&mut bytes, value.borrow());
        }
        let mut offset = 0usize;
        for tensor in tensors {
            check_size(tensor)?;
            put_string(&mut bytes, tensor.name.as_bytes());
            bytes.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
            for &dim in tensor.shape {
                bytes.extend_from_slice(&(dim as u64).to_le_bytes());
            }
            bytes.extend_from_slice(&tensor.tensor_type.id().to_le_bytes());
            bytes.extend_from_slice(&(offset as u64).to_le_bytes());
            offset = tensor
                .len
                .checked_next_multiple_of(alignment)
                .and_then(|len| offset.checked_add(len))
                .ok_or_else(|| wrong_size(tensor, None))?;
        }
        let data_start = bytes.len().next_multiple_of(alignment);
        let file_len = data_start
            .checked_add(offset)
            .ok_or_else(|| WriteError::WrongSize {
                name: "the last".to_owned(),
                expected: None,
                found: offset,
            })?;
        Ok(Self {
            bytes,
            alignment,
            file_len,
        })
    }

    fn write_to(&self, out: &mut dyn Write, tensors: &[TensorData<'_>]) -> io::Result<()> {
        for bytes in
            std::iter::once(self.bytes.as_slice()).chain(tensors.iter().map(|tensor| tensor.bytes))
        {
            put_padded(bytes, self.alignment, out)?;
        }
        Ok(())
    }
}

fn alignment<K: AsRef<str>, V: Borrow<Value>>(metadata: &[(K, V)]) -> Result<usize, WriteError> {
    let value = match metadata
        .iter()
        .find(|(key, _)| key.as_ref() == ALIGNMENT_KEY)
    {
        None => DEFAULT_ALIGNMENT,
        Some((_, value)) => match value.borrow() {
            &Value::U32(value) if value.is_power_of_two() => value,
            other => {
                return Err(WriteError::BadAlignment {
                    found: format!("{other} ({})", other.value_type().name()),
                });
            }
        },
    };
    usize::try_from(value).map_err(|_| WriteError::BadAlignment {
        found: value.to_string(),
    })
}

/// Bytes of a tensor; `None` when the product overflows, is no whole number of blocks, or the format's size is unknown.
pub(super) fn byte_len(tensor_type: TensorType, shape: &[usize]) -> Option<usize> {
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    let block = tensor_type.block()?;
    elements
        .is_multiple_of(block.len)
        .then_some(elements / block.len)?
        .checked_mul(block.bytes)
}

fn check_size(tensor: &Entry<'_>) -> Result<(), WriteError> {
    let expected = byte_len(tensor.tensor_type, tensor.shape);
    if expected == Some(tensor.len) {
        return Ok(());
    }
    Err(wrong_size(tensor, expected))
}

fn wrong_size(tensor: &Entry<'_>, expected: Option<usize>) -> WriteError {
    WriteError::WrongSize {
        name: tensor.name.to_owned(),
        expected,
        found: tensor.len,
    }
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(&(string.len() as u64).to_le_bytes());
    out.extend_from_slice(string);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(&value.value_type().id().to_le_bytes());
    match value {
        Value::U8(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::I8(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::U16(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::I16(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::U32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::I32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::U64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::I64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::F32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::F64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Str(text) => put_string(out, text.bytes()),
        Value::Array(array) => put_array(out, array),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend_from_slice(&array.element_type().id().to_le_bytes());
    out.extend_from_slice(&(array.len() as u64).to_le_bytes());
    match array {
        Array::U8(values) => out.extend_from_slice(values),
        Array::I8(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::U16(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I16(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::U32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::U64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::F32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::F64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::Bool(values) => out.extend(values.iter().map(|&value| u8::from(value))),
        Array::Str(texts) => put_strings(out, texts),
    }
}

fn put_strings(out: &mut Vec<u8>, texts: &TextArray) {
    for text in texts.iter() {
        put_string(out, text);
    }
}

/// A file beside the target that is removed unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Temporary {
    const ATTEMPTS: u32 = 64;

    fn create(target: &Path) -> io::Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
        let mut taken = None;
        // Another thread may be writing the same target, or a stopped process of the same number left its file.
        for attempt in 0..Self::ATTEMPTS {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{attempt}.tmp", std::process::id()));
            let path = target.with_file_name(hidden);
            match File::create_new(&path) {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        file,
                        renamed: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(taken.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing more can be done about a leftover than what the error that led here already says.
            let _ = fs::remove_file(&self.path);
        }
    }
}
