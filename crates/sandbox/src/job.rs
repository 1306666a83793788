//! What is to be run, and what it may see, write and spend: the whole of a cell's contract in plain data.
//!
//! Nothing here asks the system anything. Whatever a [`Job`] doesn't list, the command doesn't get: no environment, no
//! descriptors, no folders and no network are inherited from the caller.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One command and its seal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The program and its arguments; a name without `/` is looked up on the cell's own `PATH`.
    pub command: Vec<OsString>,
    /// The working folder, as it is called inside; it has to lie in a mount (or in a system folder, where `system` is on).
    #[serde(with = "bytes")]
    pub folder: PathBuf,
    /// What may be read and executed.
    pub read_only: Vec<Mount>,
    /// What may be changed too.
    pub writable: Vec<Mount>,
    /// Added to the pinned `PATH`, `HOME`, `TMPDIR` and `LANG`, and stronger than they are.
    pub environment: BTreeMap<String, String>,
    /// What it reads on its standard input.
    #[serde(skip)]
    pub stdin: Stdin,
    /// What it may spend.
    pub limits: Limits,
    /// Whom it may talk to.
    pub network: Network,
    /// The processors it may run on; all of the caller's where this is `None`. What it could do to widen that is refused.
    pub processors: Option<Vec<usize>>,
    /// Whether the graphics cards' devices are there.
    pub gpu: bool,
    /// Whether the system's programs and libraries are there, read-only.
    pub system: bool,
    /// What becomes of its standard output.
    #[serde(skip)]
    pub stdout: Capture,
    /// What becomes of its standard error.
    #[serde(skip)]
    pub stderr: Capture,
}

impl Job {
    /// `command` in `folder`, which it may change; with the system's programs, no network, an empty standard input, and the
    /// last bytes of both outputs kept.
    pub fn new(
        command: impl IntoIterator<Item = impl Into<OsString>>,
        folder: impl Into<PathBuf>,
        limits: Limits,
    ) -> Self {
        let folder = folder.into();
        Self {
            command: command.into_iter().map(Into::into).collect(),
            writable: vec![Mount::at(&folder)],
            folder,
            read_only: Vec::new(),
            environment: BTreeMap::new(),
            stdin: Stdin::Empty,
            limits,
            network: Network::None,
            processors: None,
            gpu: false,
            system: true,
            stdout: Capture::default(),
            stderr: Capture::default(),
        }
    }

    /// All mounts, the outer before the inner, so that a folder in another one keeps its own rule; with whether it is writable.
    #[cfg(target_os = "linux")]
    pub(crate) fn mounts(&self) -> Vec<(&Mount, bool)> {
        let read_only = self.read_only.iter().map(|mount| (mount, false));
        let writable = self.writable.iter().map(|mount| (mount, true));
        let mut all: Vec<_> = read_only.chain(writable).collect();
        all.sort_by_key(|(mount, _)| mount.inside.components().count());
        all
    }
}

/// A file or folder of the host, and where it is in the cell. Links are followed: don't list a path that an earlier candidate
/// could have replaced.
///
/// Under bubblewrap a mount inside another keeps its own rule, but a writable folder above it can be renamed around it: what a judge
/// reads afterwards has to be its own copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the host.
    #[serde(with = "bytes")]
    pub host: PathBuf,
    /// Where it is in the cell. Only [`Level::Bubblewrap`](crate::Level::Bubblewrap) can move a path: at the other levels the
    /// two have to be equal, so that a track that is to run everywhere uses [`Mount::at`].
    #[serde(with = "bytes")]
    pub inside: PathBuf,
}

impl Mount {
    /// `path`, where it is.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self {
            host: path.as_ref().to_owned(),
            inside: path.as_ref().to_owned(),
        }
    }
}

/// What a command may spend. Reaching a limit ends it, and the [`End`](crate::End) says which limit it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// By the caller's clock, from the moment the command itself begins.
    pub wall: Duration,
    /// Between the request to end (SIGTERM) and the end (SIGKILL).
    pub grace: Duration,
    /// Processor time of all its processes together.
    pub cpu: Option<Duration>,
    /// Memory of all its processes together: a control group's, else their anonymous and shared memory, looked at every 50 ms,
    /// with a quarter and 64 MiB more as the most that one process gets at all.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at one time, counted as the system counts them: a thread is one; the cell's own few are not in it.
    /// Without a control group it is looked at every 50 ms, with 16 more as the most that there ever are: who goes beyond and
    /// comes back within that time is held, and not found out.
    pub processes: Option<u64>,
    /// What it may add to the writable folders and its temporary folder, in blocks on the disk; and each file's size. Measured
    /// by walking, so that a fast writer is found after some tens of milliseconds, and the first walk is over before it begins.
    pub written_bytes: Option<u64>,
    /// Of standard output, and of standard error.
    pub output_bytes: u64,
}

impl Limits {
    /// `wall`, one second of grace, 64 MiB of each output, and nothing else limited.
    #[must_use]
    pub const fn wall(wall: Duration) -> Self {
        Self {
            wall,
            grace: Duration::from_secs(1),
            cpu: None,
            memory_bytes: None,
            processes: None,
            written_bytes: None,
            output_bytes: 64 << 20,
        }
    }
}

/// Whom a command may talk to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nobody outside the cell.
    #[default]
    None,
    /// Itself, over a loopback of its own. Needs [`Level::Bubblewrap`](crate::Level::Bubblewrap): the host's loopback
    /// is full of the host's services, and the other levels have no second one.
    Loopback,
    /// Everybody the host can reach over IP. Sockets of other kinds stay refused.
    Host,
}

/// What a command reads on its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: its end, at once.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// This file's, opened by the caller: it need not be in a mount.
    File(PathBuf),
    /// What the caller writes to [`Running::stdin`](crate::Running::stdin). Only for a started job.
    Piped,
}

/// What becomes of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The last bytes are kept, so many at most.
    Tail(usize),
    /// All of it goes to this file (made anew), and the last 64 KiB are kept.
    File(PathBuf),
    /// It is counted and dropped.
    Discard,
    /// The caller reads it from [`Running::stdout`](crate::Running::stdout), at their own pace and uncounted. Only for the
    /// standard output of a started job.
    Piped,
}

impl Default for Capture {
    fn default() -> Self {
        Self::Tail(64 << 10)
    }
}

/// Paths as the bytes they are: a file's name need not be UTF-8, and a serialised path would have to be.
mod bytes {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        AsRef::<OsStr>::as_ref(path).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }
}
