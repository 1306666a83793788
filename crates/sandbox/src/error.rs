//! What can go wrong outside the command: each with what was expected, what came, and the next step.
//!
//! A command that fails is no error: that is an [`Outcome`](crate::Outcome).

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::Level;

/// No seal can be made on this machine, or not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("commands cannot be sealed on this machine: {}; {remedy}", .reasons.join("; "))]
pub struct Unavailable {
    /// What was tried, and why it did not do.
    pub reasons: Vec<String>,
    /// What the user can do.
    pub remedy: String,
}

/// A job could not be run, or not be kept to its contract.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// There is no command.
    #[error("the job has no command: name a program")]
    NoCommand,
    /// A path of the job is not absolute, or goes up.
    #[error("{what} must be an absolute path without `..`, not {path:?}")]
    Relative {
        /// Which.
        what: &'static str,
        /// What came.
        path: PathBuf,
    },
    /// A path that is to be mounted is not there.
    #[error("cannot mount {path:?}: {source}; create it, or leave it out of the job")]
    Mount {
        /// The path on the host.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The working folder is in no mount.
    #[error("the working folder {folder:?} is not in the cell: mount it, or a folder above it")]
    FolderOutside {
        /// The folder.
        folder: PathBuf,
    },
    /// The level cannot keep a promise that the job needs.
    #[error("a command that is {level} cannot have {what}; install bubblewrap, or {remedy}")]
    Unsupported {
        /// The level.
        level: Level,
        /// What it cannot have.
        what: String,
        /// What can be changed in the job.
        remedy: &'static str,
    },
    /// An output or input that only a started job can have.
    #[error("{what} can be piped only in a job that is started, not in one that is run")]
    Piped {
        /// Which.
        what: &'static str,
    },
    /// An input, output or temporary file of the caller's.
    #[error("cannot {action} {path:?}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something that every job needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The program is not there, or is none.
    #[error(
        "cannot run {program:?} in the cell: {reason}; check that it is installed in a system folder or a mount"
    )]
    Program {
        /// The first word of the command.
        program: OsString,
        /// What the system said.
        reason: String,
    },
    /// The cell could not be closed, and so the command was not run.
    #[error("the cell could not be closed, so nothing was run: {step}: {reason}")]
    Seal {
        /// What was being done.
        step: String,
        /// What the system said.
        reason: String,
    },
    /// Something outlived SIGKILL, which only a wait for a broken device does.
    #[error(
        "{count} processes of the command could not be killed: look for a disk or network folder that hangs"
    )]
    Survivors {
        /// How many.
        count: u32,
    },
    /// The helper ended or answered nonsense.
    #[error(
        "the program that keeps the cell {how}; if it was replaced while it ran, start again; if memory is short, free some"
    )]
    Lost {
        /// What became of it.
        how: String,
    },
}

#[cfg(target_os = "linux")]
impl SandboxError {
    pub(crate) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }
}
