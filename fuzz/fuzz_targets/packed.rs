//! Takes any bytes as a file of packed weights: what is found lies within them, and whether it is stale is known.
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run packed -- -max_total_time=180

#![no_main]

use formats::packed::{PackedFile, is_stale};
use libfuzzer_sys::fuzz_target;

/// Of this version and model the file says that it is, where the fuzzer leaves its head alone.
const HEAD: &[u8] = b"SPRAGPK1\x01\0\0\0\x01\0\0\0m";

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("sprag-fuzz-{}.packed", std::process::id()));
    // Half of the inputs are taken as what follows the head, on the page where matrices begin.
    let file = match bytes.split_first() {
        Some((0..128, rest)) => {
            let mut file = HEAD.to_vec();
            file.resize(4096, 0);
            file.extend_from_slice(rest);
            file
        }
        _ => bytes.to_vec(),
    };
    std::fs::write(&path, &file).expect("the temporary folder takes files");
    if let Some(packed) = PackedFile::open(&path, 1, "m") {
        for entry in packed.entries() {
            assert_eq!(packed.bytes(entry).as_ref(), &file[entry.range.clone()]);
        }
    }
    is_stale(&path);
});
