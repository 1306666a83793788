//! The tables, how a file is recognised as a ledger before SQLite may touch it, and how an older format is brought up to date.
//!
//! The triggers make the tables append-only for every SQLite program: an insert out of order is refused too, because
//! `INSERT OR REPLACE` deletes without asking a delete trigger. What a ledger's schema must be is not written twice: it is
//! what [`TABLES`] makes in an empty database, and [`difference`] compares.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rusqlite::{Connection, Transaction};

use crate::error::LedgerError;

/// The format that this version writes; the crate's documentation has the changelog.
pub const FORMAT: u32 = 1;

/// Marks a SQLite database as a ledger: `SPRG`.
const APPLICATION_ID: u32 = 0x5350_5247;

/// Brings format `n + 1` to format `n + 2`, for each `n`. Entries are never rewritten, so hashes stay.
const STEPS: [&str; FORMAT as usize - 1] = [];

const TABLES: &str = "
CREATE TABLE header (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    track TEXT NOT NULL,
    substrate TEXT NOT NULL,
    created_by TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    experiment INTEGER CHECK (experiment >= 0),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    judge TEXT NOT NULL,
    worker TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX entries_by_kind ON entries (kind, seq);
CREATE INDEX entries_by_experiment ON entries (experiment, seq) WHERE experiment IS NOT NULL;
CREATE TRIGGER entries_follow BEFORE INSERT ON entries
    WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entries)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: an entry must follow the last one'); END;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entries are never changed'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entries are never removed'); END;
CREATE TRIGGER header_stays BEFORE UPDATE ON header
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: the header is never changed'); END;
CREATE TRIGGER header_remains BEFORE DELETE ON header
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: the header is never removed'); END;
";

/// Refuses whatever is not a ledger of a format that this version knows, by reading 100 bytes and no more.
pub(crate) fn recognise(path: &Path) -> Result<(), LedgerError> {
    let file = LedgerError::file("read", path);
    let foreign = |found: String| LedgerError::NotALedger {
        path: path.to_owned(),
        found,
    };
    match path.metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(LedgerError::NotFound {
                path: path.to_owned(),
            });
        }
        Err(e) => return Err(file(e)),
        Ok(metadata) if metadata.is_dir() => return Err(foreign("a folder".to_owned())),
        Ok(metadata) if !metadata.is_file() => return Err(foreign("no plain file".to_owned())),
        Ok(_) => {}
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(100).read_to_end(&mut head))
        .map_err(file)?;
    if head.is_empty() {
        return Err(foreign("an empty file".to_owned()));
    }
    if !head.starts_with(b"SQLite format 3\0") || head.len() < 100 {
        let beginning = String::from_utf8_lossy(&head[..head.len().min(16)])
            .escape_debug()
            .to_string();
        return Err(foreign(format!("a file that begins with `{beginning}`")));
    }
    let number =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if number(68) != APPLICATION_ID {
        return Err(foreign(format!(
            "another program's SQLite database (application_id {})",
            number(68)
        )));
    }
    known(path, number(60)).map(|_| ())
}

/// The format, if it is one that this version can work with.
fn known(path: &Path, found: u32) -> Result<u32, LedgerError> {
    match found {
        0 => Err(LedgerError::damaged(path, "its format number is 0")),
        1..=FORMAT => Ok(found),
        _ => Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
    }
}

/// The format as SQLite sees it, write-ahead log included.
pub(crate) fn format(connection: &Connection, path: &Path) -> Result<u32, LedgerError> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(LedgerError::sqlite("read", path))?;
    known(path, u32::try_from(found).unwrap_or(u32::MAX))
}

/// Makes the tables in an empty database.
pub(crate) fn lay_out(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)
}

/// Brings an older ledger to [`FORMAT`], whole or not at all.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let found = format(connection, path)?;
    step_up(connection, found, &STEPS).map_err(LedgerError::sqlite("bring up to date", path))
}

fn step_up(connection: &mut Connection, found: u32, steps: &[&str]) -> rusqlite::Result<()> {
    let pending = steps.get(found as usize - 1..).unwrap_or_default();
    if pending.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in pending {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", steps.len() as u32 + 1)?;
    transaction.commit()
}

/// The first thing in which the schema is not a ledger's, in words.
pub(crate) fn difference(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(TABLES)?;
    let (expected, found) = (objects(&empty)?, objects(connection)?);
    let missing = expected.iter().find(|object| !found.contains(object));
    let added = found.iter().find(|object| !expected.contains(object));
    Ok(match (missing, added) {
        (Some((kind, name, _)), Some((other, same, _))) if kind == other && name == same => {
            Some(format!("the {kind} `{name}` was changed"))
        }
        (Some((kind, name, _)), _) => Some(format!("the {kind} `{name}` is missing")),
        (None, Some((kind, name, _))) => Some(format!("the {kind} `{name}` was added")),
        (None, None) => None,
    })
}

/// Type, name and text of everything that somebody created.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String, String)>> {
    let mut statement = connection.prepare(
        "SELECT type, name, coalesce(sql, '') FROM sqlite_schema
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests;
