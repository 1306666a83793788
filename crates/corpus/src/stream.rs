//! Tokens one behind the other, and the windows into them that a step sees.
//!
//! Tokens lie in chunks of equal size (but for the last), a byte each or two, little-endian, in memory or in mapped files; whoever reads
//! them sees no difference. A step's windows are chosen from the seed and the step's number alone: a resumed run sees what an uninterrupted
//! one would have.

use std::{ops::Range, sync::Arc};

use formats::MappedFile;
use sha2::{Digest as _, Sha256};

use crate::{IGNORED, SEPARATOR, random::Random};

/// Bytes of a chunk at most.
pub(crate) const CHUNK_BYTES: usize = 64 << 20;

/// How many windows a step sees, and how long they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Windows.
    pub sequences: usize,
    /// Tokens of each.
    pub positions: usize,
}

impl Batch {
    /// Tokens in all.
    #[must_use]
    pub const fn tokens(self) -> usize {
        self.sequences.saturating_mul(self.positions)
    }
}

/// Bytes of a token, by the size of the vocabulary.
pub(crate) const fn token_bytes(vocabulary: usize) -> usize {
    if vocabulary <= 256 { 1 } else { 2 }
}

/// A part of the tokens.
#[derive(Debug)]
pub(crate) enum Chunk {
    Memory(Vec<u8>),
    Mapped(MappedFile),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped(file) => file,
        }
    }
}

/// SHA-256.
pub(crate) type Hash = [u8; 32];

pub(crate) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// All tokens of a corpus.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) chunks: Vec<Chunk>,
    /// Of each chunk, when it was made.
    pub(crate) hashes: Vec<Hash>,
    /// Tokens of every chunk but the last.
    pub(crate) chunk_tokens: usize,
    pub(crate) vocabulary: usize,
}

impl Tokens {
    /// A token of a damaged file may be none; it reads as a separator.
    fn get(&self, index: usize) -> Option<u32> {
        let width = token_bytes(self.vocabulary);
        let chunk = self.chunks.get(index / self.chunk_tokens.max(1))?.bytes();
        let at = (index % self.chunk_tokens.max(1)) * width;
        let token = match *chunk.get(at..at + width)? {
            [low, high] => u32::from(u16::from_le_bytes([low, high])),
            [byte] => u32::from(byte),
            _ => return None,
        };
        Some(if (token as usize) < self.vocabulary {
            token
        } else {
            SEPARATOR
        })
    }

    /// Whether each chunk is what it was when it was made: its number where one is not.
    pub(crate) fn changed(&self) -> Option<usize> {
        let mut both = self.chunks.iter().zip(&self.hashes);
        both.position(|(chunk, &was)| hash(chunk.bytes()) != was)
    }
}

/// Fills chunks, and hands each on when it is full.
pub(crate) struct Filling<F> {
    chunk: Vec<u8>,
    chunk_bytes: usize,
    width: usize,
    tokens: usize,
    full: F,
}

impl<E, F: FnMut(Vec<u8>) -> Result<(), E>> Filling<F> {
    pub(crate) fn new(vocabulary: usize, chunk_bytes: usize, full: F) -> Self {
        Self {
            chunk: Vec::new(),
            chunk_bytes,
            width: token_bytes(vocabulary),
            tokens: 0,
            full,
        }
    }

    /// Tokens so far.
    pub(crate) const fn tokens(&self) -> usize {
        self.tokens
    }

    pub(crate) fn push(&mut self, token: u32) -> Result<(), E> {
        self.chunk
            .extend_from_slice(&token.to_le_bytes()[..self.width]);
        self.tokens += 1;
        if self.chunk.len() >= self.chunk_bytes {
            (self.full)(std::mem::take(&mut self.chunk))?;
        }
        Ok(())
    }

    pub(crate) fn end(mut self) -> Result<(), E> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        (self.full)(self.chunk)
    }
}

/// Documents one behind the other, each after a separator.
#[derive(Clone, Debug)]
pub struct Stream {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) range: Range<usize>,
    pub(crate) text_bytes: u64,
}

impl Stream {
    /// Tokens, separators included.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.range.len()
    }

    /// Bytes of the texts: what [`Stream::every_byte`]'s targets spell together, whatever the tokenizer.
    #[must_use]
    pub const fn text_bytes(&self) -> usize {
        self.text_bytes as usize
    }

    fn get(&self, index: usize) -> Option<u32> {
        let is_within = index < self.range.len();
        is_within
            .then(|| self.tokens.get(self.range.start + index))
            .flatten()
    }

    /// Tokens and targets of a batch of windows, anywhere, from the seed and the batch's number. Where a window is longer than the stream, which
    /// [`crate::Splits`] refuse, what is missing does not count.
    pub fn windows(
        &self,
        batch: Batch,
        seed: u64,
        number: u64,
        tokens: &mut Vec<u32>,
        targets: &mut Vec<u32>,
    ) {
        let mut random = Random::of(seed ^ 0x5741_4e44_4f57_5321, number);
        let starts = self.tokens().saturating_sub(batch.positions).max(1) as u64;
        tokens.clear();
        targets.clear();
        for _ in 0..batch.sequences {
            let start = random.below(starts) as usize;
            let at = |i: usize| self.get(start + i);
            tokens.extend((0..batch.positions).map(|i| at(i).unwrap_or(SEPARATOR)));
            targets.extend((1..=batch.positions).map(|i| at(i).unwrap_or(IGNORED)));
        }
    }

    /// Every token of the texts once as a target, in windows that do not overlap; the last batch is filled with targets that do not count. A
    /// window sees nothing before it, and separators are no targets.
    pub fn every_byte(&self, batch: Batch) -> impl Iterator<Item = (Vec<u32>, Vec<u32>)> + '_ {
        let size = batch.tokens().max(1);
        let count = self.tokens().saturating_sub(1).div_ceil(size);
        (0..count).map(move |number| {
            let at = |i: usize| self.get(number * size + i);
            let tokens = (0..size).map(|i| at(i).unwrap_or(SEPARATOR)).collect();
            let target = |i| {
                at(i + 1)
                    .filter(|&token| token != SEPARATOR)
                    .unwrap_or(IGNORED)
            };
            (tokens, (0..size).map(target).collect())
        })
    }
}

#[cfg(test)]
mod tests;
