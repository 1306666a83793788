//! Real hostile programs against real seals: each attack at each level, as whoever runs the tests and, where that is root, as an
//! ordinary user too.
//!
//! A level that this machine doesn't have is said and left out. At least one has to be there.

#![cfg(target_os = "linux")]

mod contract;
mod engine;
mod escapes;
mod files;
mod ground;
mod limits;
mod network;
mod stragglers;
mod user;
