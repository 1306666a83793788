//! `NAME.head`: the newest sequence number and hash, kept outside the ledger so that cutting off its end is noticed.
//!
//! The chain shows every change but one: without its last entries a ledger is a shorter, sound ledger. So the writer
//! remembers here how far it was.
//!
//! 1. The file is made whole once: written under another name, flushed, renamed.
//! 2. It has two slots, each in its own disk block, each with a checksum. They are overwritten in turn, so that a write that
//!    was cut short leaves the other slot. A slot is written after SQLite's commit has been flushed: it never leads.
//! 3. It is flushed every 64 appends and on closing, not at each: after a power cut it may lag, which costs nothing but some
//!    of the guard. After a kill it lags by one append at most.
//!
//! A slot that cannot be written does not fail the append, which is recorded already; [`HeadFile::trouble`] tells.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::chain::Hash;
use crate::lock::beside;

const SLOT_BYTES: usize = 4096;
const TEXT_BYTES: usize = 116;
const WRITES_PER_FLUSH: u32 = 64;

/// How far a ledger is: its last entry, or (0) its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub seq: u64,
    pub hash: Hash,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none: a ledger just made, or copied without it.
    Nothing,
    /// The newer of its slots.
    Mark(Mark),
    /// Neither slot is whole.
    Unreadable,
}

pub(crate) fn path_of(ledger: &Path) -> PathBuf {
    beside(ledger, ".head")
}

/// Reads what is remembered about the ledger at `path`.
pub(crate) fn read(ledger: &Path) -> io::Result<Found> {
    Ok(slots(ledger)?.map_or(Found::Nothing, |slots| {
        let newest = slots.into_iter().flatten().max_by_key(|mark| mark.seq);
        newest.map_or(Found::Unreadable, Found::Mark)
    }))
}

fn slots(ledger: &Path) -> io::Result<Option<[Option<Mark>; 2]>> {
    let mut bytes = Vec::new();
    match File::open(path_of(ledger)) {
        Ok(file) => file.take(2 * SLOT_BYTES as u64).read_to_end(&mut bytes)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let slot = |at: usize| parse(bytes.get(at..at + TEXT_BYTES)?);
    Ok(Some([slot(0), slot(SLOT_BYTES)]))
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (fields, _) = text.split_once(" sum ")?;
    let (seq, hash) = fields.strip_prefix("seq ")?.split_once(" hash ")?;
    let mark = Mark {
        seq: seq.parse().ok()?,
        hash: Hash::from_hex(hash)?,
    };
    (render(&mark) == text).then_some(mark)
}

fn render(mark: &Mark) -> String {
    let fields = format!("seq {:020} hash {}", mark.seq, mark.hash);
    let sum = Hash::of(fields.as_bytes()).to_string();
    format!("{fields} sum {}\n", &sum[..16])
}

/// The writer's side.
#[derive(Debug)]
pub(crate) struct HeadFile {
    ledger: PathBuf,
    file: Option<File>,
    next_slot: usize,
    unflushed: u32,
    trouble: Option<String>,
}

impl HeadFile {
    /// Remembers `mark` from now on; what the file says has been compared with it already.
    pub(crate) fn open(ledger: &Path, mark: Mark) -> Self {
        let mut this = Self {
            ledger: ledger.to_owned(),
            file: None,
            next_slot: 0,
            unflushed: 0,
            trouble: None,
        };
        if !this.continues(mark) {
            this.remember(mark);
        }
        this
    }

    /// Opens a file that says `mark` already, which spares making it again.
    fn continues(&mut self, mark: Mark) -> bool {
        let Ok(Some(slots)) = slots(&self.ledger) else {
            return false;
        };
        let Some(at) = slots.iter().position(|slot| *slot == Some(mark)) else {
            return false;
        };
        self.file = File::options().write(true).open(path_of(&self.ledger)).ok();
        self.next_slot = 1 - at;
        self.file.is_some()
    }

    /// Writes `mark`. What hinders it is kept for [`HeadFile::trouble`], and the next mark makes the file anew.
    pub(crate) fn remember(&mut self, mark: Mark) {
        let done = match self.file.as_mut() {
            Some(file) => overwrite(file, self.next_slot, &mark),
            None => self.make(&mark),
        };
        match done {
            Ok(()) => {
                self.next_slot = 1 - self.next_slot;
                self.unflushed += 1;
                self.trouble = None;
            }
            Err(e) => {
                self.file = None;
                self.trouble = Some(e.to_string());
            }
        }
        if self.unflushed >= WRITES_PER_FLUSH {
            self.flush();
        }
    }

    fn make(&mut self, mark: &Mark) -> io::Result<()> {
        let path = path_of(&self.ledger);
        let fresh = beside(&path, ".new");
        let block = format!("{:<1$}", render(mark), SLOT_BYTES);
        let mut file = File::create(&fresh)?;
        file.write_all(block.repeat(2).as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        sync_folder(&path);
        self.file = Some(file);
        Ok(())
    }

    /// Makes what was remembered survive a power cut.
    pub(crate) fn flush(&mut self) {
        self.unflushed = 0;
        if let Some(Err(e)) = self.file.as_ref().map(File::sync_data) {
            self.file = None;
            self.trouble = Some(e.to_string());
        }
    }

    /// Why the file lags behind the ledger, if it does.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

fn overwrite(file: &mut File, slot: usize, mark: &Mark) -> io::Result<()> {
    file.seek(SeekFrom::Start((slot * SLOT_BYTES) as u64))?;
    file.write_all(render(mark).as_bytes())
}

/// Makes a rename inside the folder of `path` last through a power cut.
pub(crate) fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent()
        && let Ok(handle) = File::open(folder)
    {
        // A file system that refuses is one on which the rename is already as durable as it gets.
        let _refused = handle.sync_all();
    }
}

#[cfg(test)]
mod tests;
