//! The expression of Kimi's tokenizers, which cuts Han apart and words where their case changes.
//!
//! With `U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]` and `L = [\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]` it is
//!
//! ```text
//! \p{Han}+
//! |[^\r\n\p{L}\p{N}]?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! |[^\r\n\p{L}\p{N}]?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! Of the words' backtracking this is left: where what follows the longest `U*` is not in `L`, the last character of both takes the
//! part of `L+`, and a first character is only tried as a part of the word when it failed as what may stand before it.

use super::scan::{contraction, numbers, run, symbols_and_spaces};
use crate::character::{Case, Class, case, class, is_han};

/// The length in bytes of the first piece.
pub(super) fn kimi(text: &str) -> usize {
    let han = run(text, is_han);
    if han > 0 {
        return han;
    }
    let Some(first) = text.chars().next() else {
        return 0;
    };
    // What may stand before a word: a mark too, since it is no letter.
    let may_lead =
        !matches!(first, '\r' | '\n') && !matches!(class(first), Class::Letter | Class::Number);
    let starts = [may_lead.then(|| first.len_utf8()), Some(0)];
    for word in [ends_low, begins_high] {
        for start in starts.into_iter().flatten() {
            if let Some(length) = word(&text[start..]) {
                let end = start + length;
                return end + contraction(&text[end..], true).unwrap_or(0);
            }
        }
    }
    if class(first) == Class::Number {
        return numbers(text, 3);
    }
    symbols_and_spaces(text, false)
}

fn is_high(c: char) -> bool {
    matches!(case(c), Some(Case::Upper | Case::Either)) && !is_han(c)
}

fn is_low(c: char) -> bool {
    matches!(case(c), Some(Case::Lower | Case::Either)) && !is_han(c)
}

/// `U*L+`
fn ends_low(text: &str) -> Option<usize> {
    let high = run(text, is_high);
    let low = run(&text[high..], is_low);
    if low > 0 {
        return Some(high + low);
    }
    let both = text[..high].char_indices().rfind(|&(_, c)| is_low(c));
    both.map(|(at, c)| at + c.len_utf8())
}

/// `U+L*`
fn begins_high(text: &str) -> Option<usize> {
    let high = run(text, is_high);
    (high > 0).then(|| high + run(&text[high..], is_low))
}
