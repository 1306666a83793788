//! Two pipes to a process that may be hostile: one question, one answer of a known length, one clock, one limit.
//!
//! Both pipes are non-blocking and one thread serves them with `poll`: whatever the other side does (answers early, stops reading,
//! floods, closes, sleeps), the judge neither waits beyond the limit nor reads more than it asked for.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// The last bytes of a question, sent when it is known that nothing was answered before.
const LAST_BYTES: usize = 4;

/// A question and how it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) bytes: &'a [u8],
    /// Of the answer.
    pub(crate) wanted_bytes: usize,
    /// How long all of it may take.
    pub(crate) limit: Duration,
    /// Whether an answer may begin before all of the question was sent; where it may not, the last bytes are held back this long.
    pub(crate) hold: Option<Duration>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// From the first byte sent to the last byte received.
    pub(crate) seconds: f64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Cut {
    /// There are bytes that nobody asked for.
    Unasked,
    /// It answered a question that it had not heard the end of.
    Early { sent: usize },
    /// Its time was over.
    Late { got: usize },
    /// It closed a pipe.
    Closed { got: usize },
    /// The system.
    System(io::Error),
}

impl From<Errno> for Cut {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// The judge's ends.
#[derive(Debug)]
pub(crate) struct Channel {
    to: OwnedFd,
    from: OwnedFd,
}

impl Channel {
    pub(crate) fn of_pipes(to: PipeWriter, from: PipeReader) -> io::Result<Self> {
        Self::of(to.into(), from.into())
    }

    pub(crate) fn of_child(to: ChildStdin, from: ChildStdout) -> io::Result<Self> {
        Self::of(to.into(), from.into())
    }

    fn of(to: OwnedFd, from: OwnedFd) -> io::Result<Self> {
        for end in [&to, &from] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        Ok(Self { to, from })
    }

    /// Whether nothing has come, after waiting so long for something.
    pub(crate) fn is_quiet(&self, wait: Duration) -> Result<(), Cut> {
        let end = Instant::now() + wait;
        if !self.wait(PollFlags::empty(), end)?.0 {
            return Ok(());
        }
        match rustix::io::read(&self.from, &mut [0; 1]) {
            Ok(0) => Err(Cut::Closed { got: 0 }),
            Ok(_) => Err(Cut::Unasked),
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks, and takes the answer.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<Reply, Cut> {
        self.is_quiet(Duration::ZERO)?;
        // Written once here, so that no page of it is new while the clock runs.
        let mut reply = vec![1; question.wanted_bytes];
        let begin = Instant::now();
        let end = begin + question.limit;
        let all = question.bytes;
        let held = question.hold.map_or(0, |_| LAST_BYTES.min(all.len()));
        let (mut sent, mut got) = (0, 0);
        if let Some(hold) = question.hold {
            sent = self.send_all(&all[..all.len() - held], end, 0)?;
            match self.is_quiet(hold) {
                Err(Cut::Unasked) => return Err(Cut::Early { sent }),
                other => other?,
            }
        }
        while got < reply.len() || sent < all.len() {
            let wish = if sent < all.len() {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            let (readable, writable) = self.wait(wish, end)?;
            if readable && got < reply.len() {
                match rustix::io::read(&self.from, &mut reply[got..]) {
                    Ok(0) => return Err(Cut::Closed { got }),
                    Ok(more) => got += more,
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            } else if readable {
                return Err(Cut::Unasked);
            }
            if writable {
                sent += self.send(&all[sent..], got)?;
            }
            if !readable && !writable && Instant::now() >= end {
                return Err(Cut::Late { got });
            }
        }
        Ok(Reply {
            bytes: reply,
            seconds: begin.elapsed().as_secs_f64(),
        })
    }

    /// Sends while listening for an answer that comes too early.
    fn send_all(&self, bytes: &[u8], end: Instant, got: usize) -> Result<usize, Cut> {
        let mut sent = 0;
        while sent < bytes.len() {
            let (readable, writable) = self.wait(PollFlags::OUT, end)?;
            if readable {
                match self.is_quiet(Duration::ZERO) {
                    Err(Cut::Unasked) => return Err(Cut::Early { sent }),
                    other => other?,
                }
            }
            if writable {
                sent += self.send(&bytes[sent..], got)?;
            } else if Instant::now() >= end {
                return Err(Cut::Late { got });
            }
        }
        Ok(sent)
    }

    fn send(&self, bytes: &[u8], got: usize) -> Result<usize, Cut> {
        match rustix::io::write(&self.to, bytes) {
            Ok(more) => Ok(more),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(Errno::PIPE) => Err(Cut::Closed { got }),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until there is something to read (or the end of it), or `wish` of the other pipe, or `end`.
    fn wait(&self, wish: PollFlags, end: Instant) -> Result<(bool, bool), Cut> {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        let mut ends = [
            PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.to.as_fd(), wish),
        ];
        let count = if wish.is_empty() { 1 } else { 2 };
        match poll(&mut ends[..count], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let readable = !ends[0].revents().is_empty();
        Ok((readable, count == 2 && !ends[1].revents().is_empty()))
    }
}

#[cfg(test)]
mod tests;
