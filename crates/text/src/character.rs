//! The few classes of characters that pre-tokenizers ask about.
//!
//! Their regular expressions use `\p{L}`, `\p{N}`, `\p{M}`, `\p{P}` and `\s` only. One table look-up per character
//! replaces a regex engine, and the classes are disjoint, so a `match` over them is complete.
//!
//! Source: the general categories of Unicode 16. llama.cpp's tables hold Unicode 15: the about 5,000 code points that
//! version 16 added are letters, marks or symbols here and unassigned there.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// What a pre-tokenizer may ask about a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\p{M}`: combining marks.
    Mark,
    /// `\s`
    Space,
    /// `\p{P}`
    Punctuation,
    /// Everything else: symbols, controls, unassigned.
    Other,
}

/// The class of `character`.
pub(crate) fn class(character: char) -> Class {
    match character {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        ' ' | '\t'..='\r' => Class::Space,
        '0'..='9' => Class::Number,
        '\0'..='\x7f' => {
            if character.is_ascii_punctuation() && !"$+<=>^`|~".contains(character) {
                Class::Punctuation
            } else {
                Class::Other
            }
        }
        _ => class_beyond_ascii(character),
    }
}

fn class_beyond_ascii(character: char) -> Class {
    if character.is_whitespace() {
        return Class::Space;
    }
    match get_general_category(character) {
        Category::UppercaseLetter
        | Category::LowercaseLetter
        | Category::TitlecaseLetter
        | Category::ModifierLetter
        | Category::OtherLetter => Class::Letter,
        Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => Class::Number,
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark => Class::Mark,
        Category::ConnectorPunctuation
        | Category::DashPunctuation
        | Category::OpenPunctuation
        | Category::ClosePunctuation
        | Category::InitialPunctuation
        | Category::FinalPunctuation
        | Category::OtherPunctuation => Class::Punctuation,
        _ => Class::Other,
    }
}
