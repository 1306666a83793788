//! Mapping a file into memory, read-only: the one unsafe step of this crate.

use std::{fs, fs::File, io, path::Path};

use memmap2::Mmap;

/// What to do about a file that the system does not give.
pub(crate) fn remedy(refusal: &io::Error) -> &'static str {
    match refusal.kind() {
        io::ErrorKind::OutOfMemory => {
            "there is no room in this process's memory: raise its limit (ulimit -v)"
        }
        _ => "check that the path exists and that you may read it",
    }
}

/// Why a file can't be mapped.
#[derive(Debug)]
pub(crate) enum MapError {
    /// The operating system refused.
    Io {
        action: &'static str,
        source: io::Error,
    },
    /// A folder where a file was expected.
    Directory,
    /// A pipe, socket or device.
    NotRegular,
    /// No bytes at all.
    Empty,
}

/// The mapped file.
///
/// # Errors
/// It can't be found, opened or mapped, or is not a regular file with bytes in it.
pub(crate) fn map(path: &Path) -> Result<Mmap, MapError> {
    let io = |action| move |source: io::Error| MapError::Io { action, source };
    // Asked before opening: to open a pipe would wait for its writer.
    let found = fs::metadata(path).map_err(io("find the file"))?;
    if found.is_dir() {
        return Err(MapError::Directory);
    }
    if !found.is_file() {
        return Err(MapError::NotRegular);
    }
    if found.len() == 0 {
        // An empty file can't be mapped on every system.
        return Err(MapError::Empty);
    }
    let file = File::open(path).map_err(io("open the file"))?;
    // SAFETY: the map is read-only and private to this process's readers. Its bytes stay as they are as long as
    // nobody shortens or writes the file in place, which no process can rule out for a file that others may write;
    // the documentation of `Gguf` and `Checkpoint` states that risk, and Sprag itself replaces files only by rename. Numbers are decoded
    // from copies of bytes and every byte pattern is valid, so a changed byte yields a wrong weight or error text.
    let map = unsafe { Mmap::map(&file) }.map_err(io("memory-map the file"))?;
    Ok(map)
}

/// Any file's bytes, mapped read-only: for crates that keep their own numbers in files. Nobody may shorten or write the file in place
/// while it is mapped; replacing it by rename is safe.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// # Errors
    /// The file can't be found, opened or mapped, is not a regular file, or is empty.
    pub fn open(path: &Path) -> io::Result<Self> {
        map(path).map(Self).map_err(|error| match error {
            MapError::Io { source, .. } => source,
            MapError::Directory => io::ErrorKind::IsADirectory.into(),
            MapError::NotRegular => {
                io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
            }
            MapError::Empty => io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty"),
        })
    }
}

impl std::ops::Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// `len` bytes from `start`, a multiple of the page's size, of a file that this process writes.
///
/// # Errors
/// The system refuses.
pub(crate) fn map_part(file: &File, start: u64, len: usize) -> io::Result<Mmap> {
    let mut options = memmap2::MmapOptions::new();
    // SAFETY: as in `map`; the writer has written these bytes, and only appends.
    unsafe { options.offset(start).len(len).map(file) }
}

/// Tells the system that these bytes will not be read soon: their pages leave this process and stay in the system's cache, as
/// memory that it may take back. Read again, they are the file's bytes again.
pub(crate) fn release(map: &Mmap, bytes: std::ops::Range<usize>) {
    #[cfg(unix)]
    {
        // The pages at both ends may hold other bytes too; to read those again costs little.
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: the map is read-only and backed by the file, so dropping its pages loses nothing.
        let done = unsafe { map.unchecked_advise_range(advice, bytes.start, bytes.len()) };
        // A refusal costs memory, not correctness.
        drop(done);
    }
    #[cfg(not(unix))]
    let _ = (map, bytes);
}
