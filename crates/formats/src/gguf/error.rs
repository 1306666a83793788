//! What can be wrong with a GGUF file, in words that its user can act on.
//!
//! An error names the file, the field and the next step. Text that comes from the file is quoted with its
//! control characters escaped and its length bounded: a hostile name can't write to the user's terminal.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ops::Dtype;

use super::foreign::Foreign;
use crate::mmap::MapError;

/// Where the bytes came from, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file on this machine.
    File(Arc<Path>),
    /// Bytes that were handed over in memory.
    Memory,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("(bytes in memory)"),
        }
    }
}

/// A GGUF file that can't be read, or that lacks what was asked of it.
#[derive(Debug)]
pub struct GgufError {
    origin: Origin,
    // Boxed, so that the success path of every `Result` stays small.
    fault: Box<Fault>,
}

impl GgufError {
    pub(super) fn new(origin: &Origin, fault: Fault) -> Self {
        Self {
            origin: origin.clone(),
            fault: Box::new(fault),
        }
    }

    /// The file at fault.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.fault)
    }
}

impl std::error::Error for GgufError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The fault is part of this error's own text; only what caused it is a further step of the chain.
        self.fault.source()
    }
}

/// Text from a file, made safe to print: quoted, escaped, at most [`Quoted::LIMIT`] characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// Characters of a name that an error message shows.
    pub const LIMIT: usize = 80;

    /// Quotes `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.char_indices().nth(Self::LIMIT) {
            None => Self(format!("{text:?}")),
            Some((end, _)) => Self(format!("{:?}... ({} bytes)", &text[..end], text.len())),
        }
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the file's head, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A part of the fixed header.
    Header(&'static str),
    /// A part of the metadata pair with this index, before its key is known.
    Pair {
        /// Position among the metadata pairs, from 0.
        index: u64,
        /// Which part of it.
        part: &'static str,
    },
    /// The value of a metadata key.
    Value(Quoted),
    /// A part of the tensor table's entry with this index, before its name is known.
    TensorEntry {
        /// Position in the tensor table, from 0.
        index: u64,
        /// Which part of it.
        part: &'static str,
    },
    /// A part of a tensor's table entry.
    Tensor {
        /// The tensor.
        tensor: Quoted,
        /// Which part of its entry.
        part: &'static str,
    },
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(part) => write!(f, "the header's {part}"),
            Self::Pair { index, part } => write!(f, "the {part} of metadata pair {index}"),
            Self::Value(key) => write!(f, "the value of metadata key {key}"),
            Self::TensorEntry { index, part } => write!(f, "the {part} of tensor entry {index}"),
            Self::Tensor { tensor, part } => write!(f, "the {part} of tensor {tensor}"),
        }
    }
}

const DAMAGED: &str = "the file is damaged or was made by a faulty program: fetch it again or convert the model again";

/// What is wrong. Numbers are bytes unless their name says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The operating system refused.
    #[error("can't {action}: {source}; {}", crate::mmap::remedy(source))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A directory where a file was expected.
    #[error("is a directory; name the .gguf file inside it")]
    Directory,
    /// A pipe, socket or device.
    #[error("is not a regular file, so it can't be memory-mapped; save it to a file first")]
    NotRegular,
    /// No bytes at all.
    #[error("the file is empty, as after an interrupted download; fetch it again")]
    Empty,
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {start:02x?} where \"GGUF\" was expected; {foreign}")]
    NotGguf {
        /// The first bytes, at most four.
        start: Vec<u8>,
        /// What the file looks like instead.
        foreign: Foreign,
    },
    /// A file for big-endian machines.
    #[error(
        "GGUF version {version} in big-endian byte order; Sprag reads little-endian files: convert the model again without `--bigendian`"
    )]
    BigEndian {
        /// The version, byte-swapped.
        version: u32,
    },
    /// Version 0 or 1.
    #[error(
        "GGUF version {version}; Sprag reads versions 2 and 3: convert the model again with a current converter"
    )]
    OldVersion {
        /// The header's version.
        version: u32,
    },
    /// A version that did not exist when this was written.
    #[error(
        "GGUF version {version} is newer than versions 2 and 3, which this Sprag reads: look for a newer Sprag, or convert the model to version 3"
    )]
    NewVersion {
        /// The header's version.
        version: u32,
    },
    /// The file ends inside its head.
    #[error(
        "the file ends inside {field}: {need} bytes are needed at offset {at}, {left} are left; the download is incomplete or the file is damaged: fetch it again"
    )]
    Truncated {
        /// What was being read.
        field: Field,
        /// Offset of the field in the file.
        at: usize,
        /// Bytes that the field takes.
        need: u64,
        /// Bytes between that offset and the end of the file.
        left: usize,
    },
    /// A count that the rest of the file can't hold.
    #[error("{field} says {count}, but the {left} bytes left hold at most {at_most}; {DAMAGED}")]
    CountBeyondFile {
        /// The count's place.
        field: Field,
        /// The count.
        count: u64,
        /// Entries that fit.
        at_most: u64,
        /// Bytes left in the file.
        left: usize,
    },
    /// A count beyond every real model's.
    #[error("{field} says {count}; Sprag reads at most {limit}; {DAMAGED}")]
    TooMany {
        /// The count's place.
        field: Field,
        /// The count.
        count: u64,
        /// The most that Sprag reads.
        limit: u64,
    },
    /// A key or a tensor name beyond the format's limit.
    #[error("{field} is {len} bytes long; the limit is {limit}; {DAMAGED}")]
    NameTooLong {
        /// The name's place.
        field: Field,
        /// Its length.
        len: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// A key or a tensor name without a character.
    #[error("{field} is empty; {DAMAGED}")]
    EmptyName {
        /// The name's place.
        field: Field,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not valid UTF-8 from its byte {at} on; {DAMAGED}")]
    NotUtf8 {
        /// The text's place.
        field: Field,
        /// Offset of the first invalid byte in the text.
        at: usize,
    },
    /// The same key twice.
    #[error("metadata key {key} appears twice; {DAMAGED}")]
    DuplicateKey {
        /// The key.
        key: Quoted,
    },
    /// A type number that GGUF does not define.
    #[error("metadata key {key} has the unknown value type {id} (GGUF defines 0 to 12); {DAMAGED}")]
    UnknownValueType {
        /// The key.
        key: Quoted,
        /// The type's number.
        id: u32,
    },
    /// An array of arrays.
    #[error(
        "metadata key {key} holds an array of arrays, which no known model uses and Sprag does not read; convert the model again without that key"
    )]
    NestedArray {
        /// The key.
        key: Quoted,
    },
    /// A boolean that is neither 0 nor 1.
    #[error(
        "metadata key {key} holds a boolean with the byte {byte}, where 0 or 1 was expected; {DAMAGED}"
    )]
    BadBool {
        /// The key.
        key: Quoted,
        /// The byte.
        byte: u8,
    },
    /// `general.alignment` is not a power of two.
    #[error(
        "metadata key \"general.alignment\" is {found}; a power of two of type u32 was expected; {DAMAGED}"
    )]
    BadAlignment {
        /// The value or its type.
        found: String,
    },
    /// The same tensor name twice.
    #[error("tensor {tensor} appears twice in the tensor table; {DAMAGED}")]
    DuplicateTensor {
        /// The tensor.
        tensor: Quoted,
    },
    /// No dimension, or more than four.
    #[error("tensor {tensor} has {dims} dimensions; 1 to 4 were expected; {DAMAGED}")]
    BadDims {
        /// The tensor.
        tensor: Quoted,
        /// Its number of dimensions.
        dims: u32,
    },
    /// A dimension of length zero.
    #[error("tensor {tensor} has the shape {shape:?}, so it is empty; {DAMAGED}")]
    EmptyTensor {
        /// The tensor.
        tensor: Quoted,
        /// Its dimensions, the contiguous one first.
        shape: Vec<u64>,
    },
    /// More elements or bytes than an address can count.
    #[error(
        "tensor {tensor} has the shape {shape:?} and the offset {offset}: its extent overflows; {DAMAGED}"
    )]
    TensorOverflow {
        /// The tensor.
        tensor: Quoted,
        /// Its dimensions, the contiguous one first.
        shape: Vec<u64>,
        /// Its offset in the data section.
        offset: u64,
    },
    /// A row that is not whole blocks.
    #[error(
        "tensor {tensor} has rows of {row_len} weights, which is not a multiple of {name}'s block of {block_len}; {DAMAGED}"
    )]
    PartialBlock {
        /// The tensor.
        tensor: Quoted,
        /// Weights in a row.
        row_len: u64,
        /// Its type's name.
        name: &'static str,
        /// Weights in a block.
        block_len: u64,
    },
    /// An offset that is not a multiple of the alignment.
    #[error(
        "tensor {tensor} starts at offset {offset} of the data section, which is not a multiple of the alignment {alignment}; {DAMAGED}"
    )]
    Misaligned {
        /// The tensor.
        tensor: Quoted,
        /// Its offset in the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor beyond the end of the file.
    #[error(
        "tensor {tensor} ends at byte {end}, but the file has {file_len} bytes; the download is incomplete: fetch it again"
    )]
    OutOfFile {
        /// The tensor.
        tensor: Quoted,
        /// The byte after its last.
        end: u64,
        /// The file's length.
        file_len: usize,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap from byte {at} on; {DAMAGED}")]
    Overlap {
        /// The tensor that starts first.
        first: Quoted,
        /// The tensor that starts inside it.
        second: Quoted,
        /// The first shared byte.
        at: usize,
    },
    /// A key that a caller needs is not there.
    #[error(
        "metadata key {key} is missing ({expected} was expected); the model needs a current conversion"
    )]
    MissingKey {
        /// The key.
        key: Quoted,
        /// What it should have held.
        expected: &'static str,
    },
    /// A key holds something else than a caller needs.
    #[error(
        "metadata key {key} holds {found}, where {expected} was expected; the model needs a current conversion"
    )]
    WrongType {
        /// The key.
        key: Quoted,
        /// What it should have held.
        expected: &'static str,
        /// Type and, for a scalar, value.
        found: String,
    },
    /// A tensor that a caller needs is not there.
    #[error(
        "tensor {tensor} is missing; the file is incomplete for its architecture (one part of a split model?), or Sprag does not know this variant"
    )]
    MissingTensor {
        /// The tensor.
        tensor: Quoted,
    },
    /// A tensor has another shape than a caller needs.
    #[error(
        "tensor {tensor} has the shape {found:?}, where the metadata asks for {expected:?} (contiguous dimension first); convert the model again"
    )]
    WrongShape {
        /// The tensor.
        tensor: Quoted,
        /// What the caller needs.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// A tensor's number format is one that Sprag does not compute with.
    #[error(
        "tensor {tensor} is stored as {name} (type {id}), which Sprag does not read; use a file with {}",
        readable()
    )]
    UnsupportedType {
        /// The tensor.
        tensor: Quoted,
        /// The format's name, or `unknown`.
        name: &'static str,
        /// Its number in the file.
        id: u32,
    },
    /// A tensor that is made from something else could not be made.
    #[error("tensor {tensor} can't be made: {source}")]
    Making {
        /// The tensor.
        tensor: Quoted,
        /// Why; it says what to do.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A scale or a float that is NaN or infinite.
    #[error(
        "tensor {tensor} holds a value that is not finite in block {block} (a block is {block_len} weights of {dtype}); the model is damaged: fetch it again or convert it again"
    )]
    NotFinite {
        /// The tensor.
        tensor: Quoted,
        /// The block's index in the tensor; for plain floats the element's.
        block: usize,
        /// Weights in a block.
        block_len: usize,
        /// The number format.
        dtype: Dtype,
    },
}

impl From<MapError> for Fault {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Io { action, source } => Self::Io { action, source },
            MapError::Directory => Self::Directory,
            MapError::NotRegular => Self::NotRegular,
            MapError::Empty => Self::Empty,
        }
    }
}

fn readable() -> String {
    let names: Vec<&str> = Dtype::ALL.iter().map(|dtype| dtype.name()).collect();
    names.join(", ")
}
