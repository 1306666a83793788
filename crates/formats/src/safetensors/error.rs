//! What can be wrong with a checkpoint, in words that its user can act on.
//!
//! As with GGUF, text from a file is quoted, escaped and bounded before it is shown.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::gguf::{Foreign, Quoted};
use crate::json::JsonError;
use crate::mmap::MapError;

/// A checkpoint that can't be read, or that lacks what was asked of it.
#[derive(Debug)]
pub struct SafetensorsError {
    path: PathBuf,
    fault: Box<Fault>,
}

impl SafetensorsError {
    pub(super) fn new(path: &Path, fault: Fault) -> Self {
        Self {
            path: path.to_owned(),
            fault: Box::new(fault),
        }
    }

    /// The file or folder at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for SafetensorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.fault {
            // It names the file itself.
            Fault::Json(error) => error.fmt(f),
            fault => write!(f, "{}: {fault}", self.path.display()),
        }
    }
}

impl std::error::Error for SafetensorsError {}

const DAMAGED: &str = "the file is damaged or was made by a faulty program: fetch it again";

/// What is wrong. Offsets are bytes from the start of the data section, which follows the head.
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
    /// A folder without weights.
    #[error(
        "is a directory without `model.safetensors` or `model.safetensors.index.json`; name a folder with a safetensors checkpoint, or a .gguf file{}", weights_elsewhere(*pytorch)
    )]
    NoWeights {
        /// Whether it has weights in the older form.
        pytorch: bool,
    },
    /// A pipe, socket or device.
    #[error("is not a regular file, so it can't be memory-mapped; save it to a file first")]
    NotRegular,
    /// No bytes at all.
    #[error("the file is empty, as after an interrupted download; fetch it again")]
    Empty,
    /// A JSON file beside the weights.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The file does not begin with a length and a JSON object.
    #[error("not a safetensors file; {foreign}")]
    NotSafetensors {
        /// What the file looks like instead.
        foreign: Foreign,
    },
    /// The head is said to be longer than the file, or than any head is.
    #[error(
        "the head is said to have {len} bytes, where the file's {file_len} allow at most {at_most}; the download is incomplete or the file is damaged: fetch it again"
    )]
    HeadLength {
        /// The length that the first eight bytes state.
        len: u64,
        /// The most that it can be.
        at_most: u64,
        /// The file's length.
        file_len: usize,
    },
    /// The head is not the JSON that the format asks for.
    #[error("the head can't be read: {reason}; {DAMAGED}")]
    Head {
        /// The parser's words.
        reason: Quoted,
    },
    /// More tensors than any model has.
    #[error("the head lists {count} tensors; Sprag reads at most {limit}; {DAMAGED}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// The most that Sprag reads.
        limit: usize,
    },
    /// A name that is empty or beyond all measure.
    #[error("a tensor's name has {len} bytes, where 1 to {limit} were expected; {DAMAGED}")]
    NameLength {
        /// Its length.
        len: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The same name twice.
    #[error("tensor {tensor} appears twice; {DAMAGED}")]
    Duplicate {
        /// The tensor.
        tensor: Quoted,
    },
    /// A number format that safetensors does not define.
    #[error(
        "tensor {tensor} has the unknown number format {dtype}; look for a newer Sprag, or a checkpoint in BF16, F16 or F32"
    )]
    UnknownType {
        /// The tensor.
        tensor: Quoted,
        /// The format's name in the file.
        dtype: Quoted,
    },
    /// More bytes than an address can count, or no whole number of bytes.
    #[error("tensor {tensor} has the shape {shape}, whose size in bytes is no number; {DAMAGED}")]
    Size {
        /// The tensor.
        tensor: Quoted,
        /// Its dimensions.
        shape: String,
    },
    /// The place does not match the shape.
    #[error(
        "tensor {tensor} lies at {start} to {end}, where its shape and format take {expected} bytes; {DAMAGED}"
    )]
    Extent {
        /// The tensor.
        tensor: Quoted,
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes by shape and format.
        expected: usize,
    },
    /// A tensor beyond the end of the file.
    #[error(
        "tensor {tensor} ends at byte {end} of the data, which has {data_len}; the download is incomplete: fetch it again"
    )]
    OutOfFile {
        /// The tensor.
        tensor: Quoted,
        /// The byte after its last.
        end: u64,
        /// Bytes behind the head.
        data_len: usize,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap from byte {at} of the data on; {DAMAGED}")]
    Overlap {
        /// The tensor that starts first.
        first: Quoted,
        /// The tensor that starts inside it.
        second: Quoted,
        /// The first shared byte.
        at: u64,
    },
    /// Bytes that belong to no tensor, which the format forbids: they could hide anything.
    #[error("bytes {start} to {end} of the data belong to no tensor; {DAMAGED}")]
    Hole {
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
    },
    /// A shard's name that is no plain file name.
    #[error(
        "the index names the shard {shard}, where the name of a .safetensors file in the same folder was expected; don't use this checkpoint unless you trust who made it"
    )]
    ShardName {
        /// The name.
        shard: Quoted,
    },
    /// An index without tensors.
    #[error("the index lists no tensors; fetch it again")]
    EmptyIndex,
    /// More shards than any model has.
    #[error("the index names {count} shards; Sprag reads at most {limit}; {DAMAGED}")]
    TooManyShards {
        /// How many there are.
        count: usize,
        /// The most that Sprag reads.
        limit: usize,
    },
    /// A shard that is not there.
    #[error("shard {shard} is missing; fetch the rest of the model's files into the same folder")]
    MissingShard {
        /// The file's name.
        shard: Quoted,
    },
    /// The index and a shard disagree.
    #[error(
        "the index places tensor {tensor} in {indexed}, but {found}; the files are of different versions: fetch them all again"
    )]
    IndexMismatch {
        /// The tensor.
        tensor: Quoted,
        /// The shard that the index names, or `no shard`.
        indexed: String,
        /// Where it is.
        found: String,
    },
}

impl From<MapError> for Fault {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Io { action, source } => Self::Io { action, source },
            MapError::Directory => Self::NoWeights { pytorch: false },
            MapError::NotRegular => Self::NotRegular,
            MapError::Empty => Self::Empty,
        }
    }
}

fn weights_elsewhere(pytorch: bool) -> &'static str {
    match pytorch {
        true => {
            ". The folder has PyTorch weights (.bin), which can run code when they are read: fetch the model's safetensors files"
        }
        false => "",
    }
}
