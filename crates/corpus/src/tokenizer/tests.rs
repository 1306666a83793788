//! Merges learned, encoded as `tokenizers` does, spelt again, and refused where they are none.

use std::path::Path;

use proptest::prelude::*;
use tokenizers::{
    Model as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::byte_level::ByteLevel,
};

use super::{BytePairs, LONGEST, MOST, Tokenizer, TokenizerError};
use crate::{DataError, Document, Documents, FIELD};

const SOTU: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../data/sotu/sotu.jsonl.zst"
);

fn addresses(count: usize) -> Vec<Document> {
    let all = Documents::open(Path::new(SOTU), FIELD).unwrap();
    all.take(count).collect::<Result<_, _>>().unwrap()
}

fn learned(documents: &[Document], vocabulary: usize) -> Result<Tokenizer, DataError> {
    Tokenizer::learned(documents.iter().cloned().map(Ok), 1, vocabulary)
}

fn one(text: &str) -> Document {
    Document {
        name: "one".to_owned(),
        text: text.to_owned(),
    }
}

/// Our tokenizer as one of theirs.
fn theirs(tokenizer: &Tokenizer) -> BPE {
    let vocabulary: Vocab = tokenizer.gguf_tokens().into_iter().zip(0..).collect();
    let merges = tokenizer.gguf_merges();
    let sides = merges.iter().filter_map(|line| line.split_once(' '));
    let merges = sides.map(|(left, right)| (left.to_owned(), right.to_owned()));
    BPE::builder()
        .vocab_and_merges(vocabulary, merges.collect())
        .build()
        .expect("a model")
}

fn their_tokens(model: &BPE, text: &str) -> Vec<u32> {
    let mut pieces = PreTokenizedString::from(text);
    ByteLevel::new(false, true, true)
        .pre_tokenize(&mut pieces)
        .unwrap();
    let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
    let tokens = splits
        .iter()
        .flat_map(|(piece, ..)| model.tokenize(piece).unwrap());
    tokens.map(|token| token.id).collect()
}

#[test]
fn learned_merges_encode_as_theirs_do_and_spell_the_text_again() {
    let documents = addresses(60);
    let tokenizer = learned(&documents, 2048).unwrap();
    assert_eq!(tokenizer.vocabulary(), 2048);
    assert_eq!(learned(&documents, 2048).unwrap(), tokenizer);
    let encoder = tokenizer.encoder().unwrap();
    let model = theirs(&tokenizer);
    let (mut bytes, mut count) = (0, 0);
    for document in documents.iter().step_by(12) {
        let tokens = encoder.encode(&document.text);
        assert_eq!(tokenizer.decode(&tokens), document.text.as_bytes());
        assert!(
            tokens == their_tokens(&model, &document.text),
            "{}",
            document.name
        );
        bytes += document.text.len();
        count += tokens.len();
    }
    assert!(bytes > 3 * count, "{bytes} bytes, {count} tokens");
}

#[test]
fn hard_texts_encode_as_theirs_do() {
    let texts = [
        "",
        " ",
        "  a",
        "a  \n\n b\t",
        "it's they'll WE'VE 'tis don't''",
        "x1y22 333\u{a0}44 ½ ⅷ",
        "naïve ÉTÉ 東京 שלום नमस्ते e\u{301}",
        "😀👨‍👩‍👧 ...!!! --- \u{200b}\u{feff}",
        "\r\n\u{85}\u{2028}\u{3000}x",
        &"aaaa".repeat(200),
        &" the".repeat(100),
    ];
    let learn: Vec<Document> = texts.iter().map(|text| one(&text.repeat(3))).collect();
    let learn = [&learn[..], &[one("held out")]].concat();
    let tokenizer = learned(&learn, 320).unwrap();
    let (encoder, model) = (tokenizer.encoder().unwrap(), theirs(&tokenizer));
    for text in texts {
        let tokens = encoder.encode(text);
        assert_eq!(tokens, their_tokens(&model, text), "{text:?}");
        assert_eq!(tokenizer.decode(&tokens), text.as_bytes());
    }
}

#[test]
fn only_what_is_not_held_out_is_learned_from() {
    let documents = [one("ab ab ab"), one("xy xy xy xy xy xy")];
    let tokenizer = learned(&documents, 257).unwrap();
    assert_eq!(tokenizer.gguf_merges(), ["a b"]);
    assert_eq!(tokenizer.token_bytes(256), Some(&b"ab"[..]));
    assert_eq!(tokenizer.token_bytes(257), None);
    assert_eq!(tokenizer.gguf_tokens()[..2], ["Ā", "ā"]);
    assert_eq!(tokenizer.gguf_tokens()[32], "Ġ");
}

#[test]
fn a_vocabulary_that_the_text_does_not_give_is_refused() {
    let documents = [one("ab ab ab"), one("held out")];
    let error = learned(&documents, 1000).expect_err("too little text");
    assert_eq!(
        error.to_string(),
        "a vocabulary of 1000 tokens needs 744 merges, and the text to learn from gave 2; ask for 258 at most, or give more text"
    );
    assert_eq!(learned(&documents, 256).unwrap(), Tokenizer::Bytes);
    for size in [0, 255, MOST + 1, usize::MAX] {
        let error = learned(&documents, size).expect_err("no such size");
        assert!(error.to_string().contains("65536"), "{error}");
    }
    let none = learned(&[], 300).expect_err("no text");
    assert!(matches!(none, DataError::Empty), "{none}");
    let zero = learned(&[one("a\0"), one("b")], 300).expect_err("a zero byte");
    assert!(matches!(zero, DataError::NotText { .. }), "{zero}");
    let damaged = [Ok(one("a")), Err(DataError::Empty), Ok(one("b"))];
    let error = Tokenizer::learned(damaged, 1, 300).expect_err("a document is none");
    assert!(matches!(error, DataError::Empty), "{error}");
}

#[test]
fn json_is_null_or_the_merges() {
    let bytes = serde_json::to_string(&Tokenizer::Bytes).unwrap();
    assert_eq!(bytes, "null");
    assert_eq!(
        serde_json::from_str::<Tokenizer>("null").unwrap(),
        Tokenizer::Bytes
    );
    let text = r#"{"merges":[[97,98],[256,99]]}"#;
    let pairs: Tokenizer = serde_json::from_str(text).unwrap();
    assert_eq!(pairs.vocabulary(), 258);
    assert_eq!(pairs.token_bytes(257), Some(&b"abc"[..]));
    assert_eq!(serde_json::to_string(&pairs).unwrap(), text);
    for wrong in [
        "1",
        "{}",
        "[]",
        r#"{"merges":[[1]]}"#,
        r#"{"merges":[[-1,2]]}"#,
    ] {
        assert!(serde_json::from_str::<Tokenizer>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn merges_that_are_none_are_refused() {
    let cases: [(&[[u32; 2]], &str); 6] = [
        (&[[97, 256]], "token 256 is not there before it"),
        (&[[97, u32::MAX]], "is not there before it"),
        (&[[0, 97]], "token 0 is no part of a text"),
        (&[[97, 98], [256, 0]], "token 0 is no part of a text"),
        (&[[97, 98], [97, 98]], "merge 0 makes the same token"),
        (
            &[[97, 98], [98, 99], [256, 99], [97, 257]],
            "merge 2 makes the same token",
        ),
    ];
    for (merges, said) in cases {
        let error = BytePairs::new(merges.to_vec()).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
    // Each the double of the one before.
    let doubling: Vec<[u32; 2]> = (0..60)
        .map(|i| [if i == 0 { 97 } else { 255 + i }; 2])
        .collect();
    let error = BytePairs::new(doubling).expect_err("a token without end");
    assert!(
        error
            .to_string()
            .contains(&format!("{LONGEST} are allowed")),
        "{error}"
    );
    let many = BytePairs::new(vec![[97, 98]; MOST]).expect_err("too many");
    assert!(matches!(many, TokenizerError::TooMany { .. }), "{many}");
}

proptest! {
    #[test]
    fn any_text_is_spelt_again(text in "[^\0]{0,200}", merges in proptest::collection::vec([1u32..400, 1u32..400], 0..60)) {
        // Of any merges, those that fit behind the ones before.
        let mut kept: Vec<[u32; 2]> = Vec::new();
        for merge in merges {
            kept.push(merge);
            if BytePairs::new(kept.clone()).is_err() {
                kept.pop();
            }
        }
        for tokenizer in [Tokenizer::Bytes, Tokenizer::Pairs(BytePairs::new(kept).expect("they fit"))] {
            let tokens = tokenizer.encoder().expect("they encode").encode(&text);
            prop_assert!(tokens.iter().all(|&id| id != 0 && (id as usize) < tokenizer.vocabulary()));
            prop_assert_eq!(tokenizer.decode(&tokens), text.as_bytes());
        }
    }
}
