//! Reads any bytes as a stream of events from a server, in pieces of any size, and each event as a part of an answer.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run event_stream fuzz/corpus/events crates/endpoint/attacks -- -max_total_time=180

#![no_main]

use std::io::BufReader;

use endpoint::fuzzing::{Delta, Events};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], capacity: usize) -> Vec<String> {
    let events = Events::new(BufReader::with_capacity(capacity, bytes));
    let found: Vec<String> = events.map_while(Result::ok).collect();
    assert!(found.iter().all(|data| data.len() <= bytes.len() * 3));
    found
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, 1 << 16);
    let capacity = 1 + usize::from(bytes.first().copied().unwrap_or(0));
    assert_eq!(whole, read(bytes, capacity), "the pieces' size matters");
    for data in &whole {
        if let Err(why) = Delta::parse(data) {
            assert!(!why.is_empty());
        }
    }
});
