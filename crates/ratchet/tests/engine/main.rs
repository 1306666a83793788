//! The engine at work: whole tracks, who proposes, what goes wrong, and who cheats.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![cfg(target_os = "linux")]

mod budget;
#[path = "../cheats/mod.rs"]
mod cheats;
mod early;
mod proposals;
#[path = "../repository/mod.rs"]
mod repository;
mod tracks;
mod trouble;
mod workers;
mod world;
