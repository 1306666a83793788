//! Merges by score, byte fallback, and the promise that cutting at spaces changes nothing.

use super::{SentencePiece, priority};
use crate::fixtures::sentence_pieces;
use crate::token_index::TokenIndex;
use crate::{Specials, Tokenizer, TokenizerError};

const PIECES: &[(&str, f32)] = &[
    ("▁", -9.0),
    ("a", -9.0),
    ("b", -9.0),
    (",", -9.0),
    ("▁▁", -1.0),
    ("ab", -2.0),
    ("ba", -2.0),
    ("▁a", -3.0),
    ("▁ab", -1.5),
    (",▁", -2.5),
    ("aba", -0.5),
];

fn tokens(text: &str) -> Vec<String> {
    let tokenizer = Tokenizer::from_vocabulary(sentence_pieces(PIECES)).unwrap();
    tokenizer
        .encode(text, Specials::Plain)
        .into_iter()
        .map(|id| tokenizer.spelling(id))
        .collect()
}

#[test]
fn higher_scores_merge_first_and_ties_go_left() {
    assert_eq!(tokens("bab"), ["▁", "ba", "b"]);
    assert_eq!(tokens("ab"), ["▁ab"]);
    assert_eq!(tokens("aba"), ["▁", "aba"]);
    assert_eq!(tokens("é"), ["▁", "<0xC3>", "<0xA9>"]);
}

#[test]
fn the_space_prefix_follows_special_tokens_only() {
    let mut vocabulary = sentence_pieces(PIECES);
    let with = Tokenizer::from_vocabulary(vocabulary.clone()).unwrap();
    assert_eq!(
        with.encode("b<s>b", Specials::Parse),
        [259, 261, 1, 259, 261]
    );
    vocabulary.add_space_prefix = Some(false);
    let without = Tokenizer::from_vocabulary(vocabulary).unwrap();
    assert_eq!(without.encode("b<s>b", Specials::Parse), [261, 1, 261]);
}

#[test]
fn words_alone_give_the_ids_of_the_whole() {
    let vocabulary = sentence_pieces(PIECES);
    let index = TokenIndex::new(&vocabulary.tokens).unwrap();
    let pieces = SentencePiece::new(
        &index,
        &vocabulary.scores,
        &vocabulary.types,
        Some(0),
        false,
    )
    .unwrap();
    let mut state = 99_u32;
    for length in 0..150 {
        let text: String = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ['a', 'b', '▁', '▁', ',', 'x'][(state >> 16) as usize % 6]
            })
            .collect();
        let (mut whole, mut parts, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        pieces.encode_word(&text, &index, &mut scratch, &mut whole);
        pieces.split(&text, &mut |word| {
            pieces.encode_word(word, &index, &mut scratch, &mut parts)
        });
        assert_eq!(whole, parts, "{text}");
    }
}

#[test]
fn priorities_reverse_the_order_of_scores() {
    let scores = [f32::INFINITY, 3.5, 1.0, 0.0, -0.5, -2.0, f32::NEG_INFINITY];
    assert!(
        scores
            .windows(2)
            .all(|pair| priority(pair[0]) < priority(pair[1]))
    );
    assert_eq!(priority(0.0), priority(-0.0));
}

#[test]
fn merging_never_forms_a_control_token() {
    let tokenizer = Tokenizer::from_vocabulary(sentence_pieces(&[
        ("<", 0.0),
        ("s", 0.0),
        (">", 0.0),
        ("<s", 0.0),
    ]))
    .unwrap();
    let ids = tokenizer.encode("<s>", Specials::Plain);
    assert!(!ids.contains(&1) && ids.contains(&262), "{ids:?}");
}

#[test]
fn scores_and_bytes_are_checked() {
    let nan = Tokenizer::from_vocabulary(sentence_pieces(&[("a", f32::NAN)]));
    assert!(matches!(
        nan,
        Err(TokenizerError::ScoreNotANumber { id: 259 })
    ));
    let mut vocabulary = sentence_pieces(&[]);
    vocabulary.tokens.truncate(0);
    vocabulary.tokens.push(b"a".to_vec());
    vocabulary.types.truncate(1);
    vocabulary.scores.truncate(1);
    let found = Tokenizer::from_vocabulary(vocabulary.clone());
    assert!(found.is_ok(), "token 0 is the unknown token by custom");
    vocabulary.tokens.clear();
    vocabulary.types.clear();
    vocabulary.scores.clear();
    assert!(matches!(
        Tokenizer::from_vocabulary(vocabulary),
        Err(TokenizerError::NoByteFallback { byte: 0 })
    ));
}
