//! How good a seal is: one of three, in words that go into every verdict.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a command is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Namespaces of its own (files, processes, network, IPC, users) made by bubblewrap, and a seccomp filter: what isn't
    /// mounted doesn't exist.
    Bubblewrap,
    /// Landlock and a seccomp filter on the host's own files and processes. What it can't hide or stop:
    /// - that a file outside exists, its size and its times (`stat`), and where a link points (`readlink`);
    /// - changes of mode bits of files of the same user, as far as the owner keeps reading and writing, and nobody gets to
    ///   write: linkers need `chmod`, and no filter sees a path. Every other change of a file's data, owner, times or
    ///   attributes by its path is refused;
    /// - the times of files that it may read, set through the opened file;
    /// - that a process with some number exists (nothing else about it);
    /// - processes that it left behind, where this program and its supervisor are both killed (by SIGKILL, within the same
    ///   moment) and there was no control group: they stay sealed, and live;
    /// - load on the machine.
    ///
    /// What it costs: no `/proc/self`, no `/dev/shm`, no Unix or System V sockets, queues or shared memory (so no Python
    /// `multiprocessing` locks), no `utime` and no `chmod` other than the above, no loopback, no moved mounts; and on
    /// kernels before 6.12 no signals to one's own children.
    Landlock,
    /// Not at all: the limits hold, and nothing else.
    Unsealed,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bubblewrap => "sealed by bubblewrap",
            Self::Landlock => "sealed by Landlock and seccomp (files outside can be seen to exist)",
            Self::Unsealed => "not sealed",
        })
    }
}

/// The program that becomes the cell: an executable, and the arguments that bring it to [`inner::main`](crate::inner::main).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// The executable; `/proc/self/exe` is the caller's own.
    pub program: PathBuf,
    /// What comes before the sandbox's own arguments.
    pub arguments: Vec<OsString>,
}

impl Helper {
    /// A program whose whole purpose it is.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
        }
    }

    /// The running program, reached by `arguments`.
    pub fn own(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }
}

/// One attempt to get out, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What was tried.
    pub tried: String,
    /// Whether it was stopped.
    pub stopped: bool,
    /// By what error, or what got through.
    pub how: String,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.stopped { "stopped" } else { "GOT OUT" };
        write!(f, "{}: {verdict} ({})", self.tried, self.how)
    }
}
