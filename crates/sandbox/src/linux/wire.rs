//! What the engine, the supervisor and the cell tell each other, and how: one JSON document a line on a socket pair.
//!
//! 1. The first message of a side carries one byte and the command's three descriptors (SCM_RIGHTS): the helper itself is
//!    started with nothing but a socket as its standard input, so that no descriptor has to be inheritable, not for a moment, in
//!    a program with many threads.
//! 2. Then come lines. The socket is the lifeline too: it closes when the other side dies, however it dies.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::level::Level;

/// Raised with every change of these types: the helper may be another build than the engine.
pub(crate) const VERSION: u32 = 1;

/// A line longer than this is nobody's that we know.
const LINE_LIMIT_BYTES: u64 = 64 << 20;

/// Engine to supervisor: everything about a job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub version: u32,
    pub job: Job,
    pub level: Level,
    /// The helper's real path and leading arguments.
    pub helper: Vec<OsString>,
    /// Where bubblewrap is.
    pub bubblewrap: Option<OsString>,
}

/// Engine to supervisor, later.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// SIGTERM now, SIGKILL after the job's grace.
    Stop,
    /// SIGKILL now.
    Kill,
}

/// Supervisor to cell: what is left to do inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CellOrder {
    pub job: Job,
    pub level: Level,
    /// The temporary folder, as it is called inside.
    pub temporary: OsString,
    /// What a control group already holds, so that the cell need not.
    pub held: Held,
    /// How many tasks this user has already, all over the machine (where that is what the limit counts).
    pub tasks_before: u64,
}

/// Which limits a control group keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub memory: bool,
    pub processes: bool,
    pub processors: bool,
}

/// Cell to supervisor, and supervisor to engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The next thing that happens is the command's `exec`.
    Ready,
    /// It did not happen.
    Refused(Refusal),
    /// A look at what runs.
    Sample(Sample),
    /// The command's own process ended.
    Ended(Status),
    /// Nothing is left of it.
    Gone(Remains),
}

/// Why no command was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The program itself cannot be run.
    Program(String),
    /// Something on the way there.
    Step { step: String, reason: String },
}

impl Refusal {
    pub(crate) fn step<E: ToString>(step: impl Into<String>) -> impl FnOnce(E) -> Self {
        let step = step.into();
        move |reason| Self::Step {
            step,
            reason: reason.to_string(),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Exited(i32),
    Signalled(i32),
}

/// What runs, at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub memory_bytes: u64,
    pub cpu_us: u64,
    pub tasks: u64,
    pub written_bytes: Option<u64>,
    /// A limit that was seen to be reached.
    pub broken: Option<Broken>,
}

/// A limit that the supervisor sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Broken {
    Cpu,
    Memory,
    Processes,
    Disk,
}

/// The sum, when all is over.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Remains {
    pub stragglers: u32,
    pub cpu_us: u64,
    pub peak_memory_bytes: Option<u64>,
    pub broken: Option<Broken>,
    /// Processes that could not be killed in time.
    pub alive: u32,
}

/// One end of a socket pair.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: BufReader<UnixStream>,
}

impl Channel {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self {
            socket: BufReader::new(socket),
        }
    }

    /// The end that the program was started with, as its standard input.
    pub(crate) fn from_stdin() -> io::Result<Self> {
        let own = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self::new(UnixStream::from(own)))
    }

    /// Sends the command's standard input, output and error.
    pub(crate) fn send_streams(&self, streams: [BorrowedFd<'_>; 3]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&streams)) {
            return Err(io::Error::other("three descriptors do not fit"));
        }
        rustix::net::sendmsg(
            self.socket.get_ref(),
            &[IoSlice::new(b"S")],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }

    /// Receives them; they close by themselves at an `exec`.
    pub(crate) fn receive_streams(&mut self) -> io::Result<[OwnedFd; 3]> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0_u8; 1];
        rustix::net::recvmsg(
            self.socket.get_ref(),
            &mut [IoSliceMut::new(&mut byte)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut streams = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                streams.extend(rights);
            }
        }
        streams
            .try_into()
            .map_err(|_| io::Error::other("the first message does not hold three descriptors"))
    }

    pub(crate) fn send<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.socket.get_mut().write_all(&line)
    }

    /// The next message; `None` when the other side is gone.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        let limited = &mut self.socket;
        match limited.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line) {
            // A side that dies with unread messages resets the connection: gone all the same.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            read => read?,
        };
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// Whether a message was read ahead, which no poll would tell.
    pub(crate) fn has_buffered(&self) -> bool {
        self.socket.buffer().contains(&b'\n')
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}
