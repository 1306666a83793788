//! From ranked merges to the scores of a SentencePiece vocabulary.
//!
//! A `tokenizer.json` of such a model was made from scores: for every token, every way to split it in two tokens became a
//! merge, and merges were sorted by the token's score. So scores that fall with the rank give the same segmentation, if
//! 1. every split of every token into two tokens is a merge, and
//! 2. the merges that make one token are neighbours.
//!
//! Both are checked. A file for which they don't hold has another segmentation than any scores could give, and is refused.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::document::Merge;
use crate::vocabulary::TokenType;

/// One score per token, or what forbids it.
pub(super) fn from_merges(
    tokens: &[String],
    types: &[TokenType],
    merges: &[Merge],
) -> Result<Vec<f32>, String> {
    let ids: HashMap<&str, usize, RandomState> = tokens
        .iter()
        .enumerate()
        .filter(|&(id, _)| types[id] == TokenType::Normal)
        .map(|(id, token)| (token.as_str(), id))
        .collect();
    let mut pairs: HashSet<(usize, usize), RandomState> = HashSet::default();
    // Tokens in the order of their merges.
    let mut made: Vec<usize> = Vec::new();
    let mut seen: HashSet<usize, RandomState> = HashSet::default();
    let mut joined = String::new();
    for Merge(left, right) in merges {
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        // Tokens that are cut out of the text before merging take no part in it.
        let parts = ids.get(left.as_str()).zip(ids.get(right.as_str()));
        let (Some((&left, &right)), Some(&id)) = (parts, ids.get(joined.as_str())) else {
            continue;
        };
        pairs.insert((left, right));
        if made.last() != Some(&id) {
            if !seen.insert(id) {
                return Err(format!(
                    "the merges that make {joined:?} are not neighbours"
                ));
            }
            made.push(id);
        }
    }
    for token in ids.keys() {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let Some((&left, &right)) = ids.get(left).zip(ids.get(right))
                && !pairs.contains(&(left, right))
            {
                return Err(format!(
                    "{token:?} can be made in a way that no merge lists"
                ));
            }
        }
    }
    let mut scores = vec![-(made.len() as f32) - 1.0; tokens.len()];
    for (rank, id) in made.into_iter().enumerate() {
        scores[id] = -(rank as f32);
    }
    Ok(scores)
}
