//! A cursor over the file's bytes that never reads past their end.
//!
//! What fails says only where and by how much; the parser knows which field it was and adds that. So the
//! common path, a quarter of a million strings of a vocabulary, builds no names.

use std::ops::Range;

use super::error::{Fault, Field};

/// The bytes ended inside a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    at: usize,
    need: u64,
    left: usize,
}

impl Short {
    pub(super) fn within(self, field: Field) -> Fault {
        Fault::Truncated {
            field,
            at: self.at,
            need: self.need,
            left: self.left,
        }
    }
}

/// The cursor. Invariant: `at <= bytes.len()`.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes after the cursor.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], Short> {
        Ok(&self.bytes[self.skip(len)?])
    }

    /// Steps over the next `len` bytes and says where they are.
    pub(super) fn skip(&mut self, len: u64) -> Result<Range<usize>, Short> {
        let short = Short {
            at: self.at,
            need: len,
            left: self.left(),
        };
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= short.left)
            .ok_or(short)?;
        let range = self.at..self.at + len;
        self.at = range.end;
        Ok(range)
    }

    /// The next `N` bytes, for `from_le_bytes`.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let short = Short {
            at: self.at,
            need: N as u64,
            left: self.left(),
        };
        let array = self.bytes[self.at..].first_chunk::<N>().ok_or(short)?;
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    /// Steps over a string, a u64 length and that many bytes, and says where the bytes are.
    pub(super) fn string(&mut self) -> Result<Range<usize>, Short> {
        let len = self.u64()?;
        self.skip(len)
    }
}
