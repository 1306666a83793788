//! Reads any bytes as a vocabulary and a text: a tokenizer that is built at all encodes the text within its ids, and its tokens say
//! the text again.
//!
//! The first byte chooses the kind (RWKV's mostly) and whether the bytes are there already; then one token per line, with its type in
//! front; the last line is the text.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run vocabulary fuzz/corpus/vocabulary -- -max_total_time=180

#![no_main]

use libfuzzer_sys::fuzz_target;
use text::{SpecialIds, Specials, TokenType, Tokenizer, Vocabulary, VocabularyKind};

/// A vocabulary that can spell every byte, where the fuzzed one is not asked to: no input would find all 256.
fn bytes(kind: VocabularyKind) -> Vec<Vec<u8>> {
    let spelt = |byte: u8| match kind {
        VocabularyKind::LongestMatch => format!("\\x{byte:02x}"),
        _ => format!("<0x{byte:02X}>"),
    };
    (0..=255).map(|byte| spelt(byte).into_bytes()).collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((&kind, input)) = input.split_first() else {
        return;
    };
    let with_bytes = kind & 1 == 1;
    let kind = match kind >> 1 & 3 {
        0 => VocabularyKind::SentencePiece,
        _ => VocabularyKind::LongestMatch,
    };
    let (mut tokens, mut types) = (Vec::new(), Vec::new());
    if with_bytes {
        tokens = bytes(kind);
        let byte = match kind {
            VocabularyKind::SentencePiece => TokenType::Byte,
            _ => TokenType::Normal,
        };
        types = vec![byte; tokens.len()];
    }
    let mut lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let text = String::from_utf8_lossy(lines.pop().unwrap_or_default()).into_owned();
    for line in lines {
        let (first, token) = line
            .split_first()
            .map_or((1, line), |(&first, token)| (first, token));
        types.push(TokenType::from_gguf(i32::from(first & 7)));
        tokens.push(token.to_vec());
    }
    let found = Tokenizer::from_vocabulary(Vocabulary {
        kind,
        tokens,
        scores: Vec::new(),
        types,
        merges: Vec::new(),
        pre: None,
        special: SpecialIds::default(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: Some(false),
    });
    let tokenizer = match found {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            let message = error.to_string();
            assert!(
                message.len() < 2000 && !message.chars().any(char::is_control),
                "{message:?}"
            );
            return;
        }
    };
    for specials in [Specials::Plain, Specials::Parse, Specials::ParseDefused] {
        let ids = tokenizer.encode(&text, specials);
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        if specials == Specials::Plain && kind == VocabularyKind::LongestMatch {
            assert!(!ids.iter().any(|&id| tokenizer.is_control(id)));
            let said: Vec<u8> = ids
                .iter()
                .flat_map(|&id| tokenizer.bytes_of(id))
                .copied()
                .collect();
            assert_eq!(said, text.as_bytes());
        }
    }
});
