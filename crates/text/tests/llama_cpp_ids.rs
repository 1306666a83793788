//! Token ids of real models equal llama.cpp's on a corpus of difficult text.
//!
//! `tests/corpus/make.py` made the expected ids. The models are not in the repository: the environment variable
//! SPRAG_TEST_MODELS names a folder that holds them; without it these tests say that they were skipped, and with it a
//! missing model fails. A vocabulary cut from SmolLM2's is in the repository and is always tested, under every family of
//! pre-tokenizers, and so is one cut from RWKV's (`tests/corpus/make_world.py`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use formats::gguf::Gguf;
use serde_json::Value;
use text::{Specials, Tokenizer, Utf8Stream, Vocabulary};

const TEXTS: &str = include_str!("corpus/texts.json");
const SMOLLM2: (&str, &str) = (
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    include_str!("corpus/smollm2.json"),
);
const GEMMA3: (&str, &str) = (
    "gemma-3-270m-q4_k_m.gguf",
    include_str!("corpus/gemma3.json"),
);

/// The model, unless there are no models to test with.
fn model(file: &str) -> Option<Gguf> {
    let Some(folder) = std::env::var_os("SPRAG_TEST_MODELS") else {
        eprintln!("SKIPPED: set SPRAG_TEST_MODELS to a folder that holds {file}");
        return None;
    };
    let path = PathBuf::from(folder).join(file);
    Some(Gguf::open(&path).unwrap_or_else(|error| panic!("SPRAG_TEST_MODELS: {error}")))
}

fn check((file, expected): (&str, &str)) {
    let Some(gguf) = model(file) else { return };
    let start = Instant::now();
    let tokenizer = Tokenizer::from_gguf(gguf.metadata()).expect("a fixture of this test");
    eprintln!(
        "{file}: {} tokens in {:.1?}",
        tokenizer.vocab_size(),
        start.elapsed()
    );
    let texts: Vec<String> = serde_json::from_str(TEXTS).expect("a fixture of this test");
    let expected: Value = serde_json::from_str(expected).expect("a fixture of this test");
    let mut wrong = 0;
    for (mode, specials) in [("parse", Specials::Parse), ("plain", Specials::Plain)] {
        let expected = expected[mode].as_array().expect("a fixture of this test");
        assert_eq!(expected.len(), texts.len());
        for (text, expected) in texts.iter().zip(expected) {
            let expected: Vec<u32> =
                serde_json::from_value(expected.clone()).expect("a fixture of this test");
            let found = tokenizer.encode(text, specials);
            if found != expected {
                wrong += 1;
                eprintln!("{mode} {text:?}\n  expected {expected:?}\n  found    {found:?}");
            }
        }
    }
    decodes_back(&tokenizer, &texts);
    assert_eq!(wrong, 0, "texts whose ids differ from llama.cpp's");
}

/// The bytes of a text's tokens, streamed, are the text, unless the vocabulary cannot spell some byte of it.
fn decodes_back(tokenizer: &Tokenizer, texts: &[String]) {
    let mut spelt = [false; 256];
    for id in 0..u32::try_from(tokenizer.vocab_size()).expect("a fixture of this test") {
        if let [byte] = *tokenizer.bytes_of(id) {
            spelt[usize::from(byte)] = true;
        }
    }
    let has_bytes = |text: &&String| text.bytes().all(|byte| spelt[usize::from(byte)]);
    for text in texts.iter().filter(has_bytes) {
        let mut stream = Utf8Stream::new();
        let ids = tokenizer.encode(text, Specials::Plain);
        let mut back: String = ids
            .iter()
            .map(|&id| stream.push(tokenizer.bytes_of(id)).to_owned())
            .collect();
        back.push_str(stream.finish());
        // SentencePiece writes spaces as a character that text may hold too, so that one comes back as a space.
        let expected = if tokenizer.pretokenizer().is_some() {
            text.clone()
        } else {
            text.replace('▁', " ")
        };
        assert_eq!(back, expected);
    }
}

#[test]
fn smollm2_ids_equal_llama_cpp() {
    check(SMOLLM2);
}

#[test]
fn gemma3_ids_equal_llama_cpp() {
    check(GEMMA3);
}

#[test]
fn a_small_vocabulary_s_ids_equal_llama_cpp_under_every_pretokenizer() {
    let gguf = Gguf::from_bytes(include_bytes!("corpus/tiny.gguf").to_vec()).unwrap();
    let vocabulary = Vocabulary::from_metadata(gguf.metadata()).unwrap();
    let texts: Vec<String> = serde_json::from_str(TEXTS).unwrap();
    let expected: BTreeMap<String, Vec<Vec<u32>>> =
        serde_json::from_str(include_str!("corpus/tiny.json")).unwrap();
    assert_eq!(expected.len(), 8);
    for (pre, expected) in expected {
        let tokenizer = Tokenizer::from_vocabulary(Vocabulary {
            pre: Some(pre.clone()),
            ..vocabulary.clone()
        })
        .unwrap();
        for (text, expected) in texts.iter().zip(expected) {
            assert_eq!(
                tokenizer.encode(text, Specials::Parse),
                expected,
                "{pre} {text:?}"
            );
        }
    }
}

/// The models' own tokenizer gives the same ids, but for the one text that spells `<s>`, which it does not know.
#[test]
fn a_world_vocabulary_s_ids_equal_llama_cpp() {
    let gguf = Gguf::from_bytes(include_bytes!("corpus/world.gguf").to_vec()).unwrap();
    let tokenizer = Tokenizer::from_gguf(gguf.metadata()).unwrap();
    let texts: Vec<String> = serde_json::from_str(TEXTS).unwrap();
    let expected: Vec<Vec<u32>> = serde_json::from_str(include_str!("corpus/world.json")).unwrap();
    assert!(expected.len() > 50);
    for (text, expected) in texts.iter().zip(&expected) {
        assert_eq!(
            &tokenizer.encode(text, Specials::Parse),
            expected,
            "{text:?}"
        );
    }
    for text in &texts {
        let ids = tokenizer.encode(text, Specials::Plain);
        assert!(!ids.contains(&0), "text spelt a control token: {text:?}");
        assert_eq!(&tokenizer.decode(&ids), text);
    }
}
