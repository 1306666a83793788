//! Byte-level byte-pair encoding, GPT-2's way.
//!
//! Every byte is a symbol, spelt as one printable character ([`byte_character`]); a ranked list says which neighbouring
//! symbols merge. Encoding works on symbol ids, not on spellings:
//!
//! 1. At construction every spelling in the merge list is interned. Spellings that are tokens keep their id; the few that
//!    are not get ids behind the vocabulary.
//! 2. A word's bytes become symbols and are merged by rank ([`crate::merge`]).
//! 3. Symbols that are tokens are the answer. A symbol that is none falls back to the one-character tokens of its spelling.
//!
//! What llama.cpp drops is dropped here too: a byte that the vocabulary cannot spell at all leaves no token. That happens in
//! vocabularies trained without a full byte alphabet, SmolLM2's among them, for bytes that its training text never held.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::error::TokenizerError;
use crate::merge::merge;
use crate::pretokenizer::Pretokenizer;
use crate::token_index::TokenIndex;

/// The character that spells `byte` in a byte-level vocabulary: itself where it prints, else the next free one from U+0100.
pub(crate) fn byte_character(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0..=0x20 => shifted(byte),
        0x7F..=0xA0 => shifted(byte - 0x7F + 0x21),
        0xAD => shifted(0x43),
    }
}

/// How a byte-level vocabulary spells `bytes`: one printable character for each.
pub fn byte_spelling(bytes: &[u8]) -> String {
    bytes.iter().copied().map(byte_character).collect()
}

fn shifted(offset: u8) -> char {
    char::from_u32(0x100 + u32::from(offset)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes that a byte-level token spells. A character outside the byte alphabet stands for its own UTF-8.
pub(crate) fn spelt_bytes(token: &[u8], bytes: &mut Vec<u8>) {
    for chunk in token.utf8_chunks() {
        for character in chunk.valid().chars() {
            match byte_of(character) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.extend(chunk.invalid());
    }
}

fn byte_of(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// The merges of one vocabulary.
#[derive(Debug)]
pub(crate) struct BytePairs {
    pretokenizer: Pretokenizer,
    /// (left symbol, right symbol) -> (rank, joined symbol)
    ranks: HashMap<u64, (u32, u32), RandomState>,
    /// The symbol of each byte.
    byte_symbols: Vec<u32>,
    /// Number of tokens; symbols from here on are no tokens.
    vocab_size: u32,
    /// The tokens that stand for symbol `vocab_size + i`.
    fallbacks: Vec<Vec<u32>>,
}

/// Interns spellings: tokens by their id, others behind them.
struct Interner<'t> {
    index: &'t TokenIndex,
    extra: HashMap<Vec<u8>, u32, RandomState>,
    fallbacks: Vec<Vec<u32>>,
}

impl Interner<'_> {
    fn symbol(&mut self, spelling: &[u8]) -> u32 {
        if let Some(id) = self.index.id(spelling) {
            return id;
        }
        if let Some(&symbol) = self.extra.get(spelling) {
            return symbol;
        }
        // llama.cpp's fallback looks up the single bytes of the spelling, so that only ASCII characters can be found.
        let fallback = spelling
            .iter()
            .filter_map(|&byte| self.index.id(&[byte]))
            .collect();
        let symbol = (self.index.len() + self.fallbacks.len()) as u32;
        self.fallbacks.push(fallback);
        self.extra.insert(spelling.to_vec(), symbol);
        symbol
    }
}

impl BytePairs {
    /// Reads the merge list. A line without two parts is skipped, and of two equal pairs the first counts.
    pub(crate) fn new(
        index: &TokenIndex,
        merges: &[Vec<u8>],
        pretokenizer: Pretokenizer,
    ) -> Result<Self, TokenizerError> {
        // Each merge may add three spellings; all symbol ids must fit 32 bits.
        let limit = (u32::MAX as usize - index.len() - 256) / 3;
        if merges.len() > limit {
            return Err(TokenizerError::TooLarge {
                key: "tokenizer.ggml.merges",
                found: merges.len(),
                limit,
            });
        }
        let mut interner = Interner {
            index,
            extra: HashMap::default(),
            fallbacks: Vec::new(),
        };
        let mut spelling = [0; 4];
        let byte_symbols = (0..=255)
            .map(|byte| interner.symbol(byte_character(byte).encode_utf8(&mut spelling).as_bytes()))
            .collect();
        let mut ranks = HashMap::with_capacity_and_hasher(merges.len(), RandomState::default());
        let mut joined = Vec::new();
        for (rank, line) in (0_u32..).zip(merges) {
            let Some(space) = line.iter().skip(1).position(|&byte| byte == b' ') else {
                continue;
            };
            let (left, right) = (&line[..space + 1], &line[space + 2..]);
            joined.clear();
            joined.extend(left);
            joined.extend(right);
            let key = pair(interner.symbol(left), interner.symbol(right));
            let symbol = interner.symbol(&joined);
            ranks.entry(key).or_insert((rank, symbol));
        }
        Ok(Self {
            pretokenizer,
            ranks,
            byte_symbols,
            vocab_size: index.len() as u32,
            fallbacks: interner.fallbacks,
        })
    }

    pub(crate) fn pretokenizer(&self) -> &Pretokenizer {
        &self.pretokenizer
    }

    /// Appends the tokens of one word.
    pub(crate) fn encode_word(
        &self,
        word: &str,
        index: &TokenIndex,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        if self.pretokenizer.whole_words_first {
            scratch.spelling.clear();
            scratch.spelling.extend(word.bytes().map(byte_character));
            if let Some(id) = index.id(scratch.spelling.as_bytes()) {
                out.push(id);
                return;
            }
        }
        scratch.symbols.clear();
        scratch.symbols.extend(
            word.bytes()
                .map(|byte| self.byte_symbols[usize::from(byte)]),
        );
        merge(&mut scratch.symbols, |left, right| {
            self.ranks.get(&pair(left, right)).copied()
        });
        for &symbol in &scratch.symbols {
            match symbol.checked_sub(self.vocab_size) {
                None => out.push(symbol),
                Some(extra) => out.extend(&self.fallbacks[extra as usize]),
            }
        }
    }
}

/// Buffers that are reused from word to word.
#[derive(Default)]
pub(crate) struct Scratch {
    symbols: Vec<u32>,
    spelling: String,
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests;
