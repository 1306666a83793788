//! A tokenizer's vocabulary as the parser needs it: a trie of the bytes of each token that is text.
//!
//! Left out, so that they are never allowed as text: control, unknown and unused tokens, the tokens that end a generation, those longer
//! than the trie's nodes can tell, and those with the byte 0xFF, which is in no UTF-8 and marks special tokens in the trie.

use std::sync::Arc;

use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use text::Tokenizer;

use super::ConstraintError;

/// Longest token: a node knows at most 1024 parents.
const LONGEST: usize = 512;
/// Most bytes of all tokens together: a node knows at most 2^22 nodes below it.
const MOST_BYTES: usize = (1 << 22) - 1;
/// What JSON is written with outside of strings; each has to be a token of its own, so that no place is a dead end.
const ALPHABET: &[u8] = br#"{}[]":,\-.0123456789abcdefghijklmnopqrstuvwxyz"#;
/// Most tokens: a node has 24 bits for its token.
const MOST_TOKENS: usize = (1 << 24) - 1;

/// The trie of `tokenizer`.
pub(super) fn trie(tokenizer: &Tokenizer) -> Result<TokEnv, ConstraintError> {
    let tokens = tokenizer.vocab_size();
    let within = |what: &str, found: usize, most: usize| {
        if found <= most {
            return Ok(());
        }
        let reason = format!("it has {found} {what}, at most {most} are possible");
        Err(ConstraintError::Vocabulary { reason })
    };
    within("tokens", tokens, MOST_TOKENS)?;
    let words: Vec<Vec<u8>> = (0..tokens as u32)
        .map(|id| {
            let bytes = tokenizer.bytes_of(id);
            let is_text = !tokenizer.is_control(id)
                && !tokenizer.is_end_of_generation(id)
                && bytes.len() <= LONGEST
                && !bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER);
            if is_text { bytes.to_vec() } else { Vec::new() }
        })
        .collect();
    within(
        "bytes of tokens",
        words.iter().map(Vec::len).sum(),
        MOST_BYTES,
    )?;
    let ends = tokenizer.end_of_generation();
    let first = ends.first().copied().unwrap_or(INVALID_TOKEN);
    let mut trie = TokTrie::from(&TokRxInfo::new(tokens as u32, first), &words);
    if !ends.is_empty() {
        trie = trie.with_eos_tokens(ends);
    }
    for &byte in ALPHABET {
        if trie.token_id(&[byte]).is_none() {
            let reason = format!("no token is {:?} alone", char::from(byte));
            return Err(ConstraintError::Vocabulary { reason });
        }
    }
    // How the vocabulary would cut a text matters only where tokens are forced; here the model chooses all of them.
    Ok(Arc::new(ApproximateTokEnv::new(trie)))
}
