//! Safetensors: checkpoints as they are published, one file or several, read lazily from memory maps.
//!
//! [`Checkpoint::open`] takes a file, an index (`model.safetensors.index.json`) or a folder with either. It maps the files,
//! validates their heads and, of several, that index and shards agree. The weights' bytes are read when they are touched.
//!
//! # Invariants
//! Whatever the bytes are: no panic, no arithmetic that wraps, and no allocation that the files' sizes or a small limit does
//! not bound. Of a [`Checkpoint`] that exists: tensor names are unique across shards, every tensor lies within its file, and
//! a file's tensors share no byte and leave none over.
//!
//! # What this does not do
//! It does not decode weights, and does not know what a tensor is for. Number formats that Sprag does not compute with are
//! listed; only using them fails.

mod error;
mod head;
mod index;

use std::path::{Path, PathBuf};

use ops::Dtype;

use crate::gguf::Quoted;
pub use error::{Fault, SafetensorsError};

/// A number format by its name in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    bits: usize,
}

/// Every format that the reference implementation knows, with the bits of one element.
const ELEMENTS: [Element; 20] = {
    const fn element(name: &'static str, bits: usize) -> Element {
        Element { name, bits }
    }
    [
        element("BF16", 16),
        element("F16", 16),
        element("F32", 32),
        element("F64", 64),
        element("BOOL", 8),
        element("U8", 8),
        element("I8", 8),
        element("U16", 16),
        element("I16", 16),
        element("U32", 32),
        element("I32", 32),
        element("U64", 64),
        element("I64", 64),
        element("C64", 64),
        element("F8_E4M3", 8),
        element("F8_E5M2", 8),
        element("F8_E8M0", 8),
        element("F6_E2M3", 6),
        element("F6_E3M2", 6),
        element("F4", 4),
    ]
};

impl Element {
    fn named(name: &str) -> Option<Self> {
        ELEMENTS.into_iter().find(|element| element.name == name)
    }

    /// The format's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Bits of one element.
    #[must_use]
    pub fn bits(self) -> usize {
        self.bits
    }

    /// The same format among those that Sprag computes with.
    #[must_use]
    pub fn dtype(self) -> Option<Dtype> {
        match self.name {
            "BF16" => Some(Dtype::Bf16),
            "F16" => Some(Dtype::F16),
            "F32" => Some(Dtype::F32),
            _ => None,
        }
    }
}

/// One tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    name: Box<str>,
    element: Element,
    shape: Box<[usize]>,
    shard: u32,
    start: usize,
    len: usize,
}

impl Tensor {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number format.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Dimensions in the file's order: the last one is contiguous. (GGUF has them in reverse.)
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.len
    }
}

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// An open checkpoint.
///
/// Shortening a file in place while it is mapped stops the process at the next touch; see [`crate::gguf::Gguf`].
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    folder: PathBuf,
    shards: Vec<Bytes>,
    // Sorted by name.
    tensors: Vec<Tensor>,
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Checkpoint {
    /// Whether `path` looks like something for [`Self::open`]: a folder, a `.safetensors` file or an index.
    #[must_use]
    pub fn is_meant_by(path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")
    }

    /// Maps the files and validates their heads.
    ///
    /// # Errors
    /// A file can't be opened and mapped, is not safetensors, is damaged, or does not fit the others.
    pub fn open(path: &Path) -> Result<Self, SafetensorsError> {
        if path.is_dir() {
            return Self::open_folder(path);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".json") {
            return Self::open_index(path, path, folder);
        }
        // One shard of several is never meant alone.
        let index = folder.join(INDEX);
        if name.contains("-of-") && index.is_file() {
            return Self::open_index(path, &index, folder);
        }
        let bytes = map(path)?;
        Self::new(path, folder, vec![(path.to_owned(), bytes)])
    }

    fn open_folder(folder: &Path) -> Result<Self, SafetensorsError> {
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        if single.exists() {
            let bytes = map(&single)?;
            return Self::new(folder, folder, vec![(single, bytes)]);
        }
        if index.exists() {
            return Self::open_index(folder, &index, folder);
        }
        let pytorch = ["pytorch_model.bin", "pytorch_model.bin.index.json"]
            .iter()
            .any(|name| folder.join(name).exists());
        Err(SafetensorsError::new(folder, Fault::NoWeights { pytorch }))
    }

    fn open_index(path: &Path, index: &Path, folder: &Path) -> Result<Self, SafetensorsError> {
        let fault = |fault| SafetensorsError::new(index, fault);
        let listed = index::read(index).map_err(fault)?;
        let mut shards = Vec::with_capacity(listed.shards.len());
        for name in &listed.shards {
            let shard = folder.join(name);
            if !shard.exists() {
                let shard = Quoted::new(name);
                return Err(fault(Fault::MissingShard { shard }));
            }
            let bytes = map(&shard)?;
            shards.push((shard, bytes));
        }
        let checkpoint = Self::new(path, folder, shards)?;
        checkpoint.check_index(&listed).map_err(fault)?;
        Ok(checkpoint)
    }

    /// As [`Self::open`], for one file's bytes in memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SafetensorsError> {
        let path = PathBuf::from("(bytes in memory)");
        Self::new(
            &path,
            Path::new(""),
            vec![(path.clone(), Bytes::Owned(bytes))],
        )
    }

    fn new(
        path: &Path,
        folder: &Path,
        files: Vec<(PathBuf, Bytes)>,
    ) -> Result<Self, SafetensorsError> {
        let mut tensors = Vec::new();
        let mut shards = Vec::with_capacity(files.len());
        for (number, (file, bytes)) in (0u32..).zip(files) {
            let found = head::read(bytes.get(), number);
            tensors.extend(found.map_err(|fault| SafetensorsError::new(&file, fault))?);
            shards.push(bytes);
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let tensor = Quoted::new(&pair[0].name);
            return Err(SafetensorsError::new(path, Fault::Duplicate { tensor }));
        }
        Ok(Self {
            path: path.to_owned(),
            folder: folder.to_owned(),
            shards,
            tensors,
        })
    }

    /// Both list the same tensors in the same places.
    fn check_index(&self, index: &index::Index) -> Result<(), Fault> {
        let shard_name = |number: u32| format!("{:?}", index.shards[number as usize]);
        for tensor in &self.tensors {
            let indexed = index.shard_of.get(&*tensor.name);
            if indexed != Some(&tensor.shard) {
                return Err(Fault::IndexMismatch {
                    tensor: Quoted::new(&tensor.name),
                    indexed: indexed.map_or_else(|| "no shard".to_owned(), |&n| shard_name(n)),
                    found: format!("it is in {}", shard_name(tensor.shard)),
                });
            }
        }
        let absent = |(name, _): &(&String, &u32)| self.tensor(name).is_none();
        match index.shard_of.iter().find(absent) {
            None => Ok(()),
            Some((name, &number)) => Err(Fault::IndexMismatch {
                tensor: Quoted::new(name),
                indexed: shard_name(number),
                found: "it is not there".to_owned(),
            }),
        }
    }

    /// What was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the files, where `config.json` and the tokenizer lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All tensors, by name.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let found = self
            .tensors
            .binary_search_by(|tensor| (*tensor.name).cmp(name))
            .ok()?;
        Some(&self.tensors[found])
    }

    /// A tensor's bytes.
    ///
    /// # Panics
    /// When `tensor` belongs to another, larger checkpoint.
    #[must_use]
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.shards[tensor.shard as usize].get()[tensor.start..tensor.start + tensor.len]
    }
}

fn map(path: &Path) -> Result<Bytes, SafetensorsError> {
    match crate::mmap::map(path) {
        Ok(map) => Ok(Bytes::Mapped(map)),
        Err(error) => Err(SafetensorsError::new(path, error.into())),
    }
}

#[cfg(test)]
mod tests;
