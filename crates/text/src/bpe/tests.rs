//! Merges by rank, the byte alphabet, and what happens to spellings that are no tokens.

use super::{byte_character, byte_of, spelt_bytes};
use crate::fixtures::byte_pairs;
use crate::{Specials, Tokenizer};

fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    tokenizer
        .encode(text, Specials::Plain)
        .into_iter()
        .map(|id| tokenizer.spelling(id))
        .collect()
}

#[test]
fn the_byte_alphabet_is_a_bijection_of_printable_characters() {
    for byte in 0..=255 {
        let character = byte_character(byte);
        assert!(
            !character.is_whitespace() && !character.is_control(),
            "{byte:#x}"
        );
        assert_eq!(byte_of(character), Some(byte));
    }
    assert_eq!(
        [b' ', b'\n', 0, 0x7F, 0xA0, 0xAD].map(byte_character),
        ['Ġ', 'Ċ', 'Ā', 'ġ', 'ł', 'Ń']
    );
    let mut bytes = Vec::new();
    spelt_bytes("Ġé漢".as_bytes(), &mut bytes);
    assert_eq!(bytes, [b" \xE9".as_slice(), "漢".as_bytes()].concat());
}

#[test]
fn the_lowest_rank_merges_first() {
    let tokenizer = Tokenizer::from_vocabulary(byte_pairs(
        &[("b", "c"), ("a", "b"), ("Ġ", "a"), ("Ġa", "bc")],
        &[],
    ))
    .unwrap();
    assert_eq!(tokens(&tokenizer, "abc"), ["a", "bc"]);
    assert_eq!(tokens(&tokenizer, " abc ab"), ["Ġabc", "Ġ", "ab"]);
    assert_eq!(tokens(&tokenizer, "漢"), ["æ", "¼", "¢"]);
}

#[test]
fn a_merge_whose_result_is_no_token_falls_back_to_its_ascii() {
    let mut vocabulary = byte_pairs(&[("a", "b"), ("ab", "c")], &[]);
    vocabulary.tokens[256] = b"something else".to_vec();
    vocabulary.tokens[257] = b"another".to_vec();
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    assert_eq!(tokens(&tokenizer, "abcd"), ["a", "b", "c", "d"]);
}

#[test]
fn a_byte_that_cannot_be_spelt_is_dropped_as_llama_cpp_does() {
    let mut vocabulary = byte_pairs(&[], &[]);
    vocabulary.tokens[0] = b"no zero".to_vec();
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    assert_eq!(tokens(&tokenizer, "a\0b"), ["a", "b"]);
}

#[test]
fn whole_words_come_first_only_where_the_pretokenizer_says_so() {
    let mut vocabulary = byte_pairs(&[("a", "b")], &[]);
    vocabulary.tokens.push(b"abc".to_vec());
    vocabulary.types.push(crate::TokenType::Normal);
    let merged = Tokenizer::from_vocabulary(vocabulary.clone()).unwrap();
    assert_eq!(tokens(&merged, "abc"), ["ab", "c"]);
    vocabulary.pre = Some("llama-bpe".to_owned());
    let whole = Tokenizer::from_vocabulary(vocabulary).unwrap();
    assert_eq!(tokens(&whole, "abc"), ["abc"]);
}

#[test]
fn broken_merges_are_skipped() {
    let mut vocabulary = byte_pairs(&[("a", "b")], &[]);
    vocabulary.merges = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"nospace".to_vec(),
        b"\xFF \xFE".to_vec(),
        b"a b".to_vec(),
    ];
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    assert_eq!(tokens(&tokenizer, "ab"), ["ab"]);
}
