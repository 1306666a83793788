//! What a ledger holds: one header, then entries. And the bounds on both.

use serde_json::Value;

use crate::chain::Hash;
use crate::error::LedgerError;

/// A body's JSON text may be this long. Larger things belong into files, their hashes into the ledger.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// A kind, judge, worker or track may be this long.
pub const MAX_NAME_BYTES: usize = 1 << 10;

/// SQLite's integers have a sign; no count of ours comes near.
pub(crate) const MAX_NUMBER: u64 = i64::MAX as u64;

/// What a ledger is about. Written once, and the beginning of the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The track's name.
    pub track: String,
    /// The fingerprint of the machine on which it was begun.
    pub substrate: Value,
    /// The version of Sprag that began it.
    pub created_by: String,
}

/// An entry before it is recorded.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// What it is, in the caller's vocabulary; `claim`, `release` and `substrate` are the ledger's own.
    pub kind: &'a str,
    /// Which experiment it belongs to.
    pub experiment: Option<u64>,
    /// The seal's epoch.
    pub epoch: u64,
    /// The content hash of the judge's version; empty before one is sealed.
    pub judge: &'a str,
    /// Who did it.
    pub worker: &'a str,
    /// The rest, as JSON.
    pub body: Value,
}

/// One recorded entry.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Entry {
    /// 1, 2, 3 and so on.
    pub seq: u64,
    /// When, by the writer's clock: RFC 3339, UTC.
    pub at: String,
    /// What it is.
    pub kind: String,
    /// Which experiment it belongs to.
    pub experiment: Option<u64>,
    /// The seal's epoch.
    pub epoch: u64,
    /// The content hash of the judge's version; empty before one is sealed.
    pub judge: String,
    /// Who did it.
    pub worker: String,
    /// The rest.
    pub body: Value,
    /// Over the previous entry's hash and all of the above.
    pub hash: Hash,
}

/// Kinds that only the ledger's own methods write.
pub(crate) const OWN_KINDS: [&str; 3] = ["claim", "release", "substrate"];

impl Header {
    /// Refuses what cannot be recorded.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        short("the track's name", &self.track)?;
        short("the creator's version", &self.created_by)
    }
}

impl Draft<'_> {
    /// Refuses what cannot be recorded, the body aside.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        if self.kind.is_empty() {
            return Err(LedgerError::Invalid {
                what: "the kind",
                expected: "a name",
                found: "an empty text".to_owned(),
            });
        }
        short("the kind", self.kind)?;
        short("the judge's hash", self.judge)?;
        short("the worker's name", self.worker)?;
        small("the experiment's number", self.experiment.unwrap_or(0))?;
        small("the epoch", self.epoch)
    }
}

fn short(what: &'static str, text: &str) -> Result<(), LedgerError> {
    if text.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    Err(LedgerError::TooLarge {
        what,
        bytes: text.len(),
        limit: MAX_NAME_BYTES,
    })
}

fn small(what: &'static str, number: u64) -> Result<(), LedgerError> {
    if number <= MAX_NUMBER {
        return Ok(());
    }
    Err(LedgerError::Invalid {
        what,
        expected: "a number below 2^63",
        found: number.to_string(),
    })
}
