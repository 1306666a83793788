//! Text into tokens: bytes, or byte pairs merged within the pieces that GPT-2's pattern cuts.
//!
//! 1. Tokens 0 to 255 are the bytes; token 256 + i is the i-th merge, of two tokens below it.
//! 2. The text, read as UTF-8, is cut into pieces. No merge crosses from one into the next.
//! 3. In each piece the pair with the lowest merge is merged, leftmost first, until none is left. A token is made of earlier ones
//!    only, so a pair with the new token in it always comes later in the list: all places of one pair can be merged in one pass.
//!
//! The separator is token 0 and nothing else: since no merge names it, no other token has that byte in it.
//!
//! # Source
//! Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", and the pattern of the encoder published with it.

use std::collections::HashMap;

use unicode_general_category::{GeneralCategory, get_general_category};

use super::configuration::Merges;
use super::flaw::Flaw;

/// How a text becomes tokens.
#[derive(Debug)]
pub(super) enum Tokenizer {
    /// A token is a byte.
    Bytes,
    /// Merges, and the rank of each pair.
    Pairs {
        merges: Vec<[u32; 2]>,
        ranks: HashMap<[u32; 2], u32>,
    },
}

impl Tokenizer {
    /// Every merge is of tokens that are there before it, and none of the separator.
    pub(super) fn of(merges: Option<Merges>) -> Result<Self, Flaw> {
        let Some(Merges { merges }) = merges else {
            return Ok(Self::Bytes);
        };
        let mut ranks = HashMap::with_capacity(merges.len());
        for ((index, &pair), rank) in merges.iter().enumerate().zip(0..) {
            let last = 255 + index;
            if !pair
                .iter()
                .all(|&token| (1..=last).contains(&(token as usize)))
            {
                return Err(Flaw::Merge { index, pair, last });
            }
            ranks.entry(pair).or_insert(rank);
        }
        Ok(Self::Pairs { merges, ranks })
    }

    /// The tokens of a text. Whether they say the same bytes is looked at, since a score of other bytes is worth nothing.
    pub(super) fn encode(&self, text: &[u8]) -> Result<Vec<u32>, Flaw> {
        let Self::Pairs { ranks, .. } = self else {
            return Ok(text.iter().map(|&byte| u32::from(byte)).collect());
        };
        let utf8 = str::from_utf8(text).map_err(|e| Flaw::Text {
            at: e.valid_up_to(),
        })?;
        let mut tokens = Vec::new();
        let mut rest = utf8;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(first_piece(rest));
            tokens.extend(merge(piece.as_bytes(), ranks));
            rest = behind;
        }
        if self.says(&tokens, text) {
            Ok(tokens)
        } else {
            Err(Flaw::Lossy { bytes: text.len() })
        }
    }

    /// Whether these tokens are exactly this text. A token may stand for more bytes than any memory has (each merge can double the
    /// one before), so it is taken apart only as far as the text goes.
    pub(super) fn says(&self, tokens: &[u32], text: &[u8]) -> bool {
        let merges: &[[u32; 2]] = match self {
            Self::Bytes => &[],
            Self::Pairs { merges, .. } => merges,
        };
        let mut text = text.iter();
        let mut open = Vec::new();
        for &token in tokens {
            open.push(token);
            while let Some(token) = open.pop() {
                if let Ok(byte) = u8::try_from(token) {
                    if text.next() != Some(&byte) {
                        return false;
                    }
                } else if let Some(&[left, right]) = merges.get(token as usize - 256) {
                    open.extend([right, left]);
                } else {
                    return false;
                }
            }
        }
        text.next().is_none()
    }
}

/// One piece in byte pairs: the lowest rank at all its places, then the next.
fn merge(piece: &[u8], ranks: &HashMap<[u32; 2], u32>) -> Vec<u32> {
    let mut tokens: Vec<u32> = piece.iter().map(|&byte| u32::from(byte)).collect();
    let rank = |pair: &[u32; 2]| ranks.get(pair).copied();
    while let Some(lowest) = tokens.array_windows().filter_map(rank).min() {
        let mut merged = Vec::with_capacity(tokens.len());
        let mut rest = tokens.as_slice();
        loop {
            rest = match rest {
                [a, b, behind @ ..] if rank(&[*a, *b]) == Some(lowest) => {
                    merged.push(256 + lowest);
                    behind
                }
                [a, behind @ ..] => {
                    merged.push(*a);
                    behind
                }
                [] => break,
            };
        }
        tokens = merged;
    }
    tokens
}

/// Which of the pattern's classes a character is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(character: char) -> Class {
    use GeneralCategory as G;
    match get_general_category(character) {
        G::UppercaseLetter
        | G::LowercaseLetter
        | G::TitlecaseLetter
        | G::ModifierLetter
        | G::OtherLetter => Class::Letter,
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => Class::Number,
        _ if character.is_whitespace() => Class::Space,
        _ => Class::Other,
    }
}

/// Where the first piece of a text that is not empty ends. The pattern's alternatives, in its order:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
pub(super) fn first_piece(text: &str) -> usize {
    for ending in ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"] {
        if text.starts_with(ending) {
            return ending.len();
        }
    }
    let run = |from: usize, of: Class| {
        let rest = &text[from..];
        from + rest.find(|c| class(c) != of).unwrap_or(rest.len())
    };
    // ` ?` is greedy: the space belongs to what comes behind it if that is not another one.
    let from = usize::from(text.starts_with(' '));
    match text[from..].chars().next().map(class) {
        Some(of) if of != Class::Space => return run(from, of),
        _ => {}
    }
    // `\s+(?!\S)` leaves the last of several spaces to what comes behind them; a single one stands alone.
    let end = run(0, Class::Space);
    let last = text[..end]
        .char_indices()
        .next_back()
        .map_or(0, |(at, _)| at);
    if end < text.len() && last > 0 {
        last
    } else {
        end
    }
}
