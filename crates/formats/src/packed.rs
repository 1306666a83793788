//! Weights that Sprag packed and kept: matrices in the form that kernels read, so that a start need not pack them again, and so that
//! matrices larger than the memory can be read from the disk as they are needed.
//!
//! ```text
//! 0        magic (8 bytes), version of the packing (u32), length of the identity (u32), the identity
//! 4096 k   each matrix, at a whole page
//! index    for each matrix: offset, bytes, rows, columns (u64), format (u32, as in GGUF)
//! end      offset of the index (u64), matrices (u64), magic (8 bytes)
//! ```
//!
//! All numbers are little-endian. A file is written under another name and takes its own when it is whole. It belongs to one model file
//! as it was at one moment ([`identity_of`]); for any other it is as if it were not there. What it holds is not trusted beyond that:
//! places are checked here, and `models` compares some panels of every matrix with the model file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use ops::Dtype;

use crate::gguf::TensorType;
use crate::mmap;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 8] = b"SPRAGPK1";
const END: &[u8; 8] = b"SPRAGEND";
/// Matrices begin at multiples of this.
const PAGE: usize = 4096;
const ENTRY_BYTES: usize = 4 * 8 + 4;
const END_BYTES: usize = 8 + 8 + 8;
/// Longer ones are no identity of ours.
const MAX_IDENTITY: usize = PAGE - 16;

/// What tells the model file at `path`, as it is now, from any other and from what it was before.
///
/// # Errors
/// The system does not tell.
pub fn identity_of(path: &Path) -> io::Result<String> {
    let path = fs::canonicalize(path)?;
    let meta = fs::metadata(&path)?;
    #[cfg(unix)]
    let stamp = {
        use std::os::unix::fs::MetadataExt as _;
        format!(
            "{}:{} {}.{:09} {}.{:09}",
            meta.dev(),
            meta.ino(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        )
    };
    #[cfg(not(unix))]
    let stamp = {
        let since = meta.modified()?.duration_since(std::time::UNIX_EPOCH);
        format!("- {} -", since.map_or(0, |since| since.as_nanos()))
    };
    let mut identity = format!("{} {stamp} {}", meta.len(), path.display());
    let mut end = identity.len().min(MAX_IDENTITY);
    while !identity.is_char_boundary(end) {
        end -= 1;
    }
    identity.truncate(end);
    Ok(identity)
}

/// Where a matrix lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedEntry {
    /// Format of its weights.
    pub dtype: Dtype,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// A whole file, mapped.
#[derive(Debug)]
pub struct PackedFile {
    map: Arc<Mmap>,
    entries: Vec<PackedEntry>,
}

/// Bytes of a map that live as long as somebody has them.
#[derive(Clone, Debug)]
pub struct PackedBytes {
    map: Arc<Mmap>,
    range: Range<usize>,
}

impl AsRef<[u8]> for PackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

impl PackedBytes {
    /// Tells the system that `range` of these bytes will not be read soon.
    pub fn release(&self, range: Range<usize>) {
        let start = self.range.start;
        let end = self.range.end.min(start + range.end);
        mmap::release(&self.map, (start + range.start).min(end)..end);
    }
}

impl PackedFile {
    /// The file at `path`, if it is there, is whole, was packed by this `version` and belongs to `identity`.
    #[must_use]
    pub fn open(path: &Path, version: u32, identity: &str) -> Option<Self> {
        let map = mmap::map(path).ok()?;
        let entries = parse(&map, version, identity)?;
        Some(Self {
            map: Arc::new(map),
            entries,
        })
    }

    /// Its matrices, in the order in which they were packed.
    #[must_use]
    pub fn entries(&self) -> &[PackedEntry] {
        &self.entries
    }

    /// The bytes of a matrix.
    #[must_use]
    pub fn bytes(&self, entry: &PackedEntry) -> PackedBytes {
        PackedBytes {
            map: Arc::clone(&self.map),
            range: entry.range.clone(),
        }
    }
}

/// Takes `N` bytes off the front.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*take(bytes)?)).ok()
}

/// The index of a whole file of this version and identity. Every range lies between the header and the index.
fn parse(file: &[u8], version: u32, identity: &str) -> Option<Vec<PackedEntry>> {
    let mut head = file;
    let is_ours = take(&mut head)? == MAGIC
        && u32::from_le_bytes(*take(&mut head)?) == version
        && u32::from_le_bytes(*take(&mut head)?) as usize == identity.len()
        && head.starts_with(identity.as_bytes());
    if !is_ours {
        return None;
    }
    let end = file.len().checked_sub(END_BYTES)?;
    let mut tail = file.get(end..)?;
    let (index, count) = (number(&mut tail)?, number(&mut tail)?);
    if take(&mut tail)? != END {
        return None;
    }
    let mut places = file.get(index..end)?;
    if count.checked_mul(ENTRY_BYTES)? != places.len() {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (start, len) = (number(&mut places)?, number(&mut places)?);
        let (rows, cols) = (number(&mut places)?, number(&mut places)?);
        let format = u32::from_le_bytes(*take(&mut places)?);
        let TensorType::Readable(dtype) = TensorType::from_id(format) else {
            return None;
        };
        let range = start..start.checked_add(len)?;
        if !start.is_multiple_of(PAGE) || start < PAGE || range.end > index {
            return None;
        }
        entries.push(PackedEntry {
            dtype,
            rows,
            cols,
            range,
        });
    }
    Some(entries)
}

/// Whether the file at `path` is one of ours whose model file is gone or has changed: then it serves nobody.
#[must_use]
pub fn is_stale(path: &Path) -> bool {
    let Ok(map) = mmap::map(path) else {
        return false;
    };
    let mut head = map.as_ref();
    if take(&mut head) != Some(MAGIC) {
        return false;
    }
    let (Some(_version), Some(len)) = (take::<4>(&mut head), take(&mut head)) else {
        return true;
    };
    let identity = head.get(..u32::from_le_bytes(*len) as usize);
    let Some(Ok(identity)) = identity.map(str::from_utf8) else {
        return true;
    };
    // Size, device and number, two times; the path last, which may have spaces.
    let model = identity.splitn(5, ' ').nth(4).unwrap_or_default();
    identity_of(Path::new(model)).ok().as_deref() != Some(identity)
}

/// A file on its way. Dropped before [`PackedWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct PackedWriter {
    file: BufWriter<File>,
    path: PathBuf,
    fresh: PathBuf,
    at: usize,
    entries: Vec<PackedEntry>,
    is_finished: bool,
}

impl PackedWriter {
    /// Begins the file that will be at `path`, in a folder that is made where it is missing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn create(path: &Path, version: u32, identity: &str) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut writer = Self {
            // Readable too: what is written is mapped before the file is whole.
            file: BufWriter::new(
                File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&fresh)?,
            ),
            path: path.to_owned(),
            fresh,
            at: 0,
            entries: Vec::new(),
            is_finished: false,
        };
        writer.put(MAGIC)?;
        writer.put(&version.to_le_bytes())?;
        writer.put(
            &u32::try_from(identity.len())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        )?;
        writer.put(identity.as_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.at += bytes.len();
        Ok(())
    }

    /// Writes the next matrix.
    ///
    /// # Errors
    /// The system refuses; the disk is full.
    pub fn append(
        &mut self,
        dtype: Dtype,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> io::Result<()> {
        let start = self.at.next_multiple_of(PAGE);
        self.put(&[0; PAGE][..start - self.at])?;
        self.put(bytes)?;
        self.entries.push(PackedEntry {
            dtype,
            rows,
            cols,
            range: start..self.at,
        });
        Ok(())
    }

    /// The bytes of the matrix that was written last, as they lie in the file; `None` before the first.
    ///
    /// # Errors
    /// The system refuses.
    pub fn last(&mut self) -> io::Result<Option<PackedBytes>> {
        let Some(last) = self.entries.last() else {
            return Ok(None);
        };
        let range = last.range.clone();
        self.file.flush()?;
        let map = mmap::map_part(self.file.get_ref(), range.start as u64, range.len())?;
        Ok(Some(PackedBytes {
            range: 0..range.len(),
            map: Arc::new(map),
        }))
    }

    /// Writes the index and gives the file its name.
    ///
    /// # Errors
    /// The system refuses; the disk is full.
    pub fn finish(mut self) -> io::Result<()> {
        let index = self.at;
        for entry in std::mem::take(&mut self.entries) {
            for n in [entry.range.start, entry.range.len(), entry.rows, entry.cols] {
                self.put(&(n as u64).to_le_bytes())?;
            }
            self.put(&TensorType::Readable(entry.dtype).id().to_le_bytes())?;
        }
        let count = (self.at - index) / ENTRY_BYTES;
        for n in [index, count] {
            self.put(&(n as u64).to_le_bytes())?;
        }
        self.put(END)?;
        // Not forced to the disk, which takes seconds a gigabyte: after a power cut the file is short, or panels are not the model's, and
        // it is written anew.
        self.file.flush()?;
        fs::rename(&self.fresh, &self.path)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for PackedWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // What can't be deleted now is deleted when the folder is next tidied.
            let _left = fs::remove_file(&self.fresh);
        }
    }
}
