//! Opens any bytes as a GGUF file and touches all that it offers.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run gguf fuzz/corpus/gguf crates/formats/attacks -- -max_total_time=180
//!
//! The first folder collects new inputs (git ignores it), the second holds the hostile files that the tests know.

#![no_main]

use formats::gguf::{Array, Gguf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let gguf = match Gguf::from_bytes(bytes.to_vec()) {
        Ok(gguf) => gguf,
        Err(error) => {
            // Text from the file must not reach the terminal raw, nor at length.
            let message = error.to_string();
            assert!(
                message.len() < 2000 && !message.chars().any(char::is_control),
                "{message:?}"
            );
            return;
        }
    };
    let metadata = gguf.metadata();
    for (key, value) in metadata.iter() {
        assert!(
            metadata
                .get(key)
                .is_some_and(|found| std::ptr::eq(found, value))
        );
        assert!(!value.to_string().chars().any(char::is_control));
        // Most of these are of the wrong type, which must be an error and nothing worse.
        let _ = (
            metadata.str(key),
            metadata.u32(key),
            metadata.u64(key),
            metadata.f32(key),
            metadata.bool(key),
        );
        let _ = (
            metadata.i32s(key),
            metadata.u32s(key),
            metadata.f32s(key),
            metadata.bools(key),
        );
        if let Some(texts) = value.as_array().and_then(Array::as_texts) {
            assert_eq!(texts.iter().count(), texts.len());
            let bytes: usize = texts.iter().map(<[u8]>::len).sum();
            assert!(bytes <= gguf.file_len());
        }
    }
    let mut total = 0;
    for tensor in gguf.tensors() {
        assert!(
            gguf.tensor(tensor.name())
                .is_some_and(|found| std::ptr::eq(found, tensor))
        );
        let bytes = gguf.bytes(tensor);
        assert_eq!(bytes.len(), tensor.byte_len().unwrap_or(0));
        assert_eq!(tensor.elements(), tensor.row_len() * tensor.rows());
        total += bytes.len();
        let _ = gguf.check_finite(tensor);
    }
    // Tensors share no byte, so together they are at most the file.
    assert!(total <= gguf.file_len());
});
