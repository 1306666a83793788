//! A job's three standard streams: what the command gets, and what stays here.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::error::SandboxError;
use crate::job::{Capture, Job, Stdin};
use crate::outcome::Tail;
use crate::tail::Ring;

/// Read at once from an output.
const PIECE_BYTES: usize = 64 << 10;

/// What of a file's content is kept besides the file.
const TAIL_BYTES: usize = 64 << 10;

/// Both ends of everything.
pub(crate) struct Streams {
    /// For the command: its standard input, output and error.
    pub theirs: [OwnedFd; 3],
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub pipes: Pipes,
}

/// The caller's ends of a started job.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    pub stdin: Option<PipeWriter>,
    pub stdout: Option<PipeReader>,
}

impl Streams {
    pub(crate) fn open(job: &Job) -> Result<Self, SandboxError> {
        let mut pipes = Pipes::default();
        let stdin = stdin(&job.stdin, &mut pipes)?;
        let (read, stdout) = pipe()?;
        let stdout_here = if job.stdout == Capture::Piped {
            pipes.stdout = Some(read);
            None
        } else {
            Some(Output::new(read, &job.stdout, job.limits.output_bytes)?)
        };
        let (read, stderr) = pipe()?;
        Ok(Self {
            theirs: [stdin, stdout.into(), stderr.into()],
            stdout: stdout_here,
            stderr: Some(Output::new(read, &job.stderr, job.limits.output_bytes)?),
            pipes,
        })
    }
}

fn pipe() -> Result<(PipeReader, PipeWriter), SandboxError> {
    io::pipe().map_err(SandboxError::system("make a pipe"))
}

fn stdin(from: &Stdin, pipes: &mut Pipes) -> Result<OwnedFd, SandboxError> {
    let open = |path: &std::path::Path| {
        let file = File::open(path).map_err(SandboxError::file("read", path))?;
        Ok(file.into())
    };
    match from {
        Stdin::Empty => open("/dev/null".as_ref()),
        Stdin::File(path) => {
            plain(path).map_err(SandboxError::file("read", path))?;
            open(path)
        }
        Stdin::Bytes(bytes) => in_memory(bytes),
        Stdin::Piped => {
            let (read, write) = pipe()?;
            pipes.stdin = Some(write);
            Ok(read.into())
        }
    }
}

/// A file without a name that nobody can change: no thread has to feed it.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, SandboxError> {
    const ACTION: &str = "keep the command's input in memory";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("stdin", flags).map_err(SandboxError::system(ACTION))?;
    let mut file = File::from(memory);
    file.write_all(bytes)
        .and_then(|()| io::Seek::rewind(&mut file))
        .map_err(SandboxError::system(ACTION))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(SandboxError::system(ACTION))?;
    Ok(file.into())
}

/// Opening a pipe that has a name waits for its other side, perhaps for ever.
fn plain(path: &std::path::Path) -> io::Result<()> {
    if path.metadata()?.is_file() {
        return Ok(());
    }
    Err(io::Error::other("it is not an ordinary file"))
}

/// Where a link lies, somebody may have put it: it is not followed.
fn create(path: &std::path::Path) -> Result<File, SandboxError> {
    if path.exists() {
        plain(path).map_err(SandboxError::file("create", path))?;
    }
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(SandboxError::file("create", path))
}

/// An output as it arrives.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: Option<PipeReader>,
    file: Option<File>,
    ring: Ring,
    limit: u64,
}

impl Output {
    fn new(pipe: PipeReader, capture: &Capture, limit: u64) -> Result<Self, SandboxError> {
        let mut file = None;
        let keep = match capture {
            Capture::Tail(bytes) => *bytes,
            Capture::Discard | Capture::Piped => 0,
            Capture::File(path) => {
                file = Some(create(path)?);
                TAIL_BYTES
            }
        };
        Ok(Self {
            pipe: Some(pipe),
            file,
            ring: Ring::keeping(keep),
            limit,
        })
    }

    /// The pipe, until its end.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is there; to be called when there is something.
    pub(crate) fn read(&mut self) -> Result<(), SandboxError> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let mut piece = [0_u8; PIECE_BYTES];
        match pipe.read(&mut piece) {
            Ok(0) => self.pipe = None,
            Ok(n) => {
                let room = self.limit.saturating_sub(self.ring.total());
                let fits = n.min(usize::try_from(room).unwrap_or(usize::MAX));
                if let Some(file) = &mut self.file {
                    file.write_all(&piece[..fits])
                        .map_err(SandboxError::system("write down the command's output"))?;
                }
                self.ring.push(&piece[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(SandboxError::system("read the command's output")(e)),
        }
        Ok(())
    }

    pub(crate) fn total(&self) -> u64 {
        self.ring.total()
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.ring.total() > self.limit
    }

    pub(crate) fn into_tail(self) -> Tail {
        self.ring.into_tail()
    }
}
