//! Every way in which the ledger can refuse. Each message says what was expected, what came, and what to do next.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::lock::Holder;

/// Why a ledger could not be made, opened, read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There is no such file.
    #[error("there is no ledger at {}; check the path, or create one", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A new ledger was asked for where something is already.
    #[error("{} exists already; open it, or choose another path", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A new ledger was asked for where an older one left a part of itself.
    #[error(
        "{} was left by a ledger that is no longer there, and may hold its last entries; put both back together, or move it away", path.display()
    )]
    Leftover {
        /// The part.
        path: PathBuf,
    },
    /// The file is something else. It was not touched.
    #[error("{} is not a ledger: expected a SQLite database marked as Sprag's, found {found}; check the path", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// The file was written by a newer Sprag. It was not touched.
    #[error("{} has format {found}, this Sprag knows up to {known}; use the Sprag that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// A reader met an older format, which only a writer may bring up to date.
    #[error("{} has format {found}, reading needs {known}; open it once for writing, which brings it up to date", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that this version writes.
        known: u32,
    },
    /// A living process writes it.
    #[error("{} is being written by {holder}; wait for it or stop it, or open the ledger for reading", path.display())]
    Busy {
        /// The ledger.
        path: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// Another program holds one of SQLite's own locks on it.
    #[error("another program keeps {} locked; close it, then try again", path.display())]
    Locked {
        /// The ledger.
        path: PathBuf,
    },
    /// The ledger's content is not what a ledger's content must be.
    #[error("the ledger {} is damaged: {what}; {next}", path.display())]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        next: &'static str,
    },
    /// The file was deleted or replaced while this writer had it open.
    #[error("{} was deleted or replaced while it was being written; nothing more is written. Put it back, then open it again", path.display())]
    Replaced {
        /// The ledger.
        path: PathBuf,
    },
    /// There is no room. The ledger is as it was.
    #[error("no room to write {}: nothing of this was recorded, all before it is kept; free some space, then try again", path.display())]
    Full {
        /// The ledger.
        path: PathBuf,
    },
    /// SQLite could not do something for another reason.
    #[error("cannot {doing} {}: {source}; all that was acknowledged is kept. Check the disk and the permissions, then try again", path.display())]
    Sqlite {
        /// In the infinitive.
        doing: &'static str,
        /// The ledger.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file beside the ledger could not be used.
    #[error("cannot {doing} {}: {source}; check the disk and the permissions, then try again", path.display())]
    File {
        /// In the infinitive.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A field is longer than the ledger takes.
    #[error(
        "{what} has {bytes} bytes, at most {limit} are recorded; keep the rest in a file and record its hash"
    )]
    TooLarge {
        /// Which field.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// A field has a value that cannot be recorded.
    #[error("{what} cannot be recorded: expected {expected}, got {found}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// What would do.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// Another worker has that experiment.
    #[error(
        "experiment {experiment} is claimed by `{worker}` until {until}; take another one, or wait until then"
    )]
    Claimed {
        /// Which.
        experiment: u64,
        /// By whom.
        worker: String,
        /// RFC 3339, UTC.
        until: String,
    },
    /// A claim was given back that is not in force (any more).
    #[error(
        "the claim {seq} on experiment {experiment} is not in force: released, run out, or replaced; what was done under it must not be recorded as that experiment's result"
    )]
    NotInForce {
        /// Which experiment.
        experiment: u64,
        /// The claim's sequence number.
        seq: u64,
    },
}

impl LedgerError {
    /// For `map_err`: a failure of SQLite while doing `doing`.
    pub(crate) fn sqlite(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Self::Full { path },
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::damaged(&path, format!("SQLite says `{source}`"))
                }
                _ => Self::Sqlite {
                    doing,
                    path,
                    source,
                },
            }
        }
    }

    /// For `map_err`: a failure of the file system while doing `doing`.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => Self::Full { path },
                _ => Self::File {
                    doing,
                    path,
                    source,
                },
            }
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
            next: "keep a copy of all its files, then restore the newest copy that verifies",
        }
    }
}

/// What [`crate::Reader::verify`] found wrong, first finding first.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{what}", at(*seq))]
pub struct Broken {
    /// The entry, where it is one entry.
    pub seq: Option<u64>,
    /// What is wrong with it, or with the ledger.
    pub what: String,
}

fn at(seq: Option<u64>) -> String {
    seq.map_or_else(String::new, |seq| format!("entry {seq}: "))
}

/// Why a query was not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not one `SELECT`.
    #[error("{why}; ask one SELECT")]
    NotAQuery {
        /// What it is instead.
        why: String,
    },
    /// It does more than read.
    #[error(
        "the query wants to {what}, and queries may only read; ask one SELECT over the ledger's tables and views"
    )]
    Refused {
        /// What it wants.
        what: String,
    },
    /// It ran too long.
    #[error("the query was stopped after {limit:?}; narrow it with WHERE or LIMIT")]
    TooSlow {
        /// How long it may take.
        limit: Duration,
    },
    /// It needs or returns too much.
    #[error("the query {what}; select fewer columns or rows, or shorten values with substr()")]
    TooLarge {
        /// What was too much.
        what: String,
    },
    /// SQLite does not understand it or could not go on.
    #[error("the query failed: {why}; the tables are `header` and `entries`, the views {views}")]
    Failed {
        /// SQLite's words.
        why: String,
        /// The names of the views.
        views: String,
    },
    /// A view that the caller defined is wrong.
    #[error("the view `{name}` is wrong: {why}; correct its SELECT")]
    View {
        /// Its name.
        name: String,
        /// SQLite's words.
        why: String,
    },
    /// The ledger itself cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
