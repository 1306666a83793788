//! Builds GGUF bytes field by field, with no regard for whether they are valid: that is the point.

use formats::gguf::ValueType;

/// The alignment of a file that does not name another.
const ALIGNMENT: usize = 32;

/// Bytes so far.
pub struct Raw(Vec<u8>);

impl From<Raw> for Vec<u8> {
    fn from(raw: Raw) -> Self {
        raw.0
    }
}

impl Raw {
    /// Magic, version, and the two counts.
    pub fn header(version: u32, tensors: u64, pairs: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(pairs)
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn zeros(self, len: usize) -> Self {
        self.bytes(&vec![0; len])
    }

    /// A string: length and bytes.
    pub fn key(self, key: &str) -> Self {
        self.u64(key.len() as u64).bytes(key.as_bytes())
    }

    /// A metadata pair up to the elements of its array.
    pub fn array(self, key: &str, elements: ValueType, count: u64) -> Self {
        self.key(key)
            .u32(ValueType::Array.id())
            .u32(elements.id())
            .u64(count)
    }

    /// An entry of the tensor table.
    pub fn tensor(self, name: &str, shape: &[u64], tensor_type: u32, offset: u64) -> Self {
        let entry = self.key(name).u32(shape.len() as u32);
        shape
            .iter()
            .fold(entry, |entry, &dim| entry.u64(dim))
            .u32(tensor_type)
            .u64(offset)
    }

    /// Padding to the alignment, then a data section of zeros.
    pub fn data(self, len: usize) -> Self {
        self.data_of(&vec![0; len])
    }

    /// Padding to the alignment, then these bytes.
    pub fn data_of(self, bytes: &[u8]) -> Self {
        let padding = self.0.len().next_multiple_of(ALIGNMENT) - self.0.len();
        self.zeros(padding).bytes(bytes)
    }
}
