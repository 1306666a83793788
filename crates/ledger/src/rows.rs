//! Rows become entries: every column is checked for its type, its range and its JSON, because a file is foreign bytes even
//! when it was ours.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::chain::{Fields, Hash};
use crate::entry::{Entry, Header, MAX_NUMBER};
use crate::error::{Broken, LedgerError};

/// Columns in the order in which [`RawEntry::of`] reads them.
pub(crate) const COLUMNS: &str = "seq, at, kind, experiment, epoch, judge, worker, body, hash";

/// Which entries, always in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    from: u64,
    kind: Option<String>,
    experiment: Option<u64>,
    at_most: Option<u64>,
}

impl Selection {
    /// Every entry.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only those with this sequence number or a higher one.
    #[must_use]
    pub fn from(mut self, seq: u64) -> Self {
        self.from = seq;
        self
    }

    /// Only those of this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only those of this experiment.
    #[must_use]
    pub fn experiment(mut self, experiment: u64) -> Self {
        self.experiment = Some(experiment);
        self
    }

    /// Only the first `count` of them.
    #[must_use]
    pub fn at_most(mut self, count: u64) -> Self {
        self.at_most = Some(count);
        self
    }
}

/// An entry as its row has it.
#[derive(Debug)]
pub(crate) struct RawEntry<'a> {
    pub fields: Fields<'a>,
    pub hash: Hash,
}

impl<'a> RawEntry<'a> {
    /// Reads a row of [`COLUMNS`].
    pub(crate) fn of(row: &'a Row<'_>) -> Result<Self, Broken> {
        let seq = number(row, 0, None)?.ok_or_else(|| broken(None, "it has no number"))?;
        let at_seq = Some(seq);
        let required = |column: usize| {
            number(row, column, at_seq)?.ok_or_else(|| broken(at_seq, "its epoch is missing"))
        };
        let fields = Fields {
            seq,
            at: text(row, 1, at_seq)?,
            kind: text(row, 2, at_seq)?,
            experiment: number(row, 3, at_seq)?,
            epoch: required(4)?,
            judge: text(row, 5, at_seq)?,
            worker: text(row, 6, at_seq)?,
            body: text(row, 7, at_seq)?,
        };
        Ok(Self {
            fields,
            hash: hash(row, 8, at_seq)?,
        })
    }

    pub(crate) fn into_entry(self) -> Result<Entry, Broken> {
        let Fields {
            seq,
            at,
            kind,
            experiment,
            epoch,
            judge,
            worker,
            body,
        } = self.fields;
        let body = serde_json::from_str(body)
            .map_err(|e| broken(Some(seq), format!("its body is not JSON ({e})")))?;
        Ok(Entry {
            seq,
            at: at.to_owned(),
            kind: kind.to_owned(),
            experiment,
            epoch,
            judge: judge.to_owned(),
            worker: worker.to_owned(),
            body,
            hash: self.hash,
        })
    }
}

/// The entries that `selection` names.
pub(crate) fn select(
    connection: &Connection,
    path: &Path,
    selection: &Selection,
) -> Result<Vec<Entry>, LedgerError> {
    let failed = LedgerError::sqlite("read", path);
    // A condition is left out, not made always true, so that each form can use its index.
    let mut sql = format!("SELECT {COLUMNS} FROM entries WHERE seq >= ?1");
    sql.push_str(match selection.kind {
        Some(_) => " AND kind = ?2",
        None => " AND ?2 IS NULL",
    });
    sql.push_str(match selection.experiment {
        Some(_) => " AND experiment = ?3",
        None => " AND ?3 IS NULL",
    });
    sql.push_str(" ORDER BY seq LIMIT ?4");
    let mut statement = connection.prepare(&sql).map_err(&failed)?;
    let bounded = |number: u64| number.min(MAX_NUMBER) as i64;
    // More than any experiment's number: finds none.
    let experiment = selection
        .experiment
        .map(|number| i64::try_from(number).unwrap_or(-1));
    let mut rows = statement
        .query((
            bounded(selection.from),
            &selection.kind,
            experiment,
            bounded(selection.at_most.unwrap_or(MAX_NUMBER)),
        ))
        .map_err(&failed)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        let entry = RawEntry::of(row).and_then(RawEntry::into_entry);
        entries.push(entry.map_err(|e| LedgerError::damaged(path, e.to_string()))?);
    }
    Ok(entries)
}

/// The header, its stored substrate text, and its hash; not yet compared.
pub(crate) fn header(
    connection: &Connection,
    path: &Path,
) -> Result<(Header, String, Hash), LedgerError> {
    let failed = LedgerError::sqlite("read", path);
    let mut statement = connection
        .prepare("SELECT track, substrate, created_by, hash FROM header WHERE id = 1")
        .map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    let Some(row) = rows.next().map_err(&failed)? else {
        return Err(LedgerError::damaged(path, "it has no header"));
    };
    let read = || {
        let substrate = text(row, 1, None)?;
        let header = Header {
            track: text(row, 0, None)?.to_owned(),
            substrate: serde_json::from_str(substrate)
                .map_err(|e| broken(None, format!("the substrate is not JSON ({e})")))?,
            created_by: text(row, 2, None)?.to_owned(),
        };
        Ok((header, substrate.to_owned(), hash(row, 3, None)?))
    };
    read().map_err(|e: Broken| LedgerError::damaged(path, format!("in its header, {e}")))
}

pub(crate) fn broken(seq: Option<u64>, what: impl Into<String>) -> Broken {
    Broken {
        seq,
        what: what.into(),
    }
}

fn cell<'a>(row: &'a Row<'_>, column: usize, seq: Option<u64>) -> Result<ValueRef<'a>, Broken> {
    row.get_ref(column)
        .map_err(|e| broken(seq, format!("column {column} cannot be read ({e})")))
}

fn text<'a>(row: &'a Row<'_>, column: usize, seq: Option<u64>) -> Result<&'a str, Broken> {
    match cell(row, column, seq)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map_err(|e| broken(seq, format!("column {column} is not UTF-8 ({e})"))),
        other => Err(unexpected(seq, column, "text", other)),
    }
}

fn number(row: &Row<'_>, column: usize, seq: Option<u64>) -> Result<Option<u64>, Broken> {
    match cell(row, column, seq)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => u64::try_from(number)
            .map(Some)
            .map_err(|_| broken(seq, format!("column {column} is negative ({number})"))),
        other => Err(unexpected(seq, column, "a number", other)),
    }
}

fn hash(row: &Row<'_>, column: usize, seq: Option<u64>) -> Result<Hash, Broken> {
    let cell = cell(row, column, seq)?;
    let sum = match cell {
        ValueRef::Blob(bytes) => Hash::from_slice(bytes),
        _ => None,
    };
    sum.ok_or_else(|| unexpected(seq, column, "a hash of 32 bytes", cell))
}

fn unexpected(seq: Option<u64>, column: usize, expected: &str, found: ValueRef<'_>) -> Broken {
    let found = found.data_type();
    broken(
        seq,
        format!("column {column} should hold {expected}, and holds {found}"),
    )
}
