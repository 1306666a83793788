//! The hash chain: what is hashed, in which order, and how a hash is written.
//!
//! Every text is preceded by its length (8 bytes, little-endian), every number is 8 bytes, and an absent experiment is the
//! byte 0 where a present one is the byte 1 and the number: no two different entries encode to the same bytes. The body enters
//! as the exact text that is stored, so that no JSON writer of the future can change a hash.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::entry::Header;

/// A SHA-256 sum; prints as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The sum itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        let mut sum = [0u8; 32];
        for (byte, pair) in sum.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            if pair.starts_with('+') {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(sum))
    }

    /// Of bytes in memory.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An entry as its row holds it: the fields that are hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub seq: u64,
    pub at: &'a str,
    pub kind: &'a str,
    pub experiment: Option<u64>,
    pub epoch: u64,
    pub judge: &'a str,
    pub worker: &'a str,
    pub body: &'a str,
}

/// The hash of an entry that follows `previous`.
pub(crate) fn entry_hash(previous: &Hash, fields: &Fields<'_>) -> Hash {
    let mut state = Sha256::new();
    put(&mut state, b"sprag ledger entry");
    state.update(previous.0);
    state.update(fields.seq.to_le_bytes());
    put(&mut state, fields.at.as_bytes());
    put(&mut state, fields.kind.as_bytes());
    match fields.experiment {
        None => state.update([0]),
        Some(experiment) => {
            state.update([1]);
            state.update(experiment.to_le_bytes());
        }
    }
    state.update(fields.epoch.to_le_bytes());
    put(&mut state, fields.judge.as_bytes());
    put(&mut state, fields.worker.as_bytes());
    put(&mut state, fields.body.as_bytes());
    Hash(state.finalize().into())
}

/// The hash with which the chain begins; `substrate` is the stored text.
pub(crate) fn header_hash(header: &Header, substrate: &str) -> Hash {
    let mut state = Sha256::new();
    put(&mut state, b"sprag ledger header");
    put(&mut state, header.track.as_bytes());
    put(&mut state, substrate.as_bytes());
    put(&mut state, header.created_by.as_bytes());
    Hash(state.finalize().into())
}

fn put(state: &mut Sha256, bytes: &[u8]) {
    state.update((bytes.len() as u64).to_le_bytes());
    state.update(bytes);
}

#[cfg(test)]
mod tests;
