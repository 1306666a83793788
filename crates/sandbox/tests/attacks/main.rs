//! Real hostile programs against real seals: each attack at each level, as whoever runs the tests and, where that is root, as an
//! ordinary user too.
//!
//! A level that this machine doesn't have is said and left out. At least one has to be there.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(
    clippy::print_stdout,
    reason = "levels that were left out, and times, are for whoever reads the test's output"
)]

mod contract;
mod engine;
mod escapes;
mod files;
mod ground;
mod limits;
mod network;
mod stragglers;
mod user;
