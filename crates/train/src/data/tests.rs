//! Splits by document, windows by number, and every byte judged once.

use std::path::Path;

use kernels::training::IGNORED;

use super::{Document, Splits, Stream, lines};
use crate::Batch;

fn documents(count: usize) -> Vec<Document> {
    let one = |i: usize| Document {
        name: i.to_string(),
        text: format!("document {i} says something of its own."),
    };
    (0..count).map(one).collect()
}

const BATCH: Batch = Batch {
    sequences: 3,
    positions: 16,
};

#[test]
fn the_last_documents_validate() {
    let documents = documents(5);
    let splits = Splits::of(&documents, 2, 16).expect("enough text");
    let bytes = |some: &[Document]| some.iter().map(|one| one.text.len()).sum::<usize>();
    assert_eq!(splits.train.text_bytes(), bytes(&documents[..3]));
    assert_eq!(splits.validation.text_bytes(), bytes(&documents[3..]));
    let one = Splits::of(&documents[..1], 2, 2).expect("enough text");
    assert_eq!(
        one.train.text_bytes() + one.validation.text_bytes(),
        bytes(&documents[..1])
    );
    let all = Splits::of(&documents, 99, 16).expect("a document is left to learn from");
    assert_eq!(all.train.text_bytes(), bytes(&documents[..1]));
}

#[test]
fn no_text_is_refused() {
    for count in [0, 1, 2] {
        let error = Splits::of(&documents(count), 1, 4096).expect_err("less than a window");
        assert!(error.to_string().contains("4097"), "{error}");
    }
}

#[test]
fn windows_follow_from_seed_and_number() {
    let stream = Stream::of(["the quick brown fox jumps over the lazy dog, twice over."]);
    let windows = |seed, number| {
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        stream.windows(BATCH, seed, number, &mut tokens, &mut targets);
        (tokens, targets)
    };
    let (tokens, targets) = windows(1, 2);
    assert_eq!((tokens.len(), targets.len()), (48, 48));
    for sequence in 0..3 {
        let range = sequence * 16..sequence * 16 + 15;
        assert_eq!(
            targets[range.clone()],
            tokens[range.start + 1..range.end + 1]
        );
    }
    assert_eq!(windows(1, 2), (tokens.clone(), targets));
    assert_ne!(windows(1, 3).0, tokens);
    assert_ne!(windows(2, 2).0, tokens);
}

#[test]
fn every_text_byte_is_a_target_once() {
    let texts = [
        "first text",
        "a second one that is longer than a window of sixteen",
    ];
    let stream = Stream::of(texts);
    let mut seen = Vec::new();
    for (tokens, targets) in stream.every_byte(BATCH) {
        assert_eq!((tokens.len(), targets.len()), (48, 48));
        seen.extend(targets.iter().filter(|&&t| t != IGNORED).map(|&t| t as u8));
    }
    assert_eq!(seen, texts.concat().as_bytes());
}

#[test]
fn a_line_that_is_no_text_is_named() {
    let path = Path::new("some.jsonl");
    let read = lines(path, "{\"text\":\"a\",\"year\":1}\n\n{\"text\":\"b\"}\n").expect("two lines");
    assert_eq!(read.len(), 2);
    let error = lines(path, "{\"text\":\"a\"}\n{\"txt\":1}").expect_err("no text");
    assert!(
        error.to_string().starts_with("some.jsonl, line 2:"),
        "{error}"
    );
}
