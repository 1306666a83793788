//! The one writer, and how it appends; `opening` makes it, `claiming` writes the ledger's own kinds of entries.
//!
//! A failed append: the transaction is rolled back, and the end of the ledger is read anew before the next one, because what
//! a failing disk left in memory is not trusted.

mod claiming;
mod end;
mod opening;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use crate::chain::{Fields, entry_hash};
use crate::claims::Claims;
use crate::depth;
use crate::entry::{Draft, Entry, Header, MAX_BODY_BYTES, OWN_KINDS};
use crate::error::{Broken, LedgerError};
use crate::head::{HeadFile, Mark};
use crate::lock::WriterLock;
use crate::moment;
use crate::rows::{self, COLUMNS, Selection};
use crate::verify::{self, Verified};

use end::{End, read_end};
use opening::FileIdentity;

/// The only way to append. Closing is dropping; it loses nothing, as a kill loses nothing.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    header: Header,
    // Fields are dropped in this order: the lock goes last.
    connection: Connection,
    head: HeadFile,
    file: FileIdentity,
    end: End,
    claims: Claims,
    _lock: WriterLock,
}

impl Ledger {
    /// Where the ledger is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the ledger is about.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The entries that `selection` names, in order.
    ///
    /// # Errors
    /// When the disk fails or an entry is damaged.
    pub fn entries(&self, selection: &Selection) -> Result<Vec<Entry>, LedgerError> {
        rows::select(&self.connection, &self.path, selection)
    }

    /// Why `NAME.head` lags behind the ledger, if it does: then removed entries might go unnoticed. Nothing else suffers.
    #[must_use]
    pub fn head_trouble(&self) -> Option<&str> {
        self.head.trouble()
    }

    /// The same check as [`crate::Reader::verify`].
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<Verified, Broken> {
        verify::verify(&self.connection, &self.path)
    }

    /// Records one entry, now. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the draft cannot be recorded, or the disk is full or fails: then it is not recorded, and may be tried again.
    pub fn append(&mut self, draft: &Draft<'_>) -> Result<Entry, LedgerError> {
        self.append_at(draft, &moment::to_text(moment::now()))
    }

    /// Records one entry with the caller's time: RFC 3339, UTC.
    ///
    /// # Errors
    /// Those of [`Ledger::append`], and a time that is not one.
    pub fn append_at(&mut self, draft: &Draft<'_>, at: &str) -> Result<Entry, LedgerError> {
        let mut entries = self.append_all_at(std::slice::from_ref(draft), at)?;
        entries
            .pop()
            .ok_or_else(|| LedgerError::damaged(&self.path, "an append of one entry recorded none"))
    }

    /// Records all of the drafts or none.
    ///
    /// # Errors
    /// Those of [`Ledger::append`].
    pub fn append_all(&mut self, drafts: &[Draft<'_>]) -> Result<Vec<Entry>, LedgerError> {
        self.append_all_at(drafts, &moment::to_text(moment::now()))
    }

    /// Records all of the drafts or none, with the caller's time: RFC 3339, UTC.
    ///
    /// # Errors
    /// Those of [`Ledger::append`], and a time that is not one.
    pub fn append_all_at(
        &mut self,
        drafts: &[Draft<'_>],
        at: &str,
    ) -> Result<Vec<Entry>, LedgerError> {
        if let Some(own) = drafts.iter().find(|draft| OWN_KINDS.contains(&draft.kind)) {
            return Err(LedgerError::Invalid {
                what: "the kind",
                expected: "another than the ledger's own (use claim, release and record_substrate for those)",
                found: format!("`{}`", own.kind),
            });
        }
        self.record(drafts, at)
    }

    fn record(&mut self, drafts: &[Draft<'_>], at: &str) -> Result<Vec<Entry>, LedgerError> {
        moment::parse(at)?;
        let mut bodies = Vec::with_capacity(drafts.len());
        for draft in drafts {
            draft.check()?;
            bodies.push(depth::to_text("the body", &draft.body, MAX_BODY_BYTES)?);
        }
        let Some(last_draft) = drafts.last() else {
            return Ok(Vec::new());
        };
        self.file.check(&self.path)?;
        if self.end.stale {
            self.end = read_end(&self.connection, &self.path)?;
        }
        let entries = chain(self.end.mark, drafts, bodies.iter(), at);
        let written = insert(&mut self.connection, &entries, &bodies);
        self.end.stale = written.is_err();
        written.map_err(LedgerError::sqlite("append to", &self.path))?;
        for entry in &entries {
            self.end.mark = Mark {
                seq: entry.seq,
                hash: entry.hash,
            };
            // Only a claim that `claim` did not write could be refused here, and `append` takes none.
            let _followed = self.claims.follow(entry);
        }
        self.end.epoch = last_draft.epoch;
        self.head.remember(self.end.mark);
        Ok(entries)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.head.flush();
    }
}

/// The entries that `drafts` become after `last`.
fn chain<'a>(
    last: Mark,
    drafts: &[Draft<'_>],
    bodies: impl Iterator<Item = &'a String>,
    at: &str,
) -> Vec<Entry> {
    let mut last = last;
    let link = |(draft, body): (&Draft<'_>, &String)| {
        let fields = Fields {
            seq: last.seq + 1,
            at,
            kind: draft.kind,
            experiment: draft.experiment,
            epoch: draft.epoch,
            judge: draft.judge,
            worker: draft.worker,
            body,
        };
        last = Mark {
            seq: fields.seq,
            hash: entry_hash(&last.hash, &fields),
        };
        Entry {
            seq: last.seq,
            at: at.to_owned(),
            kind: draft.kind.to_owned(),
            experiment: draft.experiment,
            epoch: draft.epoch,
            judge: draft.judge.to_owned(),
            worker: draft.worker.to_owned(),
            body: draft.body.clone(),
            hash: last.hash,
        }
    };
    drafts.iter().zip(bodies).map(link).collect()
}

/// All in one transaction; when this returns, the log has been flushed.
fn insert(
    connection: &mut Connection,
    entries: &[Entry],
    bodies: &[String],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let sql =
            format!("INSERT INTO entries ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        let mut statement = transaction.prepare(&sql)?;
        for (entry, body) in entries.iter().zip(bodies) {
            statement.execute((
                signed(entry.seq),
                &entry.at,
                &entry.kind,
                entry.experiment.map(signed),
                signed(entry.epoch),
                &entry.judge,
                &entry.worker,
                body,
                entry.hash.bytes(),
            ))?;
        }
    }
    transaction.commit()
}

/// Drafts were checked to be below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
