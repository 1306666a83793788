//! Opens a folder whose index is any bytes, beside one small shard: only that shard may ever be read.
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run safetensors_index -- -max_total_time=180

#![no_main]

use formats::safetensors::Checkpoint;
use libfuzzer_sys::fuzz_target;

/// One tensor `a` of two f32.
const SHARD: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

fuzz_target!(|bytes: &[u8]| {
    let folder = std::env::temp_dir().join(format!("sprag-fuzz-index-{}", std::process::id()));
    if !folder.is_dir() {
        std::fs::create_dir_all(&folder).expect("the temporary folder takes folders");
        let mut shard = (SHARD.len() as u64).to_le_bytes().to_vec();
        shard.extend_from_slice(SHARD.as_bytes());
        shard.extend_from_slice(&[0; 8]);
        std::fs::write(folder.join("s.safetensors"), shard).expect("the folder takes files");
    }
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, bytes).expect("the folder takes files");
    match Checkpoint::open(&folder) {
        Ok(checkpoint) => {
            for tensor in checkpoint.tensors() {
                assert_eq!(tensor.name(), "a");
                assert_eq!(checkpoint.bytes(tensor), [0; 8]);
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                message.len() < 2000 && !message.chars().any(char::is_control),
                "{message:?}"
            );
        }
    }
});
