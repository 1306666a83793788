//! The durable, append-only, hash-chained record of experiments.
//!
//! An experiment costs minutes, so its record must not be lost by a kill, a full disk or a power cut, and since a champion
//! moves by it, nobody may be able to change it unseen. One [`Ledger`] writes; any number of [`Reader`]s read meanwhile.
//!
//! # An append, step by step
//!
//! 1. The draft is checked (sizes, depth, time) before anything touches the disk.
//! 2. Its hash is SHA-256 over the previous entry's hash and every field, each with its length before it ([`Entry::hash`]); the
//!    first entry follows the header's hash.
//! 3. One SQLite transaction (write-ahead log, `synchronous=FULL`) holds all drafts of the call. When it returns, the log was
//!    flushed to the disk: that is the acknowledgement.
//! 4. The newest sequence number and hash are written to `NAME.head`. It may lag behind the ledger, and never leads it.
//!
//! # Invariants
//!
//! 1. What was acknowledged is there, whatever happened afterwards. An append that returned an error is not there for this
//!    writer; if its process dies before its next append, the entry may be found whole by the next writer, as after any kill.
//! 2. Sequence numbers are 1, 2, 3 and so on without a gap. Order is by them alone: a clock may jump.
//! 3. Entries and header are never changed or removed: triggers refuse, and [`Reader::verify`] notices when someone went round
//!    them, or dropped them, or cut off the last entries (against `NAME.head`).
//! 4. At most one process writes: a lock on `NAME.lock` which the system releases at death.
//! 5. What is no ledger, and a ledger of a newer format, is refused and left as it is.
//!
//! # Not promised
//!
//! The chain is not signed: whoever may write all the files may write another ledger with another chain. Against that, keep
//! [`Verified::head`] elsewhere. On network file systems the lock and the log are as good as their locks.
//!
//! # Format changelog
//!
//! The number is SQLite's `user_version`; the files are marked by `application_id` 0x53505247 (`SPRG`).
//!
//! - 1: header (track, substrate, version of the creator), entries, two indexes, five triggers.

mod chain;
mod claims;
mod depth;
mod entry;
mod error;
mod head;
mod lock;
mod moment;
mod place;
mod query;
mod reader;
mod rows;
mod schema;
mod substrate;
mod verify;
mod writer;

pub use chain::Hash;
pub use claims::Claim;
pub use entry::{Draft, Entry, Header, MAX_BODY_BYTES, MAX_NAME_BYTES};
pub use error::{Broken, LedgerError, QueryError};
pub use lock::{Holder, is_busy};
pub use query::{Cell, Limit, Table};
pub use reader::Reader;
pub use rows::Selection;
pub use schema::FORMAT;
pub use substrate::Substrate;
pub use verify::{Remembered, Verified};
pub use writer::Ledger;
