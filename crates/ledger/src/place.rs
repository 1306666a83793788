//! How a ledger's file is opened for reading, wherever it lies.
//!
//! SQLite reads a database with a write-ahead log only if it can make, or finds, the log's index (`NAME-shm`) beside it. On a
//! disk that cannot be written there may be none. Then nobody writes there either, so:
//!
//! 1. without a log, the file is opened as one that never changes;
//! 2. with a log (its writer was killed, then the disk was mounted read-only), both are copied to a temporary folder, and the
//!    copy is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::TempDir;

use crate::error::LedgerError;
use crate::lock::beside;

/// How long SQLite waits for its own locks: they are held for moments, such as while a log is recovered.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Where a reader's connections lead.
#[derive(Debug)]
pub(crate) enum Place {
    /// To the file.
    File(PathBuf),
    /// To the file, which cannot change.
    Frozen(PathBuf),
    /// To a copy.
    Copy {
        /// Deleted with the reader.
        folder: TempDir,
    },
}

const COPY_NAME: &str = "ledger";

impl Place {
    /// Finds a way to read the ledger at `path`, which has been recognised as one.
    pub(crate) fn find(path: &Path) -> Result<Self, LedgerError> {
        let direct = Self::File(path.to_owned());
        match direct.connect() {
            Ok(_) => return Ok(direct),
            // A journal is never a ledger's: somebody else's write was cut short, and only a writer can undo it.
            Err(e) if !is_unwritable(&e) || beside(path, "-journal").exists() => {
                return Err(LedgerError::sqlite("open", path)(e));
            }
            Err(_) => {}
        }
        let log = beside(path, "-wal");
        if log.metadata().map_or(0, |log| log.len()) == 0 {
            return Ok(Self::Frozen(path.to_owned()));
        }
        let failed = LedgerError::file("copy to a temporary folder", path);
        let folder = tempfile::tempdir().map_err(&failed)?;
        let copy = folder.path().join(COPY_NAME);
        fs::copy(path, &copy).map_err(&failed)?;
        fs::copy(&log, beside(&copy, "-wal")).map_err(&failed)?;
        Ok(Self::Copy { folder })
    }

    /// A new connection that cannot write, and has read once.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self {
            Self::File(path) => Connection::open_with_flags(path, flags)?,
            Self::Frozen(path) => Connection::open_with_flags(
                frozen_address(path),
                flags | OpenFlags::SQLITE_OPEN_URI,
            )?,
            Self::Copy { folder } => {
                Connection::open_with_flags(folder.path().join(COPY_NAME), flags)?
            }
        };
        guard(&connection)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    }
}

/// What every connection to a ledger is told: nothing that a hostile file could hold is run or trusted.
pub(crate) fn guard(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Whether SQLite stumbled over a folder in which it cannot make a file.
fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// `file:` and the path, with `immutable=1`.
fn frozen_address(path: &Path) -> String {
    let mut address = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address + "?immutable=1"
}
