//! What each token stands for, in bytes, worked out once.
//!
//! Control, unknown and user-defined tokens stand for their spelling. Normal tokens are spelt in the byte alphabet (BPE) or
//! with `▁` for a space (SentencePiece), or are what they stand for (RWKV, once unescaped). Byte tokens stand for the byte they
//! name, and unused ones for nothing.

use crate::bpe;
use crate::token_index::TokenIndex;
use crate::vocabulary::{TokenType, VocabularyKind};

/// The bytes that each token stands for.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Decoded {
    pub(super) fn new(index: &TokenIndex, types: &[TokenType], kind: VocabularyKind) -> Self {
        let mut decoded = Self::default();
        for (id, token_type) in (0_u32..).zip(types) {
            let spelling = index.spelling(id);
            match (token_type, kind) {
                (TokenType::Control | TokenType::Unknown | TokenType::UserDefined, _) => {
                    decoded.bytes.extend(spelling)
                }
                (TokenType::Normal, VocabularyKind::BytePair) => {
                    bpe::spelt_bytes(spelling, &mut decoded.bytes)
                }
                (TokenType::Normal, VocabularyKind::SentencePiece) => {
                    unmark_spaces(spelling, &mut decoded.bytes)
                }
                (TokenType::Normal | TokenType::Byte, VocabularyKind::LongestMatch) => {
                    decoded.bytes.extend(spelling)
                }
                (TokenType::Byte, _) => decoded.bytes.extend(named_byte(spelling)),
                (TokenType::Unused, _) => {}
            }
            decoded.ends.push(decoded.bytes.len());
        }
        decoded
    }

    /// The bytes of `id`, or none beyond the vocabulary.
    pub(super) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }
}

fn unmark_spaces(spelling: &[u8], bytes: &mut Vec<u8>) {
    let mark = [0xE2, 0x96, 0x81];
    let mut rest = spelling;
    while let [first, tail @ ..] = rest {
        if let Some(after) = rest.strip_prefix(&mark) {
            bytes.push(b' ');
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
}

/// The byte of a token that is spelt `<0x0A>`.
fn named_byte(spelling: &[u8]) -> Option<u8> {
    let digits = spelling.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
