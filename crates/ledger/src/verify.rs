//! The whole chain, recomputed from the bytes that are stored.
//!
//! 1. `NAME.head` is read first: it never leads, so whatever it remembers must be in what is read afterwards.
//! 2. In one snapshot: SQLite's own `integrity_check`, the schema with its triggers, the header's hash, then every entry in
//!    order: its number, its hash, its JSON.
//! 3. The remembered entry must be there with its remembered hash; else the last entries were removed, or replaced.
//!
//! It reads only, while a writer may write.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::chain::{Hash, entry_hash, header_hash};
use crate::error::{Broken, LedgerError};
use crate::head::{self, Found, Mark};
use crate::rows::{self, COLUMNS, RawEntry, broken};
use crate::schema;

/// A ledger that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries.
    pub entries: u64,
    /// The last entry's hash (the header's, if there is none). Kept elsewhere, it shows that nothing up to here was changed.
    pub head: Hash,
    /// Whether the end could be checked, too.
    pub remembered: Remembered,
}

/// What `NAME.head` had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// The ledger reached this entry once, and still does.
    UpTo(u64),
    /// There is no such file, so that entries removed from the end would not be noticed.
    Nothing,
}

/// Checks everything.
pub(crate) fn verify(connection: &Connection, path: &Path) -> Result<Verified, Broken> {
    let remembered =
        head::read(path).map_err(|e| broken(None, format!("`.head` cannot be read: {e}")))?;
    let snapshot = connection.unchecked_transaction().map_err(words)?;
    integrity(&snapshot)?;
    if let Some(difference) = schema::difference(&snapshot).map_err(words)? {
        return Err(broken(None, difference));
    }
    let first = header_mark(&snapshot, path).map_err(|e| broken(None, e.to_string()))?;
    let want = match remembered {
        Found::Mark(mark) => Some(mark),
        Found::Nothing => None,
        Found::Unreadable => return Err(broken(None, UNREADABLE_HEAD)),
    };
    let (last, at_want) = walk(&snapshot, first, want.map(|mark| mark.seq))?;
    let Some(want) = want else {
        return Ok(Verified {
            entries: last.seq,
            head: last.hash,
            remembered: Remembered::Nothing,
        });
    };
    if let Some(what) = contradiction(want, last.seq, at_want) {
        return Err(broken(None, what));
    }
    Ok(Verified {
        entries: last.seq,
        head: last.hash,
        remembered: Remembered::UpTo(want.seq),
    })
}

pub(crate) const UNREADABLE_HEAD: &str = "its `.head` file is garbled, so that entries removed from the end would not be noticed; if the rest verifies without \
     that file, delete it";

/// What the remembered mark says against the ledger, if anything.
pub(crate) fn contradiction(want: Mark, last_seq: u64, found: Option<Hash>) -> Option<String> {
    match found {
        Some(hash) if hash == want.hash => None,
        Some(_) => Some(format!(
            "entry {} is not the one that was recorded: the history was replaced",
            want.seq
        )),
        None => {
            let lost = want.seq.saturating_sub(last_seq);
            Some(format!(
                "the last {lost} entries were lost or removed: it ended with entry {}, and ends with {last_seq}",
                want.seq
            ))
        }
    }
}

/// The beginning of the chain, recomputed.
pub(crate) fn header_mark(connection: &Connection, path: &Path) -> Result<Mark, LedgerError> {
    let (header, substrate, hash) = rows::header(connection, path)?;
    if header_hash(&header, &substrate) != hash {
        return Err(LedgerError::damaged(
            path,
            "the header does not have the hash that was recorded with it",
        ));
    }
    Ok(Mark { seq: 0, hash })
}

fn integrity(connection: &Connection) -> Result<(), Broken> {
    let said: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(words)?;
    if said == "ok" {
        return Ok(());
    }
    Err(broken(
        None,
        format!("SQLite finds its file damaged: {said}"),
    ))
}

/// Follows the chain from `first`; returns its end, and the hash of entry `want`.
fn walk(
    connection: &Connection,
    first: Mark,
    want: Option<u64>,
) -> Result<(Mark, Option<Hash>), Broken> {
    let mut last = first;
    let mut at_want = (want == Some(0)).then_some(first.hash);
    let sql = format!("SELECT {COLUMNS} FROM entries ORDER BY seq");
    let mut statement = connection.prepare(&sql).map_err(words)?;
    let mut rows = statement.query([]).map_err(words)?;
    while let Some(row) = rows.next().map_err(words)? {
        let raw = RawEntry::of(row)?;
        let seq = raw.fields.seq;
        if seq != last.seq + 1 {
            return Err(broken(
                Some(seq),
                format!("it follows entry {}: what was between is gone", last.seq),
            ));
        }
        if entry_hash(&last.hash, &raw.fields) != raw.hash {
            return Err(broken(
                Some(seq),
                "it, or the one before it, is not what was recorded: the hash differs",
            ));
        }
        last = Mark {
            seq,
            hash: raw.hash,
        };
        if want == Some(seq) {
            at_want = Some(raw.hash);
        }
        raw.into_entry()?;
    }
    Ok((last, at_want))
}

fn words(error: rusqlite::Error) -> Broken {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("SQLite finds its file damaged: {error}")
        }
        _ => format!("it could not be read to the end: {error}"),
    };
    broken(None, what)
}

#[cfg(test)]
mod tests;
