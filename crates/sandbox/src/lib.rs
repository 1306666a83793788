//! Commands of strangers, run behind a seal: what they may see, write and spend, and nothing of them left afterwards.
//!
//! 1. [`Sandbox::detect`] finds the best seal that this machine can make, and tries to break it: only a seal that held is used.
//!    [`Level`] says which it is, and what it can't do.
//! 2. A [`Job`] lists everything a command gets. What isn't listed isn't there.
//! 3. [`Sandbox::run`] runs it to its end; [`Sandbox::start`] lets a caller talk with it. Time is measured here, never by the
//!    command; the [`Outcome`] says which limit ended it, if one did.
//! 4. When a job is over nothing is left of it: no process, no control group, no temporary folder. That holds when this program is
//!    killed too: a supervisor of its own outlives it by just that work.
//!
//! # Invariants
//! - No `unsafe`: whatever restricts a process is done by a helper of one thread to itself, through safe crates, before it becomes
//!   the command (Linux's `linux/inner`). A program reaches it by a [`Helper`], whose arguments lead to [`inner::main`].
//! - It fails closed: a step that can't be done ends in an error, not in a weaker seal.
//! - The command's words are never believed. Its exit code is its own word too.
//!
//! The crate knows no tracks, no scores and no judges. Elsewhere than on Linux it compiles and says [`Unavailable`].

mod error;
mod job;
mod level;
#[cfg(target_os = "linux")]
mod linux;
mod outcome;
mod running;
mod sandbox;
#[cfg(target_os = "linux")]
mod tail;
mod toolchain;

pub use error::{SandboxError, Unavailable};
pub use job::{Capture, Job, Limits, Mount, Network, Stdin};
pub use level::{Helper, Level, Probe};
pub use outcome::{Continue, End, Outcome, Pulse, Tail};
pub use running::Running;
pub use sandbox::Sandbox;
pub use toolchain::{Toolchain, toolchain};

/// What the helper program runs.
pub mod inner {
    #[cfg(target_os = "linux")]
    pub use crate::linux::inner::main;

    /// There is nothing to run on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn main(
        _arguments: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> std::process::ExitCode {
        std::process::ExitCode::FAILURE
    }
}
