//! Reads any bytes as the model of a candidate and scores a text with it: a score, or a flaw that can be shown.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run judge_model fuzz/corpus/judge_model -- -max_total_time=180

#![no_main]

use judge::model::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let scored = Model::read(bytes).and_then(|model| model.score(b"A text.\0Another one.", 8, 1));
    match scored {
        Ok(score) => assert!(score.nats.is_finite() && score.bytes == 19),
        // Words of the file must reach no terminal raw, nor at length.
        Err(flaw) => {
            let said = flaw.to_string();
            assert!(
                said.len() < 2000 && !said.chars().any(char::is_control),
                "{said:?}"
            );
        }
    }
});
