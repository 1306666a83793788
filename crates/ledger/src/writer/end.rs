//! Where a ledger ends: its last entry, recomputed, and compared with what `NAME.head` remembers.

use std::path::Path;

use rusqlite::Connection;

use crate::chain::entry_hash;
use crate::error::LedgerError;
use crate::head::{self, Found, Mark};
use crate::rows::{self, COLUMNS, RawEntry, Selection};
use crate::verify::{self, UNREADABLE_HEAD};

/// The last entry, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub mark: Mark,
    pub epoch: u64,
    /// Whether an append failed since it was read.
    pub stale: bool,
}

/// The last entry (or the header), its hash recomputed from the one before it.
pub(super) fn read_end(connection: &Connection, path: &Path) -> Result<End, LedgerError> {
    let failed = LedgerError::sqlite("read", path);
    let damaged = |what: String| LedgerError::damaged(path, what);
    let mut end = End {
        mark: verify::header_mark(connection, path)?,
        epoch: 0,
        stale: false,
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT {COLUMNS} FROM entries ORDER BY seq DESC LIMIT 2) ORDER BY seq"
    );
    let mut statement = connection.prepare(&sql).map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    let mut read = 0;
    while let Some(row) = rows.next().map_err(&failed)? {
        let raw = RawEntry::of(row).map_err(|e| damaged(e.to_string()))?;
        let seq = raw.fields.seq;
        // The first of two is taken as it is, for the second one's sake; entry 1 follows the header.
        let is_given = read == 0 && seq > 1;
        let follows =
            seq == end.mark.seq + 1 && entry_hash(&end.mark.hash, &raw.fields) == raw.hash;
        if !follows && !is_given {
            return Err(damaged(format!(
                "its last entry, {seq}, is not what was recorded: the hash differs"
            )));
        }
        end.mark = Mark {
            seq,
            hash: raw.hash,
        };
        end.epoch = raw.fields.epoch;
        read += 1;
    }
    if read == 1 && end.mark.seq != 1 {
        return Err(damaged(format!(
            "its only entry is number {}: those before it are gone",
            end.mark.seq
        )));
    }
    Ok(end)
}

/// Refuses a ledger that ends before the entry that `NAME.head` remembers, or has another there.
pub(super) fn compare_head(
    connection: &Connection,
    path: &Path,
    end: Mark,
) -> Result<(), LedgerError> {
    let head_path = head::path_of(path);
    let found = head::read(path).map_err(LedgerError::file("read", &head_path))?;
    let damaged = |what: String| LedgerError::Damaged {
        path: path.to_owned(),
        what,
        next: "bring back the file as it was, with its `-wal` file; to go on without what is missing, delete the `.head` file",
    };
    let want = match found {
        Found::Nothing => return Ok(()),
        Found::Unreadable => return Err(damaged(UNREADABLE_HEAD.to_owned())),
        Found::Mark(mark) => mark,
    };
    let there = if want.seq == 0 {
        Some(verify::header_mark(connection, path)?.hash)
    } else {
        let selection = Selection::all().from(want.seq).at_most(1);
        let first = rows::select(connection, path, &selection)?
            .into_iter()
            .next();
        first
            .filter(|entry| entry.seq == want.seq)
            .map(|entry| entry.hash)
    };
    verify::contradiction(want, end.seq, there).map_or(Ok(()), |what| Err(damaged(what)))
}
