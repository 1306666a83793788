//! Spelling to token id: a hash table of ids whose keys are the vocabulary's own bytes.
//!
//! The table stores ids only and compares through one shared buffer, so that a vocabulary of 250,000 tokens costs two
//! allocations instead of 250,000. The hash is seeded at random: a hostile file cannot aim for collisions.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// An empty slot of the table.
const VACANT: u32 = u32::MAX;

/// All spellings of a vocabulary, and their ids.
#[derive(Debug)]
pub(crate) struct TokenIndex {
    bytes: Vec<u8>,
    /// Token `id` is `bytes[ends[id - 1]..ends[id]]`.
    ends: Vec<usize>,
    /// Open addressing with linear probing; a power of two, at most half full.
    slots: Vec<u32>,
    hasher: RandomState,
    longest: usize,
}

impl TokenIndex {
    /// Indexes `tokens`, whose number fits 31 bits.
    ///
    /// # Errors
    /// The two ids of the first spelling that comes twice.
    pub(crate) fn new(tokens: &[Vec<u8>]) -> Result<Self, (u32, u32)> {
        let mut index = Self {
            bytes: Vec::with_capacity(tokens.iter().map(Vec::len).sum()),
            ends: Vec::with_capacity(tokens.len()),
            slots: vec![VACANT; (tokens.len() * 2).next_power_of_two().max(2)],
            hasher: RandomState::default(),
            longest: 0,
        };
        for (id, token) in (0_u32..).zip(tokens) {
            match index.find(token) {
                Ok(first) => return Err((first, id)),
                Err(slot) => index.slots[slot] = id,
            }
            index.bytes.extend(token);
            index.ends.push(index.bytes.len());
            index.longest = index.longest.max(token.len());
        }
        Ok(index)
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The spelling of `id`, or nothing beyond the vocabulary.
    pub(crate) fn spelling(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }

    /// The token with that spelling.
    pub(crate) fn id(&self, spelling: &[u8]) -> Option<u32> {
        if spelling.len() > self.longest {
            return None;
        }
        self.find(spelling).ok()
    }

    /// The id with that spelling, or the vacant slot where it belongs.
    fn find(&self, spelling: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(spelling) as usize & mask;
        loop {
            match self.slots[slot] {
                VACANT => return Err(slot),
                id if self.spelling(id) == spelling => return Ok(id),
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}
