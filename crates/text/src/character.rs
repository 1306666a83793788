//! The few classes of characters that pre-tokenizers ask about.
//!
//! Most of their regular expressions use `\p{L}`, `\p{N}`, `\p{M}`, `\p{P}` and `\s` only. One table look-up per character
//! replaces a regex engine, and the classes are disjoint, so a `match` over them is complete. Kimi's asks for the case of a letter and
//! for Han too.
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

/// Which part of a word a character may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// `[\p{Lu}\p{Lt}]`: only in its beginning.
    Upper,
    /// `\p{Ll}`: only in its rest.
    Lower,
    /// `[\p{Lm}\p{Lo}\p{M}]`: in both.
    Either,
}

/// The case of a letter or a mark; none of any other character.
pub(crate) fn case(character: char) -> Option<Case> {
    match get_general_category(character) {
        Category::UppercaseLetter | Category::TitlecaseLetter => Some(Case::Upper),
        Category::LowercaseLetter => Some(Case::Lower),
        Category::ModifierLetter
        | Category::OtherLetter
        | Category::NonspacingMark
        | Category::SpacingMark
        | Category::EnclosingMark => Some(Case::Either),
        _ => None,
    }
}

/// `\p{Han}`: the script, radicals and iteration marks among it.
pub(crate) fn is_han(character: char) -> bool {
    matches!(
        character,
        '\u{2e80}'..='\u{2e99}'
            | '\u{2e9b}'..='\u{2ef3}'
            | '\u{2f00}'..='\u{2fd5}'
            | '\u{3005}'
            | '\u{3007}'
            | '\u{3021}'..='\u{3029}'
            | '\u{3038}'..='\u{303b}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{fa6d}'
            | '\u{fa70}'..='\u{fad9}'
            | '\u{16fe2}'..='\u{16fe3}'
            | '\u{16ff0}'..='\u{16ff1}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2b739}'
            | '\u{2b740}'..='\u{2b81d}'
            | '\u{2b820}'..='\u{2cea1}'
            | '\u{2ceb0}'..='\u{2ebe0}'
            | '\u{2ebf0}'..='\u{2ee5d}'
            | '\u{2f800}'..='\u{2fa1d}'
            | '\u{30000}'..='\u{3134a}'
            | '\u{31350}'..='\u{323af}'
    )
}
