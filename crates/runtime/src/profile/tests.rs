//! A profile survives being written and read, and a stranger's is refused where it could not run.

use super::{read, write};
use kernels::{KvType, RuntimeProfile};

#[test]
fn what_is_written_is_read() {
    let profile = RuntimeProfile {
        threads: 3,
        prefill_chunk: 512,
        matmul_tile: 8,
        kv_type: KvType::Q8_0,
        idle_spins: 7,
        ..RuntimeProfile::default()
    };
    assert_eq!(read(&write(&profile)).unwrap(), profile);
    assert_eq!(read("").unwrap(), RuntimeProfile::default());
    assert_eq!(read("note = 17").unwrap(), RuntimeProfile::default());
}

#[test]
fn what_could_not_run_is_refused_by_name() {
    for (text, word) in [
        ("threads = 0", "threads"),
        ("threads = -1", "threads"),
        ("threads = 1000000", "threads"),
        ("prefill_chunk = 100", "multiple of 64"),
        ("prefill_chunk = 0", "prefill_chunk"),
        ("matmul_tile = 5", "4, 8, 12"),
        ("isa = \"sse9\"", "isa"),
        ("kv_type = \"q2\"", "i16, f16, q8_0, f32"),
        ("attention_tile = 0", "attention_tile"),
        ("pages = 3", "pages"),
        ("colour = \"red\"", "colour"),
        ("threads", "threads"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}
