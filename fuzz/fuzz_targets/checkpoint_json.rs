//! Reads any bytes as `config.json`, as `tokenizer.json` and as an index's document; what becomes of them must be valid metadata.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run checkpoint_json fuzz/corpus/json crates/models/attacks crates/text/attacks -- -max_total_time=180

#![no_main]

use std::path::Path;

use formats::gguf::{Gguf, Value, encode};
use formats::json::Document;
use libfuzzer_sys::fuzz_target;
use text::Tokenizer;

/// Rows of the embedding table that the tokenizer is said to belong to.
const ROWS: usize = 512;

fn harmless(message: &str) {
    assert!(
        message.len() < 4000 && !message.chars().any(char::is_control),
        "{message:?}"
    );
}

fn opened(metadata: &[(String, Value)]) -> Gguf {
    let bytes = encode(metadata, &[]).expect("no tensors, so no sizes to be wrong");
    Gguf::from_bytes(bytes).expect("what is derived is valid")
}

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzzed.json");
    match Document::from_bytes(path, bytes) {
        Ok(document) => match models::checkpoint::config_metadata(&document) {
            Ok(metadata) => drop(opened(&metadata)),
            Err(error) => harmless(&error.to_string()),
        },
        Err(error) => harmless(&error.to_string()),
    }
    match text::tokenizer_metadata_of(path, bytes, ROWS) {
        Ok(metadata) => {
            if let Ok(tokenizer) = Tokenizer::from_gguf(opened(&metadata).metadata()) {
                tokenizer.encode("the tiny 123 thé", text::Specials::Parse);
            }
        }
        Err(error) => harmless(&error.to_string()),
    }
});
