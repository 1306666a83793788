//! Pieces as GPT-2's pattern cuts them, and pairs in the order of their merges.

use proptest::prelude::*;

use super::super::configuration::Merges;
use super::super::flaw::Flaw;
use super::super::tokenizer::{Tokenizer, first_piece};

fn pieces(mut text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(first_piece(text));
        found.push(piece);
        text = rest;
    }
    found
}

fn tokenizer(merges: &[[u32; 2]]) -> Result<Tokenizer, Flaw> {
    Tokenizer::of(Some(Merges {
        merges: merges.to_vec(),
    }))
}

#[test]
fn pieces_are_the_patterns() {
    for (text, expected) in [
        ("Hello world", vec!["Hello", " world"]),
        ("we'll  see", vec!["we", "'ll", " ", " see"]),
        ("'s' 's", vec!["'s", "'", " '", "s"]),
        ("it'S", vec!["it", "'", "S"]),
        ("a1b22 3.5", vec!["a", "1", "b", "22", " 3", ".", "5"]),
        ("x \n\n y", vec!["x", " \n\n", " y"]),
        ("x\n\ny", vec!["x", "\n", "\n", "y"]),
        ("x\ty\n", vec!["x", "\t", "y", "\n"]),
        ("end   ", vec!["end", "   "]),
        ("  !?", vec![" ", " !?"]),
        ("\u{a0}\u{3000}é½Ⅷ", vec!["\u{a0}", "\u{3000}", "é", "½Ⅷ"]),
        ("e\u{301}", vec!["e", "\u{301}"]),
    ] {
        assert_eq!(pieces(text), expected, "{text:?}");
    }
}

#[test]
fn the_lowest_merge_comes_first_and_the_leftmost_place() {
    let tokens = tokenizer(&[[98, 99], [97, 98], [97, 97], [258, 97]]).unwrap();
    assert_eq!(tokens.encode(b"abc").unwrap(), [97, 256]);
    assert_eq!(tokens.encode(b"aaa").unwrap(), [259]);
    assert_eq!(tokens.encode(b"aaaaa").unwrap(), [258, 259]);
    assert_eq!(tokens.encode(b"b c").unwrap(), [98, 32, 99]);
    assert_eq!(tokens.encode(b"").unwrap(), [0_u32; 0]);
}

#[test]
fn a_merge_is_of_earlier_tokens_without_the_separator() {
    for (merges, index) in [
        (vec![[0, 97]], 0),
        (vec![[97, 0]], 0),
        (vec![[97, 256]], 0),
        (vec![[97, 98], [257, 97]], 1),
        (vec![[97, 98], [98, u32::MAX]], 1),
    ] {
        let flaw = tokenizer(&merges).unwrap_err();
        assert!(
            matches!(flaw, Flaw::Merge { index: at, .. } if at == index),
            "{flaw}"
        );
    }
}

#[test]
fn a_token_longer_than_any_memory_costs_nothing() {
    // Each is the one before twice: the last would be 2^60000 bytes.
    let mut merges = vec![[97, 97]];
    merges.extend((256..60_256).map(|token| [token, token]));
    let tokens = tokenizer(&merges).unwrap();
    assert_eq!(tokens.encode(&[97; 1024]).unwrap(), [265]);
    assert!(!tokens.says(&[60_256], &[97; 1024]));
}

#[test]
fn text_in_another_encoding_is_named() {
    assert_eq!(
        tokenizer(&[]).unwrap().encode(b"caf\xE9!"),
        Err(Flaw::Text { at: 3 })
    );
    assert_eq!(
        Tokenizer::Bytes.encode(b"caf\xE9").unwrap(),
        [99, 97, 102, 0xE9]
    );
}

fn some_pairs() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0_u32..8, 0_u32..8), 0..8)
}

proptest! {
    /// One pair at a time, as the definition says it, gives the same; and all bytes come back.
    #[test]
    fn one_pair_at_a_time_is_the_same(text in "[ab ]{0,40}", pairs in some_pairs()) {
        let known = |token: u32, index: u32| if token < 2 { 97 + token } else { 256 + token % (index + 1) };
        let merges: Vec<[u32; 2]> = (0..)
            .zip(&pairs)
            .map(|(index, &(a, b))| [known(a, index), known(b, index)].map(|token| if token < 256 + index { token } else { 97 }))
            .collect();
        let tokens = tokenizer(&merges).unwrap().encode(text.as_bytes()).unwrap();
        let mut expected = Vec::new();
        for piece in pieces(&text) {
            let mut slow: Vec<u32> = piece.bytes().map(u32::from).collect();
            let lowest = |slow: &[u32]| {
                let index = |pair| merges.iter().position(|merge| merge == pair);
                slow.array_windows().enumerate().filter_map(|(at, pair)| Some((index(pair)?, at))).min()
            };
            while let Some((index, at)) = lowest(&slow) {
                slow.splice(at..at + 2, [256 + index as u32]);
            }
            expected.extend(slow);
        }
        prop_assert_eq!(tokens, expected);
    }

    #[test]
    fn any_text_is_cut_without_a_loss(text: String) {
        prop_assert_eq!(pieces(&text).concat(), text.clone());
        let tokens = tokenizer(&[[32, 97], [195, 169]]).unwrap();
        let found = tokens.encode(text.as_bytes()).unwrap();
        prop_assert!(tokens.says(&found, text.as_bytes()));
        prop_assert!(text.is_empty() || !tokens.says(&found, &text.as_bytes()[1..]));
    }
}
