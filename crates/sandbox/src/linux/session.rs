//! The engine's side of one job: its clock, its outputs, its limits, and the caller's word.
//!
//! 1. Start the supervisor with a socket as its only descriptor, hand it the order and the command's streams, and wait until the
//!    command begins: from then on the clock runs.
//! 2. Read both outputs as they come; every 50 ms at most, show the caller a [`Pulse`].
//! 3. The first limit that is broken is the end's name. For time, and for the caller's wish, the command is asked first and has its
//!    grace; whoever breaks another limit is killed.
//! 4. The job is over when the supervisor says that nothing is left, has removed what it made, and has exited.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::inner::SUPERVISOR;
use super::streams::{Output, Pipes, Streams};
use super::wire::{
    Broken, Channel, Order, Refusal, Remains, Report, Request, Sample, Status, VERSION,
};
use crate::error::SandboxError;
use crate::job::{Job, Limits};
use crate::level::Level;
use crate::outcome::{End, Outcome, Pulse};
use crate::sandbox::Sandbox;

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(50);

/// What a supervisor may take to start a cell, and to end one after it was told.
const PATIENCE: Duration = Duration::from_secs(60);

/// What still comes out of a pipe when all its writers are dead is there already.
const DRAIN: Duration = Duration::from_secs(1);

/// The caller's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Go,
    Stop,
    Kill,
}

/// One job that was started.
#[derive(Debug)]
pub(crate) struct Session {
    supervisor: Child,
    channel: Channel,
    stdout: Option<Output>,
    stderr: Option<Output>,
    program: std::ffi::OsString,
    limits: Limits,
    began: Option<Instant>,
    ended: Option<(Status, Duration)>,
    latest: Sample,
    looked: bool,
    verdict: Option<End>,
    /// When the supervisor has to be through.
    patience: Option<Instant>,
}

impl Session {
    /// Starts the supervisor.
    pub(crate) fn launch(sandbox: &Sandbox, job: &Job) -> Result<(Self, Pipes), SandboxError> {
        let streams = Streams::open(job)?;
        let (ours, theirs) =
            UnixStream::pair().map_err(SandboxError::system("make a socket pair"))?;
        let helper = sandbox.helper();
        let program = helper.first().cloned().unwrap_or_default();
        let supervisor = Command::new(&program)
            .args(helper.iter().skip(1))
            .arg(SUPERVISOR)
            .env_clear()
            .env("TMPDIR", std::env::temp_dir())
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the engine, which then decides; not for the one who cleans up.
            .process_group(0)
            .spawn()
            .map_err(SandboxError::file("run", program.as_ref()))?;
        let mut session = Self {
            supervisor,
            channel: Channel::new(ours),
            stdout: streams.stdout,
            stderr: streams.stderr,
            program: job.command.first().cloned().unwrap_or_default(),
            limits: job.limits,
            began: None,
            ended: None,
            latest: Sample::default(),
            looked: false,
            verdict: None,
            patience: Some(Instant::now() + PATIENCE),
        };
        let order = Order {
            version: VERSION,
            job: job.clone(),
            level: sandbox.level(),
            helper: helper.to_vec(),
            bubblewrap: (sandbox.level() == Level::Bubblewrap)
                .then(|| sandbox.bubblewrap().map(Into::into))
                .flatten(),
        };
        let [stdin, stdout, stderr] = &streams.theirs;
        session
            .channel
            .send_streams([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
            .and_then(|()| session.channel.send(&order))
            .map_err(lost)?;
        Ok((session, streams.pipes))
    }

    /// Waits until the command begins.
    pub(crate) fn begin(
        &mut self,
        wish: &mut dyn FnMut(Pulse) -> Wish,
    ) -> Result<(), SandboxError> {
        while self.began.is_none() {
            if let Some(remains) = self.turn(wish)? {
                // It was stopped before it began.
                self.patience = None;
                return Err(SandboxError::Lost {
                    how: format!("gave up before the command began ({remains:?})"),
                });
            }
            if self.verdict.is_some() {
                return Ok(());
            }
        }
        self.patience = None;
        Ok(())
    }

    /// Until nothing is left.
    pub(crate) fn finish(
        mut self,
        wish: &mut dyn FnMut(Pulse) -> Wish,
    ) -> Result<Outcome, SandboxError> {
        let remains = loop {
            if let Some(remains) = self.turn(wish)? {
                break remains;
            }
        };
        let wall = match self.ended {
            Some((_, wall)) => wall,
            None => self.elapsed(),
        };
        let until = Instant::now() + DRAIN;
        while self.has_output() && Instant::now() < until {
            self.sleep(Duration::from_millis(10))?;
        }
        self.wait_for_supervisor()?;
        if remains.alive > 0 {
            return Err(SandboxError::Survivors {
                count: remains.alive,
            });
        }
        let tail = |output: Option<Output>| output.map(Output::into_tail).unwrap_or_default();
        let end = self.end(&remains)?;
        Ok(Outcome {
            end,
            wall,
            cpu: Duration::from_micros(remains.cpu_us),
            peak_memory_bytes: remains.peak_memory_bytes,
            stdout: tail(self.stdout.take()),
            stderr: tail(self.stderr.take()),
            stragglers_killed: remains.stragglers,
        })
    }

    fn end(&self, remains: &Remains) -> Result<End, SandboxError> {
        if let Some(verdict) = self.verdict {
            return Ok(verdict);
        }
        if let Some(broken) = remains.broken {
            return Ok(named(broken));
        }
        let over = |output: &Option<Output>| output.as_ref().is_some_and(Output::is_too_long);
        if over(&self.stdout) || over(&self.stderr) {
            return Ok(End::OutputLimit);
        }
        match self.ended {
            Some((Status::Exited(code), _)) => Ok(End::Exited(code)),
            Some((Status::Signalled(signal), _)) => Ok(match signal {
                libc::SIGXCPU if self.limits.cpu.is_some() => End::CpuLimit,
                libc::SIGXFSZ if self.limits.written_bytes.is_some() => End::DiskLimit,
                _ => End::Signalled(signal),
            }),
            None => Err(SandboxError::Lost {
                how: "ended the command without a word why".to_owned(),
            }),
        }
    }

    /// One round: what came, then the limits, then the caller. The remains, when it is over.
    fn turn(
        &mut self,
        wish: &mut dyn FnMut(Pulse) -> Wish,
    ) -> Result<Option<Remains>, SandboxError> {
        if self.sleep(LOOK)?
            && let Some(remains) = self.listen()?
        {
            return Ok(Some(remains));
        }
        self.judge()?;
        let pulse = self.pulse();
        match wish(pulse) {
            Wish::Go => {}
            Wish::Stop => self.condemn(End::Stopped, Request::Stop)?,
            Wish::Kill => {
                self.condemn(End::Stopped, Request::Kill)?;
                // Stop may have been said already.
                let _over = self.channel.send(&Request::Kill);
            }
        }
        if self.patience.is_some_and(|until| Instant::now() > until) {
            return Err(SandboxError::Lost {
                how: format!("did not answer for {} s", PATIENCE.as_secs()),
            });
        }
        Ok(None)
    }

    fn elapsed(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    fn pulse(&self) -> Pulse {
        let total = |output: &Option<Output>| output.as_ref().map_or(0, Output::total);
        Pulse {
            elapsed: self.elapsed(),
            stdout_bytes: total(&self.stdout),
            stderr_bytes: total(&self.stderr),
            memory_bytes: self.looked.then_some(self.latest.memory_bytes),
            cpu: Duration::from_micros(self.latest.cpu_us),
            tasks: self.latest.tasks,
            written_bytes: self.latest.written_bytes,
        }
    }

    fn has_output(&self) -> bool {
        let open = |output: &Option<Output>| output.as_ref().is_some_and(|o| o.pipe().is_some());
        open(&self.stdout) || open(&self.stderr)
    }

    /// Sleeps until something comes, and takes what came from the outputs. Whether the supervisor speaks.
    fn sleep(&mut self, at_most: Duration) -> Result<bool, SandboxError> {
        if self.channel.has_buffered() {
            return Ok(true);
        }
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        let pipe = |output: &'_ Option<Output>| output.as_ref().is_some_and(|o| o.pipe().is_some());
        let open = [pipe(&self.stdout), pipe(&self.stderr)];
        let mut fds = vec![PollFd::new(&self.channel, PollFlags::IN)];
        let outputs = [&self.stdout, &self.stderr];
        for pipe in outputs.iter().filter_map(|output| output.as_ref()?.pipe()) {
            fds.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(SandboxError::system("wait for the command")(e)),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let speaks = ready.next().unwrap_or(false);
        let ready: Vec<bool> = ready.collect();
        let mut ready = ready.into_iter();
        for (output, open) in [&mut self.stdout, &mut self.stderr].into_iter().zip(open) {
            if let (true, Some(output)) = (open, output.as_mut())
                && ready.next().unwrap_or(false)
            {
                output.read()?;
            }
        }
        Ok(speaks)
    }

    fn listen(&mut self) -> Result<Option<Remains>, SandboxError> {
        let report = self.channel.receive::<Report>().map_err(lost)?;
        match report {
            Some(Report::Ready) => self.began = Some(Instant::now()),
            Some(Report::Sample(sample)) => {
                self.latest = sample;
                self.looked = true;
            }
            Some(Report::Ended(status)) => {
                self.ended = Some((status, self.elapsed()));
                self.patience = Some(Instant::now() + PATIENCE);
            }
            Some(Report::Gone(remains)) => return Ok(Some(remains)),
            Some(Report::Refused(Refusal::Program(reason))) => {
                return Err(SandboxError::Program {
                    program: self.program.clone(),
                    reason,
                });
            }
            Some(Report::Refused(Refusal::Step { step, reason })) => {
                return Err(SandboxError::Seal { step, reason });
            }
            None => {
                return Err(SandboxError::Lost {
                    how: "ended by itself".to_owned(),
                });
            }
        }
        Ok(None)
    }

    fn judge(&mut self) -> Result<(), SandboxError> {
        if self.ended.is_some() {
            return Ok(());
        }
        if let Some(broken) = self.latest.broken {
            return self.condemn(named(broken), Request::Kill);
        }
        let over = |output: &Option<Output>| output.as_ref().is_some_and(Output::is_too_long);
        if over(&self.stdout) || over(&self.stderr) {
            return self.condemn(End::OutputLimit, Request::Kill);
        }
        if self.elapsed() > self.limits.wall {
            return self.condemn(End::WallLimit, Request::Stop);
        }
        Ok(())
    }

    /// The first reason stays.
    fn condemn(&mut self, end: End, request: Request) -> Result<(), SandboxError> {
        if self.verdict.is_some() || self.ended.is_some() {
            return Ok(());
        }
        self.verdict = Some(end);
        self.patience = Some(Instant::now() + self.limits.grace + PATIENCE);
        // It may be over just now; then its last word is on its way.
        let _over = self.channel.send(&request);
        Ok(())
    }

    fn wait_for_supervisor(&mut self) -> Result<(), SandboxError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.supervisor.try_wait() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_micros(200)),
                Ok(None) => {
                    return Err(SandboxError::Lost {
                        how: "did not end".to_owned(),
                    });
                }
                Err(e) => return Err(SandboxError::system("wait for the supervisor")(e)),
            }
        }
    }
}

impl Drop for Session {
    /// On every way out: the supervisor is told to kill, and is waited for.
    fn drop(&mut self) {
        let _over = self.channel.send(&Request::Kill);
        if self.wait_for_supervisor().is_err() {
            let _gone = self.supervisor.kill();
            let _gone = self.supervisor.wait();
        }
    }
}

fn named(broken: Broken) -> End {
    match broken {
        Broken::Cpu => End::CpuLimit,
        Broken::Memory => End::MemoryLimit,
        Broken::Processes => End::ProcessLimit,
        Broken::Disk => End::DiskLimit,
    }
}

fn lost(error: io::Error) -> SandboxError {
    SandboxError::Lost {
        how: format!("cannot be talked to: {error}"),
    }
}
