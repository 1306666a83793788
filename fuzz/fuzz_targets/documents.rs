//! Reads any bytes as each kind of text to learn from: documents, or an error that can be shown.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run documents fuzz/corpus/documents -- -max_total_time=180

#![no_main]

use std::path::Path;

use corpus::Documents;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for name in ["a.txt", "a.jsonl", "a.txt.zst", "a.jsonl.zst", "a.parquet"] {
        let Ok(documents) = Documents::of_bytes(bytes.to_vec(), Path::new(name), corpus::FIELD)
        else {
            continue;
        };
        for document in documents {
            match document {
                Ok(document) => assert!(!document.text.contains('\0')),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    break;
                }
            }
        }
    }
});
