//! RWKV's "World" vocabularies: at every place of the text, the longest token that begins there. No merges, no scores, no words.
//!
//! Tokens are any bytes, not only whole characters. A model file spells them as Python prints bytes ([`escapes`]).
//!
//! 1. Tokens that text may spell are sorted by their bytes. A token's *parent* is the longest other token that begins it.
//! 2. At a place, find the last token that is not greater than the rest of the text. Every token that begins the rest also begins
//!    this one (whatever lies between a string's beginning and the string begins the same way), so that all candidates are on its
//!    chain of parents.
//! 3. The first of the chain that is no longer than what the two have in common is the longest match.
//!
//! Bounds: the tables hold 8 bytes per token whatever its length (a trie of a hostile vocabulary would not), and no token is
//! longer than [`LONGEST_TOKEN`], so that no place of the text takes more than a constant number of steps.
//!
//! Differences from llama.cpp, on purpose: its matching lets text spell control tokens, and the unused ones that fill the
//! vocabulary up (`[PAD65530]`), which the models' own tokenizer does not have.
//!
//! Source: the tokenizer of the PyPI package `rwkv`, whose ids are the models' own.

pub(crate) mod escapes;

use crate::error::TokenizerError;
use crate::token_index::TokenIndex;
use crate::vocabulary::TokenType;

/// Twice the longest token of the published vocabulary, in bytes.
const LONGEST_TOKEN: usize = 256;

/// A token that no other token begins.
const NO_PARENT: u32 = u32::MAX;

/// The tokens that text may spell.
#[derive(Debug)]
pub(crate) struct LongestMatch {
    /// Ids in the order of their tokens' bytes.
    sorted: Vec<u32>,
    /// The place in `sorted` of each place's parent.
    parents: Vec<u32>,
    /// Tokens that begin with byte `b` are `sorted[starts[b]..starts[b + 1]]`.
    starts: Vec<usize>,
    /// What stands for a byte where no token begins.
    fallback: Vec<u32>,
}

impl LongestMatch {
    /// Sorts the tokens of a checked vocabulary, and makes sure that any text can be encoded.
    pub(crate) fn new(
        index: &TokenIndex,
        types: &[TokenType],
        unknown: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let mut sorted = Vec::new();
        for (id, kind) in (0_u32..).zip(types) {
            if matches!(
                kind,
                TokenType::Control | TokenType::Unknown | TokenType::Unused
            ) {
                continue;
            }
            let found = index.spelling(id).len();
            if found > LONGEST_TOKEN {
                return Err(TokenizerError::TokenTooLong {
                    id,
                    found,
                    limit: LONGEST_TOKEN,
                });
            }
            sorted.push(id);
        }
        sorted.sort_unstable_by_key(|&id| index.spelling(id));
        let start = |byte: usize| {
            sorted.partition_point(|&id| {
                let first = index.spelling(id).first();
                first.is_none_or(|&first| usize::from(first) < byte)
            })
        };
        let starts: Vec<usize> = (0..=256).map(start).collect();
        let fallback = (0..=255_u8).map(|byte| {
            let first = sorted.get(starts[usize::from(byte)]).copied();
            first
                .filter(|&id| index.spelling(id) == [byte])
                .or(unknown)
                .ok_or(TokenizerError::NoByteFallback { byte })
        });
        let fallback = fallback.collect::<Result<_, _>>()?;
        let parents = parents(index, &sorted);
        Ok(Self {
            sorted,
            parents,
            starts,
            fallback,
        })
    }

    /// Appends the tokens of a text without special tokens.
    pub(crate) fn encode(&self, text: &[u8], index: &TokenIndex, out: &mut Vec<u32>) {
        let mut rest = text;
        while let &[first, ..] = rest {
            let first = usize::from(first);
            let (id, length) = self
                .longest(first, rest, index)
                .unwrap_or((self.fallback[first], 1));
            out.push(id);
            rest = &rest[length..];
        }
    }

    /// The longest token that `text` begins with, and its length; `first` is the text's first byte.
    fn longest(&self, first: usize, text: &[u8], index: &TokenIndex) -> Option<(u32, usize)> {
        let (start, end) = (self.starts[first], self.starts[first + 1]);
        let not_greater = self.sorted[start..end].partition_point(|&id| index.spelling(id) <= text);
        let mut place = start + not_greater.checked_sub(1)?;
        let shared = shared(index.spelling(self.sorted[place]), text);
        loop {
            let id = self.sorted[place];
            let length = index.spelling(id).len();
            if length <= shared {
                return Some((id, length));
            }
            place = self.parents[place] as usize;
            if place == NO_PARENT as usize {
                return None;
            }
        }
    }
}

/// Each place's parent. In sorted order a token's beginnings are the tokens that are still open when it comes.
fn parents(index: &TokenIndex, sorted: &[u32]) -> Vec<u32> {
    let mut open: Vec<(u32, &[u8])> = Vec::new();
    let place = |(place, &id)| {
        let spelling = index.spelling(id);
        while open.pop_if(|(_, top)| !spelling.starts_with(top)).is_some() {}
        let parent = open.last().map_or(NO_PARENT, |&(parent, _)| parent);
        open.push((place, spelling));
        parent
    };
    (0_u32..).zip(sorted).map(place).collect()
}

/// How many bytes the two have in common at their beginning.
fn shared(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(l, r)| l == r).count()
}

#[cfg(test)]
mod tests;
