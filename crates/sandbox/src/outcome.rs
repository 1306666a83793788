//! How a job went: measured from outside, by the caller's clock and the system's counters, never by the command's own words.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A job while it runs; shown to the caller at least every 100 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Since the command began.
    pub elapsed: Duration,
    /// Standard output so far, dropped bytes included.
    pub stdout_bytes: u64,
    /// Standard error so far.
    pub stderr_bytes: u64,
    /// Of all its processes, where it was measured already.
    pub memory_bytes: Option<u64>,
    /// Of all its processes.
    pub cpu: Duration,
    /// Processes and threads.
    pub tasks: u64,
    /// Added to the writable folders, where that is limited and was measured already.
    pub written_bytes: Option<u64>,
}

/// The caller's answer to a [`Pulse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continue {
    /// Go on.
    Yes,
    /// End it: SIGTERM, the grace, SIGKILL.
    Stop,
}

/// Why a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which was not the sandbox's.
    Signalled(i32),
    /// It ran too long.
    WallLimit,
    /// It used too much processor time.
    CpuLimit,
    /// It used too much memory.
    MemoryLimit,
    /// It made too many processes or threads.
    ProcessLimit,
    /// It wrote too much, or what it wrote could not be measured (a folder too deep, or closed to its owner).
    DiskLimit,
    /// It printed too much.
    OutputLimit,
    /// The caller stopped it.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::WallLimit => f.write_str("ran longer than it may"),
            Self::CpuLimit => f.write_str("used more processor time than it may"),
            Self::MemoryLimit => f.write_str("used more memory than it may"),
            Self::ProcessLimit => f.write_str("made more processes than it may"),
            Self::DiskLimit => f.write_str("wrote more to the disk than it may"),
            Self::OutputLimit => f.write_str("printed more than it may"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// The end of an output: what a person reads first when something broke.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The last bytes. They are a stranger's: quote them before they are shown.
    pub bytes: Vec<u8>,
    /// All bytes there were.
    pub total: u64,
}

/// How a job went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// From the moment the command began to the moment it ended, by the caller's clock.
    pub wall: Duration,
    /// Processor time of all its processes. With a control group (v2) to the microsecond; without one, processes that hide
    /// their end from their parent are counted up to the last look at them, 50 ms before. The cell's own start is in it.
    pub cpu: Duration,
    /// With a control group the system's own peak; else the largest sum that was seen, looking every 50 ms; `None` where
    /// it was over before the first look.
    pub peak_memory_bytes: Option<u64>,
    /// Standard output.
    pub stdout: Tail,
    /// Standard error.
    pub stderr: Tail,
    /// Processes that it left behind, and that are gone now.
    pub stragglers_killed: u32,
}
