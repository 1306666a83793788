//! Whatever kills the engine, and whenever: nothing is lost, and the end is the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![cfg(target_os = "linux")]

mod endurance;
mod faults;
mod kills;
#[path = "../repository/mod.rs"]
mod repository;
