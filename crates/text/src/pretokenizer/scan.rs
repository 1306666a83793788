//! One hand-written scanner per regular expression: how long is the first piece of this text?
//!
//! Invariants: the answer is positive for non-empty text, lies on a character boundary, and depends on the text from
//! here on only. Each scanner reads a character at most twice, so that a whole text costs linear time.

use super::kimi::kimi;
use crate::character::{Class, class};

/// One expression of a pre-tokenizer. A piece is a match, or the text between two matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
    /// with `marks`, `\p{M}` counts as a letter wherever `\p{L}` stands (but may still be the optional first character).
    Words { digits: usize, marks: bool },
    /// See [`kimi`].
    Kimi,
    /// `\p{N}`
    EachNumber,
    /// `\p{N}+`
    NumberRuns,
    /// `[0-9][0-9][0-9]`
    DigitTriples,
    /// `[\p{P}\$\+<=>\^~\|]+`, or with the backtick too.
    PunctuationRuns { backtick: bool },
}

impl Stage {
    /// The length in bytes of the first piece of `text`, which is not empty.
    pub(super) fn first_piece(self, text: &str) -> usize {
        match self {
            Self::Gpt2 => gpt2(text),
            Self::Words { digits, marks } => words(text, digits, marks),
            Self::Kimi => kimi(text),
            Self::EachNumber => match text.chars().next() {
                Some(first) if class(first) == Class::Number => first.len_utf8(),
                _ => run(text, |c| class(c) != Class::Number),
            },
            Self::NumberRuns => run_of_either(text, |c| class(c) == Class::Number),
            Self::DigitTriples => digit_triples(text),
            Self::PunctuationRuns { backtick } => run_of_either(text, |c| {
                class(c) == Class::Punctuation || "$+<=>^~|".contains(c) || (backtick && c == '`')
            }),
        }
    }
}

/// Bytes of the longest prefix whose characters all pass.
pub(super) fn run(text: &str, passes: impl Fn(char) -> bool) -> usize {
    text.char_indices()
        .find(|&(_, c)| !passes(c))
        .map_or(text.len(), |(at, _)| at)
}

/// Bytes of the longest prefix whose characters all answer as the first one does.
fn run_of_either(text: &str, passes: impl Fn(char) -> bool) -> usize {
    let first = text.chars().next().is_some_and(&passes);
    run(text, |c| passes(c) == first)
}

fn gpt2(text: &str) -> usize {
    if let Some(length) = contraction(text, false) {
        return length;
    }
    let start = usize::from(text.starts_with(' '));
    let word = &text[start..];
    match word.chars().next().map(class) {
        Some(Class::Letter) => start + run(word, |c| class(c) == Class::Letter),
        Some(Class::Number) => start + run(word, |c| class(c) == Class::Number),
        Some(Class::Mark | Class::Punctuation | Class::Other) => {
            start + run(word, |c| is_symbol(c, false))
        }
        Some(Class::Space) | None => spaces(text),
    }
}

fn words(text: &str, digits: usize, marks: bool) -> usize {
    if let Some(length) = contraction(text, true) {
        return length;
    }
    let letter = |c: char| match class(c) {
        Class::Letter => true,
        Class::Mark => marks,
        _ => false,
    };
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return 0;
    };
    let second = characters.next();
    if class(first) == Class::Number {
        return numbers(text, digits);
    }
    if !matches!(first, '\r' | '\n') && (letter(first) || second.is_some_and(letter)) {
        let start = first.len_utf8();
        return start + run(&text[start..], letter);
    }
    symbols_and_spaces(text, marks)
}

/// `\p{N}{1,digits}`
pub(super) fn numbers(text: &str, digits: usize) -> usize {
    text.chars()
        .take(digits)
        .take_while(|&c| class(c) == Class::Number)
        .map(char::len_utf8)
        .sum()
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`; with `marks`, `\p{M}` counts as a letter.
pub(super) fn symbols_and_spaces(text: &str, marks: bool) -> usize {
    let start = usize::from(text.starts_with(' '));
    let length = start + run(&text[start..], |c| is_symbol(c, marks));
    if length > start {
        return length + run(&text[length..], |c| matches!(c, '\r' | '\n'));
    }
    let blank = run(text, |c| class(c) == Class::Space);
    match text[..blank].rfind(['\r', '\n']) {
        Some(newline) => newline + 1,
        None => spaces(text),
    }
}

/// `[^\s\p{L}\p{N}]`, or with `marks` `[^\s\p{L}\p{M}\p{N}]`.
fn is_symbol(c: char, marks: bool) -> bool {
    match class(c) {
        Class::Letter | Class::Number | Class::Space => false,
        Class::Mark => !marks,
        Class::Punctuation | Class::Other => true,
    }
}

/// `\s+(?!\S)|\s+`: a run of white space leaves its last character to the word that follows, unless it is all there is.
fn spaces(text: &str) -> usize {
    let length = run(text, |c| class(c) == Class::Space);
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length < text.len() && length > last {
        length - last
    } else {
        length
    }
}

/// An English contraction at the start of the text: its length in bytes.
pub(super) fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let tail = text.as_bytes().strip_prefix(b"'")?;
    let letter = |at: usize| {
        tail.get(at).map(|&byte| {
            if any_case {
                byte.to_ascii_lowercase()
            } else {
                byte
            }
        })
    };
    match (letter(0)?, letter(1)) {
        (b's' | b't' | b'm' | b'd', _) => Some(2),
        (b'r' | b'v', Some(b'e')) | (b'l', Some(b'l')) => Some(3),
        _ => None,
    }
}

fn digit_triples(text: &str) -> usize {
    let found = text
        .as_bytes()
        .windows(3)
        .position(|three| three.iter().all(u8::is_ascii_digit));
    match found {
        Some(0) => 3,
        Some(at) => at,
        None => text.len(),
    }
}
