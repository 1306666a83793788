//! SentencePiece vocabularies: score-driven merging of characters, with bytes as the fallback.
//!
//! Despite its name in the papers, this is llama.cpp's reading of such models, and not Unigram's Viterbi search: the
//! neighbouring pair whose joined spelling is the token of the highest score merges first, the leftmost on a tie.
//!
//! 1. Spaces become `▁` (U+2581); where the file says so, a leading space is added after each special token.
//! 2. The text is cut before each `▁` whose preceding character no token ever has before a `▁`. No merge can cross such a
//!    place, so that words can be merged alone (and remembered), with ids identical to those of the whole text.
//! 3. Characters are merged ([`crate::merge`]). What is no token in the end (a single rare character) is spelt in bytes.
//!
//! One difference from llama.cpp, on purpose: merging never *forms* a control token, so that user text cannot spell one.

use std::collections::HashSet;

use crate::error::TokenizerError;
use crate::merge::merge;
use crate::token_index::TokenIndex;
use crate::vocabulary::TokenType;

/// The character that stands for a space.
pub(crate) const SPACE_MARK: char = '▁';

/// The scores of one vocabulary.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    /// Merge priority by id: the lower, the sooner. `None` for tokens that text must not spell.
    priorities: Vec<Option<u32>>,
    byte_tokens: Vec<u32>,
    /// Characters that some token has directly before a `▁`.
    joins_space: HashSet<char>,
    pub(crate) add_space_prefix: bool,
}

/// A run of text during merging: byte range and token, if it is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Piece {
    start: usize,
    end: usize,
    token: Option<u32>,
}

impl SentencePiece {
    /// Checks the scores and finds the byte tokens.
    pub(crate) fn new(
        index: &TokenIndex,
        scores: &[f32],
        types: &[TokenType],
        unknown: Option<u32>,
        add_space_prefix: bool,
    ) -> Result<Self, TokenizerError> {
        let mut priorities = Vec::with_capacity(index.len());
        let mut joins_space = HashSet::new();
        for (id, kind) in (0_u32..).zip(types) {
            let score = scores.get(id as usize).copied().unwrap_or(0.0);
            if score.is_nan() {
                return Err(TokenizerError::ScoreNotANumber { id });
            }
            let spelled_by_text = !matches!(kind, TokenType::Control | TokenType::Unknown);
            priorities.push(spelled_by_text.then(|| priority(score)));
            note_joins(index.spelling(id), &mut joins_space);
        }
        let byte_token = |byte: u8| {
            let named = index.id(format!("<0x{byte:02X}>").as_bytes());
            named
                .or_else(|| index.id(&[byte]))
                .or(unknown)
                .ok_or(TokenizerError::NoByteFallback { byte })
        };
        let byte_tokens = (0..=255).map(byte_token).collect::<Result<_, _>>()?;
        Ok(Self {
            priorities,
            byte_tokens,
            joins_space,
            add_space_prefix,
        })
    }

    /// Calls `word` with the parts of `text` (with its spaces already marked) that can be encoded alone.
    pub(crate) fn split<'t>(&self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        let mut start = 0;
        for (at, _) in text.match_indices(SPACE_MARK) {
            let before = text[start..at].chars().next_back();
            if before.is_some_and(|character| !self.joins_space.contains(&character)) {
                word(&text[start..at]);
                start = at;
            }
        }
        if start < text.len() {
            word(&text[start..]);
        }
    }

    /// Appends the tokens of one part of a text.
    pub(crate) fn encode_word(
        &self,
        word: &str,
        index: &TokenIndex,
        pieces: &mut Vec<Piece>,
        out: &mut Vec<u32>,
    ) {
        let bytes = word.as_bytes();
        pieces.clear();
        pieces.extend(word.char_indices().map(|(start, character)| {
            let end = start + character.len_utf8();
            Piece {
                start,
                end,
                token: self.token(index, &bytes[start..end]).map(|(_, id)| id),
            }
        }));
        merge(pieces, |left, right| {
            let (start, end) = (left.start, right.end);
            let (priority, id) = self.token(index, &bytes[start..end])?;
            Some((
                priority,
                Piece {
                    start,
                    end,
                    token: Some(id),
                },
            ))
        });
        for piece in pieces.iter() {
            match piece.token {
                Some(id) => out.push(id),
                None => out.extend(
                    bytes[piece.start..piece.end]
                        .iter()
                        .map(|&byte| self.byte_tokens[usize::from(byte)]),
                ),
            }
        }
    }

    fn token(&self, index: &TokenIndex, spelling: &[u8]) -> Option<(u32, u32)> {
        let id = index.id(spelling)?;
        self.priorities
            .get(id as usize)
            .copied()
            .flatten()
            .map(|priority| (priority, id))
    }
}

/// Maps scores to integers in reverse order, equal for equal scores. `score` is not NaN.
fn priority(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // -0.0 becomes 0.0
    if bits >> 31 == 1 {
        bits
    } else {
        !bits & 0x7FFF_FFFF
    }
}

fn note_joins(spelling: &[u8], joins_space: &mut HashSet<char>) {
    let Ok(spelling) = std::str::from_utf8(spelling) else {
        return;
    };
    for (at, _) in spelling.match_indices(SPACE_MARK) {
        joins_space.extend(spelling[..at].chars().next_back());
    }
}

#[cfg(test)]
mod tests;
