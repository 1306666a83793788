//! One writer: an advisory lock on `NAME.lock`, which the system releases when the writer's process ends, however it ends.
//!
//! The lock file stays when the lock goes: deleting it would let two processes hold locks on two files of the same name. It
//! holds the writer's process number, for people; the lock alone decides. Asking whether somebody writes takes a shared lock
//! for an instant, so a writer that meets one tries again for a moment before it says that the ledger is busy.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::LedgerError;

/// Tries before a lock counts as held.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(4);

/// Who writes a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process number, where it could be written and read.
    pub pid: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

/// `NAME` with `suffix` behind it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Takes the lock of the ledger at `path`, or says who has it.
pub(crate) fn take(path: &Path) -> Result<WriterLock, LedgerError> {
    let lock_path = beside(path, ".lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&lock_path)
        .map_err(LedgerError::file("create the lock file", &lock_path))?;
    for tried in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tried < TRIES => thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Busy {
                    path: path.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(e)) => return Err(LedgerError::file("lock", &lock_path)(e)),
        }
    }
    // For people only: on a full disk the lock holds without a number in it.
    let _unnamed = name_holder(&mut file);
    Ok(WriterLock { _file: file })
}

fn name_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

/// Whether a living writer has the ledger at `path`, and which.
///
/// # Errors
/// When the lock file is there and cannot be asked.
pub fn is_busy(path: &Path) -> Result<Option<Holder>, LedgerError> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let lock_path = beside(&path, ".lock");
    let mut file = match File::open(&lock_path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LedgerError::file("open", &lock_path)(e)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(holder(&mut file))),
        Err(TryLockError::Error(e)) => Err(LedgerError::file("lock", &lock_path)(e)),
    }
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // Not readable is not known.
    let _unread = file.take(16).read_to_string(&mut text);
    Holder {
        pid: text.trim().parse().ok(),
    }
}
