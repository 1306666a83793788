//! The `sprag` command from outside: what it prints, what it reports, how it refuses, on the tiny fixture models.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod answers;
mod checkpoints;
mod endpoint;
mod machines;
mod ratchet;
mod refusals;
mod reports;
mod screens;
mod sprag;
mod train;
mod trained;
