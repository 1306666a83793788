//! What the helper program runs, in three roles, each a process of one thread that does little and knows less.
//!
//! ```text
//! engine ── supervisor ── [bwrap ── bwrap's init ── porter ──] cell, which becomes the command
//! ```
//!
//! - `supervisor`: outside the seal. Makes the temporary folder and the control group, starts the rest, looks at it every 50 ms,
//!   and kills and removes all of it when the command ends, when it is told to, or when the engine dies.
//! - `porter`: under bubblewrap only, whose exit codes don't tell a signal from a code. Waits for the cell, and tells how it ended.
//! - `cell`: closes the seal around itself and becomes the command.
//! - `probe`: a hostile command, for [`Sandbox::detect`](crate::Sandbox::detect).
//!
//! Every role first closes all descriptors beyond its three, so that none that a parent left open reaches the command.

pub(crate) mod bubblewrap;
mod cell;
mod filter;
mod porter;
pub(crate) mod probe;
mod ruleset;
mod supervisor;

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

pub(crate) const SUPERVISOR: &str = "supervisor";
pub(crate) const PORTER: &str = "porter";
pub(crate) const CELL: &str = "cell";
pub(crate) const PROBE: &str = "probe";

/// Runs the role that the arguments name; `arguments` are those after the helper's own. Call it before anything else: it
/// closes every descriptor but the standard three, whoever opened it.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let role = arguments.next().unwrap_or_default();
    if !close_inherited() {
        return ExitCode::FAILURE;
    }
    match role.to_str() {
        Some(SUPERVISOR) => supervisor::main(),
        Some(PORTER) => porter::main(arguments.collect()),
        Some(CELL) => cell::main(),
        Some(PROBE) => probe::main(arguments.collect()),
        _ => ExitCode::from(2),
    }
}

/// Whether all are closed. Where nobody can list them, nobody knows: the role is not run.
fn close_inherited() -> bool {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        // A sealed probe has no such folder, and was started by a cell, which had one.
        return std::env::args_os().any(|argument| argument == PROBE);
    };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&number| number > 2)
        .collect();
    for number in open {
        // The folder itself was among them and is closed already.
        let _closed = nix::unistd::close(number);
    }
    true
}
