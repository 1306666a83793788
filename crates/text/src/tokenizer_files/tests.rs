//! From tokenizer files to metadata, and from those to the same token ids.

use formats::gguf::{Gguf, encode};
use serde_json::{Value as Json, json};

use super::*;
use crate::{Specials, Tokenizer};

/// Byte-level with the bytes of `ab c` and a few merges.
fn byte_level() -> Json {
    json!({
        "added_tokens": [
            {"id": 0, "content": "<|end|>", "special": true},
            {"id": 6, "content": "<tag>", "special": false},
            {"id": 7, "content": "<|fim|>", "special": false},
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "vocab": {"<|end|>": 0, "a": 1, "b": 2, "Ġ": 3, "ab": 4, "Ġab": 5},
            "merges": [["a", "b"], "Ġ ab"],
        },
    })
}

/// SentencePiece with byte fallback: `▁ab` is better than `ab`, which is better than `ba`.
fn pieces() -> Json {
    let mut vocab = serde_json::Map::new();
    for (id, token) in [
        "<unk>", "<s>", "</s>", "a", "b", "▁", "▁ab", "ab", "ba", "▁a",
    ]
    .iter()
    .enumerate()
    {
        vocab.insert((*token).to_owned(), json!(id));
    }
    for byte in 0..256 {
        vocab.insert(format!("<0x{byte:02X}>"), json!(10 + byte));
    }
    json!({
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": true},
            {"id": 1, "content": "<s>", "special": true},
            {"id": 2, "content": "</s>", "special": true},
            {"id": 266, "content": "▁▁", "special": false},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        ]},
        "model": {
            "type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": vocab,
            "merges": ["▁a b", "▁ ab", "a b", "b a", "▁ a"],
        },
    })
}

fn told(document: &Json, rows: usize) -> Result<Vec<(String, Value)>, String> {
    let bytes = serde_json::to_vec(document).unwrap();
    tokenizer_metadata_of(Path::new("tokenizer.json"), &bytes, rows)
        .map_err(|error| error.to_string())
}

fn gguf(document: Json, rows: usize, files: &Files) -> Gguf {
    let document: Document = serde_json::from_value(document).unwrap();
    let pairs = metadata(document, Path::new("tokenizer.json"), rows, files).unwrap();
    Gguf::from_bytes(encode(&pairs, &[]).unwrap()).unwrap()
}

fn file(content: &Json) -> Option<json::Document> {
    let bytes = serde_json::to_vec(content).unwrap();
    Some(json::Document::from_bytes(Path::new("x.json"), &bytes).unwrap())
}

#[test]
fn a_byte_level_tokenizer_keeps_its_ids() {
    let files = Files {
        tokenizer_config: file(&json!({"eos_token": {"content": "<|end|>"}, "bos_token": null})),
        ..Files::default()
    };
    let gguf = gguf(byte_level(), 10, &files);
    let metadata = gguf.metadata();
    assert_eq!(metadata.str("tokenizer.ggml.pre").unwrap(), "gpt-2");
    // Control, normal, then user-defined, by its look control, and padding.
    let types = metadata.i32s("tokenizer.ggml.token_type").unwrap();
    assert_eq!(*types, [3, 1, 1, 1, 1, 1, 4, 3, 5, 5]);
    assert_eq!(metadata.u32("tokenizer.ggml.eos_token_id").unwrap(), 0);
    assert!(!metadata.bool("tokenizer.ggml.add_bos_token").unwrap());
    let tokenizer = Tokenizer::from_gguf(metadata).unwrap();
    assert_eq!(
        tokenizer.encode("ab ab<tag>ba", Specials::Plain),
        [4, 5, 6, 2, 1]
    );
    assert_eq!(tokenizer.vocab_size(), 10);
}

#[test]
fn merges_of_sentence_piece_become_scores() {
    let files = Files {
        tokenizer_config: file(&json!({"bos_token": "<s>", "eos_token": "</s>"})),
        generation_config: file(&json!({"eos_token_id": [2, 7]})),
        template: Some("{{ x }}".to_owned()),
        ..Files::default()
    };
    let gguf = gguf(pieces(), 270, &files);
    let metadata = gguf.metadata();
    let scores = metadata.f32s("tokenizer.ggml.scores").unwrap();
    assert!(scores[6] > scores[7] && scores[7] > scores[8] && scores[8] > scores[9]);
    assert!(metadata.bool("tokenizer.ggml.add_bos_token").unwrap());
    assert!(metadata.bool("tokenizer.ggml.add_space_prefix").unwrap());
    assert_eq!(metadata.u32("tokenizer.ggml.eot_token_id").unwrap(), 7);
    assert_eq!(metadata.str("tokenizer.chat_template").unwrap(), "{{ x }}");
    let tokens = metadata.strs("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens.str(266), Some(Ok("  ")));
    let tokenizer = Tokenizer::from_gguf(metadata).unwrap();
    assert_eq!(
        tokenizer.encode_prompt("ab bab", Specials::Plain),
        [1, 6, 5, 4, 7]
    );
    // A byte without a token of its own.
    assert_eq!(
        tokenizer.encode("aé", Specials::Plain),
        [9, 10 + 0xC3, 10 + 0xA9]
    );
}

#[test]
fn known_pre_tokenizers_are_recognised_and_others_refused() {
    let words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let split = |regex: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
        ]})
    };
    let pre = |pre_tokenizer: &Json, ignore_merges: bool| -> Result<String, String> {
        let mut document = byte_level();
        document["pre_tokenizer"] = pre_tokenizer.clone();
        document["model"]["ignore_merges"] = json!(ignore_merges);
        let pairs = told(&document, 8)?;
        let (_, value) = pairs.iter().find(|(key, _)| key.ends_with(".pre")).unwrap();
        Ok(value.as_text().unwrap().str().unwrap().to_owned())
    };
    assert_eq!(pre(&split(words), true).unwrap(), "llama-bpe");
    assert_eq!(pre(&split(words), false).unwrap(), "smaug-bpe");
    let qwen2 = words.replace("{1,3}", "");
    assert_eq!(pre(&split(&qwen2), false).unwrap(), "qwen2");
    assert!(pre(&split(&qwen2), true).is_err());
    for strange in [
        split(&words.replace("{1,3}", "{1,2}")),
        json!({"type": "ByteLevel", "add_prefix_space": true}),
        json!({"type": "BertPreTokenizer"}),
        json!({"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "ByteLevel", "add_prefix_space": false}]}),
        json!(null),
    ] {
        let why = pre(&strange, false).unwrap_err();
        assert!(
            why.contains("the pre-tokenizer is") && why.contains("Known:"),
            "{why}"
        );
    }
}

#[test]
fn merges_that_no_scores_could_give_are_refused() {
    let merges = |merges: Json| {
        let mut document = pieces();
        document["model"]["merges"] = merges;
        told(&document, 270)
    };
    // The two ways to make `▁ab` are apart.
    let why = merges(json!(["▁a b", "a b", "▁ ab", "b a", "▁ a"])).unwrap_err();
    assert!(why.contains("are not neighbours"), "{why}");
    // `ba` could be made, and is not.
    let why = merges(json!(["▁a b", "▁ ab", "a b", "▁ a"])).unwrap_err();
    assert!(why.contains("that no merge lists"), "{why}");
}

#[test]
fn a_begin_token_of_the_post_processor_must_be_the_named_one() {
    let document: Document = serde_json::from_value(pieces()).unwrap();
    let files = Files {
        tokenizer_config: file(&json!({"bos_token": "</s>"})),
        ..Files::default()
    };
    let why = metadata(document, Path::new("t.json"), 270, &files)
        .unwrap_err()
        .to_string();
    assert!(why.contains("the post-processor adds \"<s>\""), "{why}");
}
