//! Making a ledger, and opening one after whatever happened to it.
//!
//! 1. Recognise the file without SQLite; take the lock; look at the format through a connection that cannot write.
//! 2. Open it for writing: SQLite recovers its log. Bring an older format up to date; compare the schema; recompute the hashes
//!    of the header and of the last entry (the whole chain is [`crate::Reader::verify`]'s).
//! 3. Compare with `NAME.head`. It may lag. If it leads, entries were lost, and the ledger is refused.
//!
//! A new ledger is written under another name, flushed, and renamed: there is a whole one or none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::Ledger;
use super::end::{compare_head, read_end};
use crate::chain::header_hash;
use crate::claims::{self, Claims};
use crate::depth;
use crate::entry::{Header, MAX_BODY_BYTES};
use crate::error::LedgerError;
use crate::head::{self, HeadFile};
use crate::lock::{self, WriterLock, beside};
use crate::place::{self, Place};
use crate::rows::{self, Selection};
use crate::schema;

impl Ledger {
    /// Makes a new ledger at `path`: whole, or not at all.
    ///
    /// # Errors
    /// When something is there already, a part of an older ledger is, or it cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Self, LedgerError> {
        header.check()?;
        let substrate = depth::to_text("the substrate", &header.substrate, MAX_BODY_BYTES)?;
        let path = absolute(path)?;
        let exists = || LedgerError::Exists { path: path.clone() };
        if path.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let lock = lock::take(&path)?;
        if path.symlink_metadata().is_ok() {
            return Err(exists());
        }
        for suffix in ["-wal", "-journal", ".head"] {
            let part = beside(&path, suffix);
            // A reader may have left an empty log; it holds nothing.
            if part.symlink_metadata().is_ok_and(|part| part.len() > 0) {
                return Err(LedgerError::Leftover { path: part });
            }
        }
        let fresh = beside(&path, ".new");
        for suffix in ["-journal", "-wal", "-shm", ""] {
            let leftover = beside(&fresh, suffix);
            if leftover.symlink_metadata().is_ok() {
                fs::remove_file(&leftover).map_err(LedgerError::file("remove", &leftover))?;
            }
        }
        write_new(&fresh, header, &substrate)?;
        fs::rename(&fresh, &path).map_err(LedgerError::file("rename", &fresh))?;
        head::sync_folder(&path);
        Self::open_locked(path, lock)
    }

    /// Opens the ledger at `path` for appending.
    ///
    /// # Errors
    /// When there is none, it is something else or newer, another process writes it, or it is damaged.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        schema::recognise(path)?;
        let path = path
            .canonicalize()
            .map_err(LedgerError::file("find", path))?;
        let lock = lock::take(&path)?;
        Self::open_locked(path, lock)
    }

    fn open_locked(path: PathBuf, lock: WriterLock) -> Result<Self, LedgerError> {
        schema::recognise(&path)?;
        let failed = LedgerError::sqlite("open", &path);
        {
            let looking = Place::File(path.clone()).connect().map_err(&failed)?;
            schema::format(&looking, &path)?;
        }
        let mut connection = connect(&path).map_err(&failed)?;
        schema::migrate(&mut connection, &path)?;
        if let Some(difference) = schema::difference(&connection).map_err(&failed)? {
            return Err(LedgerError::damaged(&path, difference));
        }
        let (header, ..) = rows::header(&connection, &path)?;
        let end = read_end(&connection, &path)?;
        compare_head(&connection, &path, end.mark)?;
        let claims = read_claims(&connection, &path)?;
        drop(failed);
        Ok(Self {
            head: HeadFile::open(&path, end.mark),
            file: FileIdentity::of(&path)?,
            path,
            header,
            connection,
            end,
            claims,
            _lock: lock,
        })
    }
}

/// All claims, then all releases: a release names its claim, and a token is never used twice, so that this is as good as in
/// their order.
fn read_claims(connection: &Connection, path: &Path) -> Result<Claims, LedgerError> {
    let mut claims = Claims::default();
    for kind in [claims::CLAIM, claims::RELEASE] {
        for entry in rows::select(connection, path, &Selection::all().kind(kind))? {
            let followed = claims.follow(&entry);
            followed.map_err(|e| LedgerError::damaged(path, e.to_string()))?;
        }
    }
    Ok(claims)
}

/// An absolute path for a file that is not there yet: its folder must be.
fn absolute(path: &Path) -> Result<PathBuf, LedgerError> {
    let Some(name) = path.file_name() else {
        return Err(LedgerError::Invalid {
            what: "the ledger's path",
            expected: "the name of a file",
            found: format!("`{}`", path.display()),
        });
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let folder = folder
        .canonicalize()
        .map_err(LedgerError::file("find the folder", folder))?;
    Ok(folder.join(name))
}

/// Writes a ledger without entries. It is one file afterwards: the tables are made in SQLite's plain mode, and only then does
/// the file say that it has a log. Were that done under the final name, a kill could leave a journal there, which a reader that
/// may not write cannot undo.
fn write_new(fresh: &Path, header: &Header, substrate: &str) -> Result<(), LedgerError> {
    let write = || {
        let mut connection = Connection::open(fresh)?;
        place::guard(&connection)?;
        let transaction = connection.transaction()?;
        schema::lay_out(&transaction)?;
        transaction.execute(
            "INSERT INTO header (id, track, substrate, created_by, hash) VALUES (1, ?1, ?2, ?3, ?4)",
            (
                &header.track,
                substrate,
                &header.created_by,
                header_hash(header, substrate).bytes(),
            ),
        )?;
        transaction.commit()?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.close().map_err(|(_, e)| e)
    };
    write().map_err(LedgerError::sqlite("create", fresh))?;
    File::open(fresh)
        .and_then(|file| file.sync_all())
        .map_err(LedgerError::file("flush", fresh))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    place::guard(&connection)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Apple's fsync does not reach the disk.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Which file was opened: one that is deleted or replaced takes no more entries, because nobody would find them.
#[derive(Debug)]
pub(super) struct FileIdentity {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl FileIdentity {
    pub(super) fn of(path: &Path) -> Result<Self, LedgerError> {
        let metadata = path
            .metadata()
            .map_err(LedgerError::file("look at", path))?;
        Ok(Self {
            #[cfg(unix)]
            device_and_inode: {
                use std::os::unix::fs::MetadataExt as _;
                (metadata.dev(), metadata.ino())
            },
        })
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), LedgerError> {
        let replaced = || LedgerError::Replaced {
            path: path.to_owned(),
        };
        let now = Self::of(path).map_err(|_| replaced())?;
        #[cfg(unix)]
        if now.device_and_inode != self.device_and_inode {
            return Err(replaced());
        }
        #[cfg(not(unix))]
        let _ = now;
        Ok(())
    }
}
