//! What the file system is asked: is there room, is it full, may I have this lock, and may I give this file its final name.
//!
//! # Two pulls at once
//! Locks are advisory locks on `NAME.lock` files (`std::fs::File::lock`): the system drops them when their process ends,
//! however it ends, so that there is no stale lock to clean up. The lock files themselves stay: deleting one would let two
//! processes hold locks on two files of the same name.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::PullError;
use crate::progress::Progress;

/// Kept free on the disk beyond what a pull needs, since a full disk harms other programs.
const MARGIN_BYTES: u64 = 16 << 20;

/// Whether `error` means that there is no room: full disk, quota, or the process's file size limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Fails unless `folder`'s disk has room for `bytes` more. A file system that does not tell is trusted.
pub(crate) fn require_space(folder: &Path, bytes: u64) -> Result<(), PullError> {
    let Ok(free) = fs4::available_space(folder) else {
        return Ok(());
    };
    if bytes == 0 || bytes.saturating_add(MARGIN_BYTES) <= free {
        return Ok(());
    }
    let needs = format!(
        "{} are needed, {} are free",
        megabytes(bytes),
        megabytes(free)
    );
    Err(PullError::DiskFull {
        folder: folder.to_owned(),
        needs,
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Takes the lock at `path`, waiting (and saying so) while another process has it.
pub(crate) fn lock(path: &Path, progress: &mut dyn Progress) -> Result<File, PullError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(PullError::file("create the lock file", path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(PullError::file("lock", path)(e)),
        }
        if progress.cancelled() {
            return Err(PullError::Cancelled);
        }
        if !told {
            progress.stage("waiting: another pull of this model is running");
            told = true;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Writes `bytes` as the file at `path` so that a reader sees the old content or the new, never a mixture.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), PullError> {
    let fresh = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&fresh)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    };
    write().map_err(PullError::file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(PullError::file("rename", &fresh))
}

/// Makes a rename inside `folder` last through a power cut. Best effort: not every system lets a folder be flushed.
pub(crate) fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(handle) = File::open(folder)
    {
        // A file system that refuses is one on which the rename is already as durable as it gets.
        let _refused = handle.sync_all();
    }
}

/// Removes `path`, which may not exist.
pub(crate) fn remove(path: &Path) -> Result<(), PullError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(PullError::file("delete", path)(e)),
        _ => Ok(()),
    }
}
