//! A job that runs beside its caller, who talks with it over pipes: the limits are watched by a thread meanwhile.

use std::io::{PipeReader, PipeWriter};

use crate::error::SandboxError;
use crate::outcome::Outcome;

#[cfg(target_os = "linux")]
use {
    crate::linux::session::{Session, Wish},
    crate::linux::streams::Pipes,
    std::sync::Arc,
    std::sync::atomic::{AtomicU8, Ordering},
    std::thread::{self, JoinHandle},
};

/// A started job. Dropping it kills the command and all it started, and waits until that is done.
#[derive(Debug)]
pub struct Running {
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    #[cfg(target_os = "linux")]
    wish: Arc<AtomicU8>,
    #[cfg(target_os = "linux")]
    watcher: Option<JoinHandle<Result<Outcome, SandboxError>>>,
}

impl Running {
    /// Where its standard input is written, once: `None` where it isn't piped, or was taken. It ends when this is dropped.
    pub fn stdin(&mut self) -> Option<PipeWriter> {
        self.stdin.take()
    }

    /// Where its standard output is read, once: `None` where it isn't piped, or was taken.
    pub fn stdout(&mut self) -> Option<PipeReader> {
        self.stdout.take()
    }
}

#[cfg(target_os = "linux")]
impl Running {
    pub(crate) fn watch(session: Session, pipes: Pipes) -> Result<Self, SandboxError> {
        let wish = Arc::new(AtomicU8::new(0));
        let heard = Arc::clone(&wish);
        let watcher = thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || {
                session.finish(&mut |_| match heard.load(Ordering::Relaxed) {
                    0 => Wish::Go,
                    1 => Wish::Stop,
                    _ => Wish::Kill,
                })
            })
            .map_err(SandboxError::system("start a thread"))?;
        Ok(Self {
            stdin: pipes.stdin,
            stdout: pipes.stdout,
            wish,
            watcher: Some(watcher),
        })
    }

    /// Whether it is over, by itself or by a limit.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.watcher.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks it to end (SIGTERM, its grace, SIGKILL), and doesn't wait.
    pub fn stop(&self) {
        self.wish.fetch_max(1, Ordering::Relaxed);
    }

    /// Waits for its end. Pipes that weren't taken are closed first; those that were are the caller's to close.
    ///
    /// # Errors
    /// When something went wrong outside the command.
    pub fn end(mut self) -> Result<Outcome, SandboxError> {
        drop((self.stdin.take(), self.stdout.take()));
        match self.watcher.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) | None => Err(SandboxError::Lost {
                how: "was watched by a thread that failed".to_owned(),
            }),
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Running {
    fn drop(&mut self) {
        self.wish.store(2, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            // Whatever became of the job, nobody asks any more.
            let _outcome = watcher.join();
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Running {
    /// Never reached: nothing starts on this system.
    #[must_use]
    pub fn is_over(&self) -> bool {
        true
    }

    /// Never reached: nothing starts on this system.
    pub fn stop(&self) {}

    /// Never reached: nothing starts on this system.
    ///
    /// # Errors
    /// Always.
    pub fn end(self) -> Result<Outcome, SandboxError> {
        Err(SandboxError::Lost {
            how: "does not exist on this system".to_owned(),
        })
    }
}
