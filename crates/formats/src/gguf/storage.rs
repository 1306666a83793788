//! The bytes of a file, mapped or owned, and strings that stay inside them.
//!
//! A vocabulary of 250,000 tokens is a quarter of a million strings. Copying each would cost more than the
//! rest of opening the file. So a [`Text`] is a place in the file and a [`TextArray`] a list of places; both
//! keep the bytes alive and are decoded when asked. Token strings need not be UTF-8, so both give bytes too.

use std::fmt;
use std::ops::Range;
use std::str::Utf8Error;
use std::sync::Arc;

/// The whole file.
#[derive(Debug)]
pub(super) enum Storage {
    /// Pages of the file itself, read when touched.
    Mapped(memmap2::Mmap),
    /// Bytes in memory, for tests, fuzzing and the writer.
    Owned(Vec<u8>),
}

impl Storage {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A string inside the file; not necessarily UTF-8.
#[derive(Clone)]
pub struct Text {
    storage: Arc<Storage>,
    // Invariant: within the storage; checked by the parser that made it.
    range: Range<usize>,
}

impl Text {
    pub(super) fn new(storage: &Arc<Storage>, range: Range<usize>) -> Self {
        Self {
            storage: Arc::clone(storage),
            range,
        }
    }

    /// The raw bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.storage.bytes()[self.range.clone()]
    }

    /// The text.
    ///
    /// # Errors
    /// When the bytes are not UTF-8.
    pub fn str(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(self.bytes())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self {
            range: 0..bytes.len(),
            storage: Arc::new(Storage::Owned(bytes.to_vec())),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}

/// Bytes of the length that stands before each string.
pub(super) const LEN_BYTES: usize = 8;

/// Many strings inside the file, such as a vocabulary.
///
/// Costs 8 bytes a string in memory, as much as the length field that each string has in the file.
#[derive(Clone)]
pub struct TextArray {
    storage: Arc<Storage>,
    // Offsets of the strings' length fields, then the end of the last string. A string's bytes lie between its
    // length field and the next. Invariant: at least one entry, within the storage, each LEN_BYTES or more apart.
    starts: Vec<usize>,
}

impl TextArray {
    /// `starts` as the parser found it; see the field's invariant.
    pub(super) fn new(storage: &Arc<Storage>, starts: Vec<usize>) -> Self {
        Self {
            storage: Arc::clone(storage),
            starts,
        }
    }

    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of one string, or `None` past the end.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let &[start, end] = self.starts.get(index..)?.first_chunk::<2>()?;
        self.storage.bytes().get(start + LEN_BYTES..end)
    }

    /// One string as text, or `None` past the end; the inner error when it is not UTF-8.
    #[must_use]
    pub fn str(&self, index: usize) -> Option<Result<&str, Utf8Error>> {
        self.bytes(index).map(str::from_utf8)
    }

    /// The bytes of every string in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        let bytes = self.storage.bytes();
        self.starts
            .windows(2)
            .map(move |pair| &bytes[pair[0] + LEN_BYTES..pair[1]])
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for TextArray {
    fn from_iter<I: IntoIterator<Item = T>>(strings: I) -> Self {
        let mut bytes = Vec::new();
        let mut starts = vec![0];
        for string in strings {
            let string = string.as_ref();
            bytes.extend_from_slice(&(string.len() as u64).to_le_bytes());
            bytes.extend_from_slice(string);
            starts.push(bytes.len());
        }
        Self {
            storage: Arc::new(Storage::Owned(bytes)),
            starts,
        }
    }
}

impl PartialEq for TextArray {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for TextArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(String::from_utf8_lossy))
            .finish()
    }
}
