//! Learns which bytes to join into tokens: the pair that occurs most often in a text's words, again and again.
//!
//! Words are a space and letters, or what stands between such: nearly those within which the encoder joins (GPT-2's), so that few merges are
//! in vain. How often each word occurs is counted once, and then only words that differ are looked at. Of equally frequent pairs the lower
//! one is joined, so that a text always gives the same merges.

use std::collections::{BinaryHeap, HashMap};

type Pair = [u32; 2];

/// Tokens that are bytes.
const BYTES: u32 = 256;
/// The most bytes of a token.
const LONGEST: usize = 32;

/// A word that occurs in the text, as tokens, and how often.
struct Word {
    tokens: Vec<u32>,
    count: i64,
}

/// Up to `most` merges in their order; fewer where no pair is left that occurs twice.
pub fn learn(text: &[u8], most: usize) -> Vec<Pair> {
    let mut words = words(text);
    let mut counts: HashMap<Pair, i64> = HashMap::new();
    for word in &words {
        for pair in pairs(&word.tokens) {
            *counts.entry(pair).or_default() += word.count;
        }
    }
    // A pair's count in the heap may be an old one, which is never too low; what has grown is put in again.
    let entry = |(&pair, &count): (&Pair, &i64)| (count, std::cmp::Reverse(pair));
    let mut heap: BinaryHeap<_> = counts.iter().map(entry).collect();
    let mut lengths = vec![1; BYTES as usize];
    let mut merges: Vec<Pair> = Vec::new();
    while merges.len() < most {
        let Some((known, std::cmp::Reverse(pair))) = heap.pop() else {
            break;
        };
        let count = counts.get(&pair).copied().unwrap_or(0);
        let length = lengths[pair[0] as usize] + lengths[pair[1] as usize];
        if count < 2 || length > LONGEST {
            continue;
        }
        if count < known {
            heap.push((count, std::cmp::Reverse(pair)));
            continue;
        }
        let id = BYTES + merges.len() as u32;
        merges.push(pair);
        lengths.push(length);
        counts.remove(&pair);
        let mut grown = Vec::new();
        for word in &mut words {
            if !pairs(&word.tokens).any(|there| there == pair) {
                continue;
            }
            for old in pairs(&word.tokens) {
                if let Some(count) = counts.get_mut(&old) {
                    *count -= word.count;
                }
            }
            word.tokens = joined(&word.tokens, pair, id);
            for new in pairs(&word.tokens) {
                *counts.entry(new).or_default() += word.count;
                grown.extend(new.contains(&id).then_some(new));
            }
        }
        grown.sort_unstable();
        grown.dedup();
        heap.extend(grown.iter().map(|new| entry((new, &counts[new]))));
    }
    merges
}

fn pairs(tokens: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    tokens.windows(2).map(|two| [two[0], two[1]])
}

fn joined(tokens: &[u32], pair: Pair, id: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&pair) {
            out.push(id);
            at += 2;
        } else {
            out.push(tokens[at]);
            at += 1;
        }
    }
    out
}

/// Each different word of a text; none holds byte 0, which stands between documents.
fn words(text: &[u8]) -> Vec<Word> {
    let kind = |byte: u8| match byte {
        0 => 0,
        b' ' | b'\n' | b'\r' | b'\t' => 1,
        b'0'..=b'9' => 2,
        _ if byte.is_ascii_alphabetic() || byte >= 128 => 3,
        _ => 4,
    };
    let mut counts: HashMap<&[u8], i64> = HashMap::new();
    let mut start = 0;
    for at in 1..=text.len() {
        // A single space belongs to what comes behind it.
        let goes_on = text.get(at).is_some_and(|&next| {
            kind(next) == kind(text[at - 1]) || (&text[start..at] == b" " && kind(next) > 1)
        });
        if !goes_on {
            *counts.entry(&text[start..at]).or_default() += 1;
            start = at;
        }
    }
    counts.retain(|word, _| word.len() > 1 && word[0] != 0);
    let word = |(word, count): (&[u8], i64)| Word {
        tokens: word.iter().map(|&byte| byte.into()).collect(),
        count,
    };
    counts.into_iter().map(word).collect()
}
