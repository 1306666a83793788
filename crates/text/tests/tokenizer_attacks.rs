//! Reads every hostile `tokenizer.json` of `attacks/`; each must end in an error that says its words, without a panic.
//!
//! The files are made here and kept in the repository: `BLESS_ATTACKS=1 cargo test -p text --test tokenizer_attacks` writes
//! them anew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use text::tokenizer_metadata_of;

const ROWS: usize = 8;

fn good() -> Value {
    json!({
        "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": null,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    })
}

fn with(place: &str, value: Value) -> Vec<u8> {
    let mut document = good();
    *document
        .pointer_mut(place)
        .expect("a field of the good one") = value;
    serde_json::to_vec(&document).expect("JSON")
}

/// Name, content, and what is told.
fn attacks() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let bomb = |open: &str| format!("{{\"pre_tokenizer\":{}", open.repeat(50_000)).into_bytes();
    let processor = |single: Value| json!({"type": "TemplateProcessing", "single": single});
    let special = json!({"SpecialToken": {"id": "<s>"}});
    let vocab = |vocab: Value| with("/model/vocab", vocab);
    vec![
        ("empty", Vec::new(), "not the JSON"),
        ("html", b"<!DOCTYPE html>".to_vec(), "not the JSON"),
        ("list", b"[1]".to_vec(), "not the JSON"),
        ("brackets", bomb("["), "not the JSON"),
        ("objects", bomb("{\"a\":"), "not the JSON"),
        (
            "cut",
            serde_json::to_vec(&good()).expect("JSON")[..90].to_vec(),
            "not the JSON",
        ),
        ("no-model", b"{}".to_vec(), "missing field `model`"),
        (
            "unigram",
            with("/model", json!({"type": "Unigram", "vocab": [["a", -1.0]]})),
            "the model is \"Unigram\"",
        ),
        (
            "word-piece",
            with("/model/type", json!("WordPiece")),
            "the model is \"WordPiece\"",
        ),
        (
            "type-control-characters",
            with("/model/type", json!("\u{1b}[2J")),
            "the model is",
        ),
        ("vocab-of-scores", vocab(json!([["a", -1.0]])), "Unigram"),
        ("vocab-is-text", vocab(json!("a")), "not the JSON"),
        ("id-negative", vocab(json!({"a": -1})), "not the JSON"),
        (
            "id-huge",
            vocab(json!({"a": 4_294_967_295_u32})),
            "the embedding table has 8 rows",
        ),
        (
            "id-beyond-32-bits",
            vocab(json!({"a": 1_u64 << 40})),
            "not the JSON",
        ),
        (
            "id-twice",
            vocab(json!({"a": 0, "b": 0})),
            "the id 0 belongs to both",
        ),
        (
            "added-id-huge",
            with("/added_tokens/0/id", json!(8)),
            "the embedding table has 8 rows",
        ),
        (
            "added-id-taken",
            with("/added_tokens/0/id", json!(1)),
            "the id 1 belongs to both",
        ),
        (
            "merge-of-three",
            with("/model/merges", json!([["a", "b", "c"]])),
            "not the JSON",
        ),
        (
            "merge-of-one",
            with("/model/merges", json!(["ab"])),
            "not the JSON",
        ),
        (
            "merge-with-space",
            with("/model/merges", json!([["a ", "b"]])),
            "is not two spellings",
        ),
        (
            "merge-empty",
            with("/model/merges", json!([["", "b"]])),
            "is not two spellings",
        ),
        (
            "normalizer-unknown",
            with("/normalizer", json!({"type": "NFKC"})),
            "the normalizer is",
        ),
        (
            "pre-tokenizer-unknown",
            with("/pre_tokenizer/type", json!("Whitespace")),
            "the pre-tokenizer is",
        ),
        (
            "pre-tokenizer-missing",
            with("/pre_tokenizer", Value::Null),
            "the pre-tokenizer is",
        ),
        (
            "processor-unknown",
            with("/post_processor", json!({"type": "BertProcessing"})),
            "the post-processor is",
        ),
        (
            "processor-adds-two",
            with(
                "/post_processor",
                processor(json!([special, special, {"Sequence": {"id": "A"}}])),
            ),
            "the post-processor is",
        ),
        (
            "processor-adds-nothing",
            with("/post_processor", processor(json!([special]))),
            "the post-processor is",
        ),
        (
            "processor-unnamed",
            with(
                "/post_processor",
                processor(json!([special, {"Sequence": {"id": "A"}}])),
            ),
            "does not name as begin or end token",
        ),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks")
}

#[test]
fn every_attack_ends_in_its_error() {
    for (name, bytes, told) in attacks() {
        let path = folder().join(name).with_extension("json");
        if std::env::var_os("BLESS_ATTACKS").is_some() {
            fs::write(&path, &bytes).expect("the attack is written");
        }
        let found = fs::read(&path).expect("the attack is in the folder");
        assert!(found == bytes, "{name} differs from what the test makes");
        let error = tokenizer_metadata_of(&path, &found, ROWS)
            .expect_err(name)
            .to_string();
        assert!(
            error.contains(told) && error.contains(name),
            "{name}: {error}"
        );
        assert!(
            !error.chars().any(char::is_control) && error.len() < 1200,
            "{error:?}"
        );
    }
    let good = serde_json::to_vec(&good()).expect("JSON");
    tokenizer_metadata_of(Path::new("good.json"), &good, ROWS)
        .expect("the one that attacks change is good");
}

#[test]
fn every_file_is_known_and_explained() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the README is there");
    let known: Vec<&str> = attacks().iter().map(|attack| attack.0).collect();
    for name in &known {
        assert_eq!(
            readme.matches(&format!("`{name}`")).count(),
            1,
            "one line explains {name}"
        );
    }
    for entry in fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("readable").path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a plain name");
        assert!(
            stem == "README" || known.contains(&stem),
            "{stem} is not made by this test"
        );
    }
}

/// Bytes of a good file changed one by one: whatever comes, an answer.
#[test]
fn every_single_byte_may_change_without_a_panic() {
    let good = serde_json::to_vec(&good()).expect("JSON");
    for at in 0..good.len() {
        for byte in [0, b'"', b'{', b'[', b'9', b'-', b'a', 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let _either = tokenizer_metadata_of(Path::new("changed.json"), &bytes, ROWS);
        }
    }
}
