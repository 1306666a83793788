//! Opens any bytes as a safetensors file and touches all that it offers.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run safetensors fuzz/corpus/safetensors crates/formats/attacks/safetensors -- -max_total_time=180

#![no_main]

use formats::safetensors::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let checkpoint = match Checkpoint::from_bytes(bytes.to_vec()) {
        Ok(checkpoint) => checkpoint,
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
    let mut total = 0;
    for tensor in checkpoint.tensors() {
        assert!(
            checkpoint
                .tensor(tensor.name())
                .is_some_and(|found| std::ptr::eq(found, tensor))
        );
        assert_eq!(checkpoint.bytes(tensor).len(), tensor.byte_len());
        total += tensor.byte_len();
    }
    // Tensors share no byte, so together they are less than the file.
    assert!(total < bytes.len());
});
