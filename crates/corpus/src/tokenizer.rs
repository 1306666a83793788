//! Which numbers stand for a text.
//!
//! Tokens 0 to 255 are the bytes. Byte pairs add token 256 + i for merge i, which joins two earlier tokens; text is cut into words by GPT-2's
//! expression, and within a word the pair of the lowest number is merged first, the leftmost one on a tie. So every text has tokens, and they
//! spell it again. Words and merging are those of `text`: what a model was trained with is what it later runs with.
//!
//! Merges that somebody else wrote are checked whole ([`BytePairs::new`]); whoever holds one need not ask again. In JSON a tokenizer is `null`
//! for bytes and `{"merges": [[104, 101], ..]}` for pairs.

mod encoder;
#[cfg(not(feature = "pairs"))]
mod no_training;
#[cfg(feature = "pairs")]
mod training;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use encoder::Encoder;

/// Tokens that are bytes.
const BYTES: usize = 256;
/// Tokens at most: they are stored in two bytes.
const MOST: usize = 1 << 16;
/// Bytes of a token at most. Merges double: without a limit 40 of them could ask for a terabyte.
const LONGEST: usize = 256;

/// Why there is no such tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// More merges than numbers.
    #[error("the tokenizer has {found} merges, and {} fit; give the first of them", MOST - BYTES)]
    TooMany {
        /// Merges.
        found: usize,
    },
    /// A merge is none.
    #[error(
        "merge {index} joins tokens {left} and {right}: {reason}; give the merges as they were learned, in their order"
    )]
    Merge {
        /// From 0.
        index: usize,
        /// First token.
        left: u32,
        /// Second token.
        right: u32,
        /// What is wrong.
        reason: String,
    },
    /// A vocabulary of that size can't be.
    #[error("a vocabulary has {BYTES} (bytes alone) to {MOST} tokens, and {found} were asked for")]
    Size {
        /// Tokens asked for.
        found: usize,
    },
    /// The text has too few pairs that occur twice.
    #[error(
        "a vocabulary of {asked} tokens needs {} merges, and the text to learn from gave {merges}; ask for {} at most, or give more text",
        asked - BYTES,
        merges + BYTES
    )]
    TooLittleText {
        /// Tokens asked for.
        asked: usize,
        /// Merges found.
        merges: usize,
    },
    /// This build learns none.
    #[error(
        "a vocabulary of {asked} tokens needs pairs of bytes that are learned, which this build does not do; build it with `--features pairs`, or ask for 256 (bytes)"
    )]
    NoLearning {
        /// Tokens asked for.
        asked: usize,
    },
    /// What learns merges failed.
    #[error("merges can't be learned: {0}")]
    Learning(String),
    /// What encodes refuses the vocabulary.
    #[error("the vocabulary can't encode: {0}")]
    Encoder(#[from] text::TokenizerError),
}

/// What a text's tokens are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Option<Merges>", into = "Option<Merges>")]
pub enum Tokenizer {
    /// Its bytes.
    #[default]
    Bytes,
    /// Pairs of bytes, of pairs, and so on.
    Pairs(BytePairs),
}

/// As JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Merges {
    merges: Vec<[u32; 2]>,
}

impl TryFrom<Option<Merges>> for Tokenizer {
    type Error = TokenizerError;

    fn try_from(found: Option<Merges>) -> Result<Self, TokenizerError> {
        found.map_or(Ok(Self::Bytes), |some| {
            BytePairs::new(some.merges).map(Self::Pairs)
        })
    }
}

impl From<Tokenizer> for Option<Merges> {
    fn from(tokenizer: Tokenizer) -> Self {
        match tokenizer {
            Tokenizer::Bytes => None,
            Tokenizer::Pairs(pairs) => Some(Merges {
                merges: pairs.merges,
            }),
        }
    }
}

/// Merges that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytePairs {
    merges: Vec<[u32; 2]>,
    /// What all tokens spell, one behind the other.
    spelt: Vec<u8>,
    /// Where each token's bytes end in that.
    ends: Vec<u32>,
}

impl BytePairs {
    /// Of merges in their order.
    ///
    /// # Errors
    /// There are too many; or one joins a token that is not there yet, the separator, what would be too long, or what another one makes.
    pub fn new(merges: Vec<[u32; 2]>) -> Result<Self, TokenizerError> {
        if merges.len() > MOST - BYTES {
            return Err(TokenizerError::TooMany {
                found: merges.len(),
            });
        }
        let mut pairs = Self {
            spelt: (0..=255).collect(),
            ends: (1..=256).collect(),
            merges,
        };
        let mut made: HashMap<Vec<u8>, usize> = HashMap::new();
        for index in 0..pairs.merges.len() {
            let [left, right] = pairs.merges[index];
            let refused = |reason: String| TokenizerError::Merge {
                index,
                left,
                right,
                reason,
            };
            let part = |id: u32| {
                if id == crate::SEPARATOR {
                    return Err(refused("token 0 is no part of a text".to_owned()));
                }
                pairs
                    .bytes(id)
                    .ok_or_else(|| refused(format!("token {id} is not there before it")))
            };
            let joined = [part(left)?, part(right)?].concat();
            if joined.len() > LONGEST {
                return Err(refused(format!(
                    "together they are {} bytes, and {LONGEST} are allowed",
                    joined.len()
                )));
            }
            pairs.spelt.extend_from_slice(&joined);
            pairs.ends.push(pairs.spelt.len() as u32);
            if let Some(first) = made.insert(joined, index) {
                return Err(refused(format!("merge {first} makes the same token")));
            }
        }
        Ok(pairs)
    }

    /// In their order.
    #[must_use]
    pub fn merges(&self) -> &[[u32; 2]] {
        &self.merges
    }

    fn bytes(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = id
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        Some(&self.spelt[start..end])
    }
}

impl Tokenizer {
    /// How many tokens there are.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Bytes => BYTES,
            Self::Pairs(pairs) => BYTES + pairs.merges.len(),
        }
    }

    /// What a token spells.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        const ALL: [u8; 256] = {
            let mut all = [0; 256];
            let mut i = 0;
            while i < 256 {
                all[i] = i as u8;
                i += 1;
            }
            all
        };
        match self {
            Self::Bytes => ALL.get(id as usize).map(std::slice::from_ref),
            Self::Pairs(pairs) => pairs.bytes(id),
        }
    }

    /// What tokens spell together: a text where they are a whole one's, and any bytes else. What is no token spells nothing.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        let spelt = tokens.iter().filter_map(|&id| self.token_bytes(id));
        spelt.flatten().copied().collect()
    }

    /// What turns text into tokens.
    ///
    /// # Errors
    /// `text` refuses the vocabulary, which those that [`BytePairs::new`] takes do not give it a reason for.
    pub fn encoder(&self) -> Result<Encoder, TokenizerError> {
        Encoder::new(self)
    }

    /// `tokenizer.ggml.tokens`: each token in GPT-2's alphabet, which has a printable character for each byte.
    #[must_use]
    pub fn gguf_tokens(&self) -> Vec<String> {
        let ids = 0..self.vocabulary() as u32;
        ids.map(|id| self.name(id)).collect()
    }

    /// `tokenizer.ggml.merges`: both sides in that alphabet, with a space between. The words are those of `tokenizer.ggml.pre` =
    /// [`Tokenizer::GGUF_PRE`].
    #[must_use]
    pub fn gguf_merges(&self) -> Vec<String> {
        match self {
            Self::Bytes => Vec::new(),
            Self::Pairs(pairs) => {
                let merges = pairs.merges.iter();
                merges
                    .map(|&[left, right]| format!("{} {}", self.name(left), self.name(right)))
                    .collect()
            }
        }
    }

    /// `tokenizer.ggml.pre`: who cuts text into words.
    pub const GGUF_PRE: &'static str = "gpt-2";

    fn name(&self, id: u32) -> String {
        text::byte_spelling(self.token_bytes(id).unwrap_or_default())
    }
}

#[cfg(feature = "pairs")]
#[cfg(test)]
mod tests;
