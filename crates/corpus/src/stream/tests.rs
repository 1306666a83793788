//! Windows by number, and every token judged once, for tokens of one byte and of two.

use super::{Batch, Stream};
use crate::{BytePairs, Document, IGNORED, Splits, Tokenizer};

const BATCH: Batch = Batch {
    sequences: 3,
    positions: 16,
};

fn stream(texts: &[&str], tokenizer: &Tokenizer) -> Stream {
    let one = |text: &&str| Document {
        name: String::new(),
        text: (*text).to_owned(),
    };
    let documents: Vec<Document> = texts.iter().chain([&"held out"]).map(one).collect();
    Splits::of(&documents, 1, 1, tokenizer)
        .expect("enough text")
        .train
}

fn pairs() -> Tokenizer {
    let merges = BytePairs::new(vec![[116, 104], [256, 101], [32, 257], [101, 120]]);
    Tokenizer::Pairs(merges.expect("merges"))
}

#[test]
fn windows_follow_from_seed_and_number() {
    let text = "the quick brown fox jumps over the lazy dog, twice over.";
    for tokenizer in [Tokenizer::Bytes, pairs()] {
        let stream = stream(&[text], &tokenizer);
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
            let window = [
                &tokens[range.start..=range.end],
                &targets[range.end..=range.end],
            ];
            let spelt = tokenizer.decode(&window.concat());
            let whole = [b"\0", text.as_bytes()].concat();
            assert!(whole.windows(spelt.len()).any(|part| part == spelt));
        }
        assert_eq!(windows(1, 2), (tokens.clone(), targets));
        assert_ne!(windows(1, 3).0, tokens);
        assert_ne!(windows(2, 2).0, tokens);
    }
}

/// What a run saw must not change with a version of this crate.
#[test]
fn the_windows_of_a_seed_are_these() {
    let stream = stream(&["abcdefghijklmnopqrstuvwxyz"], &Tokenizer::Bytes);
    let batch = Batch {
        sequences: 4,
        positions: 1,
    };
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    stream.windows(batch, 7, 3, &mut tokens, &mut targets);
    let seen: Vec<u8> = tokens.iter().map(|&token| token as u8).collect();
    assert_eq!(seen.escape_ascii().to_string(), r"kwr\x00");
}

#[test]
fn every_text_byte_is_a_target_once() {
    let texts = [
        "first text",
        "",
        "a second one that is longer than the window of sixteen",
    ];
    for tokenizer in [Tokenizer::Bytes, pairs()] {
        let stream = stream(&texts, &tokenizer);
        let mut seen = Vec::new();
        for (tokens, targets) in stream.every_byte(BATCH) {
            assert_eq!((tokens.len(), targets.len()), (48, 48));
            seen.extend(targets.iter().filter(|&&target| target != IGNORED));
        }
        let spelt = tokenizer.decode(&seen);
        assert_eq!(spelt, texts.concat().as_bytes());
        assert_eq!(stream.text_bytes(), spelt.len());
        assert_eq!(stream.tokens(), seen.len() + 3);
    }
}

#[test]
fn absurd_batches_neither_panic_nor_count() {
    let stream = stream(&["ab"], &Tokenizer::Bytes);
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for (sequences, positions) in [(0, 0), (0, 5), (5, 0), (2, 9)] {
        let batch = Batch {
            sequences,
            positions,
        };
        stream.windows(batch, 1, 1, &mut tokens, &mut targets);
        assert_eq!(tokens.len(), sequences * positions);
        assert_eq!(targets.len(), tokens.len());
        let counted = targets.iter().filter(|&&target| target != IGNORED).count();
        assert!(counted <= 2 * sequences);
        let all: usize = stream
            .every_byte(batch)
            .map(|(_, targets)| targets.iter().filter(|&&one| one != IGNORED).count())
            .sum();
        assert_eq!(all, 2);
    }
}
