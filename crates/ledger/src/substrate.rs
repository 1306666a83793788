//! The machines that took part. The first is in the header; each other, and each change, is an entry of kind `substrate`.
//!
//! Times of two machines must never be compared unseen, so whoever opens a ledger says where it runs.

use serde_json::Value;

use crate::entry::{Entry, Header};

pub(crate) const KIND: &str = "substrate";

/// One machine as it was at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Substrate {
    /// The entry that says so; 0 for the header.
    pub seq: u64,
    /// Who runs there; empty for the header.
    pub worker: String,
    /// The machine's fingerprint.
    pub fingerprint: Value,
}

/// The header's machine, then those of `entries`, all of which are of [`KIND`].
pub(crate) fn list(header: &Header, entries: Vec<Entry>) -> Vec<Substrate> {
    let first = Substrate {
        seq: 0,
        worker: String::new(),
        fingerprint: header.substrate.clone(),
    };
    let later = entries.into_iter().map(|entry| Substrate {
        seq: entry.seq,
        worker: entry.worker,
        fingerprint: entry.body,
    });
    std::iter::once(first).chain(later).collect()
}

/// The machine on which `worker` runs: the last that it named, else the header's.
pub(crate) fn current<'a>(substrates: &'a [Substrate], worker: &str) -> Option<&'a Value> {
    let own = substrates
        .iter()
        .rev()
        .find(|substrate| substrate.seq > 0 && substrate.worker == worker);
    own.or(substrates.first())
        .map(|substrate| &substrate.fingerprint)
}
