//! Reads any text as a `track.toml`: a track, or an error that can be shown.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run track fuzz/corpus/track tracks data/tracks -- -max_total_time=180

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ratchet::track::Track;

fuzz_target!(|text: &str| {
    match Track::parse(text) {
        Ok(track) => {
            // What was accepted can be asked.
            for path in ["train.py", "../x", "/x", ""] {
                track.globs.part(Path::new(path));
            }
            assert!(!track.name().is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
