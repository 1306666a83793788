//! The last bytes of a stream, in bounded memory whatever its length.

use std::collections::VecDeque;

use crate::outcome::Tail;

/// Keeps the last `keep` bytes and counts all.
#[derive(Debug)]
pub(crate) struct Ring {
    keep: usize,
    bytes: VecDeque<u8>,
    total: u64,
}

impl Ring {
    pub(crate) fn keeping(keep: usize) -> Self {
        Self {
            keep,
            bytes: VecDeque::new(),
            total: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len() as u64);
        let fresh = bytes.len().min(self.keep);
        let excess = (self.bytes.len() + fresh).saturating_sub(self.keep);
        self.bytes.drain(..excess);
        self.bytes.extend(&bytes[bytes.len() - fresh..]);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn into_tail(self) -> Tail {
        Tail {
            bytes: self.bytes.into(),
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests;
