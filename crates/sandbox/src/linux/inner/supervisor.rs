//! The process between the engine and the cell: one thread, outside the seal, whose only work is that nothing is left.
//!
//! 1. It takes the order and the command's streams, makes the temporary folder and the control group, and starts the cell.
//! 2. It waits for whatever comes first: the cell's word, the end of a child, the engine's word, the next look (every 50 ms).
//! 3. When the command's own process has ended, or the engine said so, or the engine is gone, everything below is killed. It is a
//!    subreaper, so that everything stays below; only when the system says that it has no children left is the job gone.
//! 4. It removes the group and the folder, and says what was used.
//!
//! The engine decides about time and output, which it sees itself; what only this process can see (memory, processor
//! time, processes, disk) is judged here, and the engine is told.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::bubblewrap;
use super::porter::status_of;
use super::{CELL, PORTER};
use crate::level::Level;
use crate::linux::account::Account;
use crate::linux::cgroup::Group;
use crate::linux::scratch::Scratch;
use crate::linux::tree;
use crate::linux::wire::{
    CellOrder, Channel, Order, Refusal, Remains, Report, Request, Status, VERSION,
};

/// Between two looks at what runs.
const LOOK: Duration = Duration::from_millis(50);

/// How long a tree may resist SIGKILL: processes that wait for a dead disk do.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn main() -> ExitCode {
    let Ok(mut engine) = Channel::from_stdin() else {
        return ExitCode::FAILURE;
    };
    match supervise(&mut engine) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let _engine_gone = engine.send(&Report::Refused(refusal));
            ExitCode::FAILURE
        }
    }
}

fn supervise(engine: &mut Channel) -> Result<(), Refusal> {
    let streams = engine
        .receive_streams()
        .map_err(Refusal::step("receive the command's streams"))?;
    let order: Order = engine
        .receive()
        .map_err(Refusal::step("receive the order"))?
        .ok_or("the engine is gone")
        .map_err(Refusal::step("receive the order"))?;
    if order.version != VERSION {
        return Err(Refusal::step("receive the order")(format!(
            "it is in version {}, and this program knows version {VERSION}",
            order.version
        )));
    }
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))
        .map_err(Refusal::step("adopt the command's orphans"))?;
    let parent = std::env::temp_dir();
    let step = || Refusal::step(format!("make a folder in {parent:?}"));
    let scratch = Scratch::make(&parent, own).map_err(step())?;
    if order.level == Level::Bubblewrap {
        fs::create_dir(scratch.path().join(bubblewrap::SHARED)).map_err(step())?;
    }
    let given = rustix::fs::fstat(&streams[0]).map_err(Refusal::step("look at the input"))?;
    let cell = Cell::start(&order, &scratch, streams)?;
    let mut watch = Supervisor {
        account: Account::open(&order, cell.group, &scratch, (given.st_dev, given.st_ino)),
        order,
        cell: cell.channel,
        child: cell.child,
        handle: cell.handle,
        voice: cell.voice,
        ready: false,
        ended: None,
        kill_at: None,
    };
    watch.wait(engine)?;
    let remains = watch.bury();
    let _engine_gone = engine.send(&Report::Gone(remains));
    Ok(())
}

/// What was just started.
struct Cell {
    channel: Channel,
    group: Group,
    child: Pid,
    handle: Option<OwnedFd>,
    voice: File,
}

impl Cell {
    fn start(order: &Order, scratch: &Scratch, streams: [OwnedFd; 3]) -> Result<Self, Refusal> {
        const STEP: &str = "start the cell";
        let (ours, theirs) = UnixStream::pair().map_err(Refusal::step(STEP))?;
        // What bubblewrap says when it fails.
        let (voice, speak) = io::pipe().map_err(Refusal::step(STEP))?;
        let voice = File::from(OwnedFd::from(voice));
        let walled = order.level == Level::Bubblewrap;
        let own_tasks = if walled { 3 } else { 0 };
        let group = Group::make(&order.job, own_tasks, rustix::process::getpid());
        let (mut command, arguments) = command(order, scratch.path())?;
        let spawned = command
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(OwnedFd::from(speak)))
            .spawn();
        drop(command);
        // The child has its own by now; a pipe that we can read ourselves would never break.
        let arguments = arguments.map(|(_, write, words)| (write, words));
        let child = Pid::from_child(&spawned.map_err(Refusal::step(STEP))?);
        group
            .take(child)
            .map_err(Refusal::step("enter the control group"))?;
        // The system kills whoever has the highest score when memory is short: these, before their keeper.
        let score = format!("/proc/{}/oom_score_adj", child.as_raw_nonzero());
        let _not_offered = fs::write(score, "1000");
        if let Some((mut pipe, words)) = arguments {
            // It waits for these, so that all that it starts is in the group.
            pipe.write_all(&words).map_err(Refusal::step(STEP))?;
        }
        let mut channel = Channel::new(ours);
        let [stdin, stdout, stderr] = &streams;
        channel
            .send_streams([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
            .map_err(Refusal::step(STEP))?;
        let held = group.held();
        let by_namespace = walled && counts_by_namespace();
        let limited = order.job.limits.processes.is_some();
        let counted = limited && !held.processes && !by_namespace;
        let user = rustix::process::getuid().as_raw();
        let temporary = match order.level {
            Level::Bubblewrap => OsString::from(bubblewrap::TEMPORARY),
            Level::Landlock | Level::Unsealed => scratch.path().as_os_str().to_owned(),
        };
        let cell_order = CellOrder {
            job: order.job.clone(),
            level: order.level,
            temporary,
            held,
            tasks_before: if counted {
                tree::tasks_of_user(user)
            } else {
                own_tasks
            },
        };
        channel.send(&cell_order).map_err(Refusal::step(STEP))?;
        Ok(Self {
            channel,
            group,
            child,
            // Old kernels have none; then ends are seen at the next look.
            handle: rustix::process::pidfd_open(child, PidfdFlags::empty()).ok(),
            voice,
        })
    }
}

/// Since Linux 5.14 the limit on a user's processes counts those of the user namespace.
fn counts_by_namespace() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    (next(), next()) >= (Some(5), Some(14))
}

type Arguments = Option<(io::PipeReader, io::PipeWriter, Vec<u8>)>;

/// The program to start, and bubblewrap's arguments, which it reads from a descriptor: there may be more than a command line holds.
fn command(order: &Order, scratch: &Path) -> Result<(Command, Arguments), Refusal> {
    const STEP: &str = "start the cell";
    let [program, leading @ ..] = order.helper.as_slice() else {
        return Err(Refusal::step(STEP)("no helper was named"));
    };
    let Some(bubblewrap) = &order.bubblewrap else {
        let mut command = Command::new(program);
        command.args(leading).arg(CELL);
        return Ok((command, None));
    };
    let (read, write) = io::pipe().map_err(Refusal::step(STEP))?;
    // This process has one thread: nobody else's child can get hold of it.
    rustix::io::fcntl_setfd(&read, rustix::io::FdFlags::empty()).map_err(Refusal::step(STEP))?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&read).to_string();
    let mut words = Vec::new();
    for word in bubblewrap::arguments(order, scratch) {
        words.extend_from_slice(word.as_encoded_bytes());
        words.push(0);
    }
    let mut command = Command::new(bubblewrap);
    command.arg("--args").arg(number);
    let inside = [bubblewrap::HELPER.into()];
    let helper: Vec<&OsString> = inside.iter().chain(leading).collect();
    command.args(&helper).arg(PORTER).args(&helper).arg(CELL);
    Ok((command, Some((read, write, words))))
}

struct Supervisor {
    order: Order,
    account: Account,
    cell: Channel,
    child: Pid,
    handle: Option<OwnedFd>,
    voice: File,
    ready: bool,
    ended: Option<Status>,
    kill_at: Option<Instant>,
}

/// What a round of waiting brought.
enum Turn {
    On,
    Over,
}

impl Supervisor {
    /// Until the command has ended or has to.
    fn wait(&mut self, engine: &mut Channel) -> Result<(), Refusal> {
        let mut look_at = Instant::now() + LOOK;
        loop {
            let mut until = look_at;
            if let Some(kill_at) = self.kill_at {
                until = until.min(kill_at);
            }
            let (engine_speaks, cell_speaks) = self.sleep(engine, until)?;
            if engine_speaks && matches!(self.hear_engine(engine), Turn::Over) {
                return Ok(());
            }
            if cell_speaks {
                self.hear_cell(engine)?;
            }
            self.reap();
            if let Some(status) = self.ended {
                // What it said last comes first.
                if !self.ready {
                    self.hear_cell(engine)?;
                }
                if !self.ready {
                    return Err(self.failed_to_start(status));
                }
                let _engine_gone = engine.send(&Report::Ended(status));
                return Ok(());
            }
            let now = Instant::now();
            if self.kill_at.is_some_and(|kill_at| now >= kill_at) {
                return Ok(());
            }
            if now >= look_at {
                look_at = now + LOOK;
                let sample = self.account.look();
                if self.ready && engine.send(&Report::Sample(sample)).is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Sleeps until somebody speaks, a child ends, or it is time; says who spoke: the engine, the cell.
    fn sleep(&self, engine: &Channel, until: Instant) -> Result<(bool, bool), Refusal> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.min(LOOK).subsec_nanos()),
        };
        let mut fds = vec![
            PollFd::new(engine, PollFlags::IN),
            PollFd::new(&self.cell, PollFlags::IN),
        ];
        if let Some(handle) = &self.handle {
            fds.push(PollFd::new(handle, PollFlags::IN));
        }
        if self.cell_is_silent() {
            fds.swap_remove(1);
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Refusal::step("wait")(e)),
        }
        let speaks = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
        let cell = !self.cell_is_silent() && speaks(fds.get(1));
        Ok((speaks(fds.first()), cell))
    }

    /// Without a porter, nobody holds the cell's socket once it has become the command.
    fn cell_is_silent(&self) -> bool {
        self.ready && self.order.level != Level::Bubblewrap
    }

    fn hear_engine(&mut self, engine: &mut Channel) -> Turn {
        loop {
            match engine.receive::<Request>() {
                Ok(Some(Request::Stop)) => {
                    if self.kill_at.is_none() {
                        self.kill_at = Some(Instant::now() + self.order.job.limits.grace);
                        self.account.signal_command(Signal::TERM);
                        // A stopped process could not hear it.
                        self.account.signal_command(Signal::CONT);
                    }
                }
                Ok(Some(Request::Kill) | None) | Err(_) => return Turn::Over,
            }
            if !engine.has_buffered() {
                return Turn::On;
            }
        }
    }

    fn hear_cell(&mut self, engine: &mut Channel) -> Result<(), Refusal> {
        loop {
            match self.cell.receive::<Report>() {
                Ok(Some(Report::Ready)) => {
                    self.ready = true;
                    let silent = self.cell_is_silent();
                    if silent {
                        self.hear_last_refusal()?;
                    }
                    let _engine_gone = engine.send(&Report::Ready);
                    if silent {
                        return Ok(());
                    }
                }
                Ok(Some(Report::Refused(refusal))) => return Err(refusal),
                Ok(Some(Report::Ended(status))) => self.ended = Some(status),
                Ok(Some(Report::Sample(_) | Report::Gone(_)) | None) | Err(_) => return Ok(()),
            }
            if !self.cell.has_buffered() {
                return Ok(());
            }
        }
    }

    /// After "ready" comes the `exec`, which closes the socket; where it fails, a word comes first.
    fn hear_last_refusal(&mut self) -> Result<(), Refusal> {
        match self.cell.receive::<Report>() {
            Ok(Some(Report::Refused(refusal))) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Waits for all that ended, orphans too.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.child
                && let Some(status) = status_of(status)
            {
                self.handle = None;
                self.ended = self.ended.or(Some(status));
            }
        }
    }

    fn failed_to_start(&mut self, status: Status) -> Refusal {
        let mut words = Vec::new();
        self.bury();
        let _silent = (&self.voice).take(4096).read_to_end(&mut words);
        let words = String::from_utf8_lossy(&words);
        Refusal::Step {
            step: "start the cell".to_owned(),
            reason: format!("it ended ({status:?}): {}", words.trim()),
        }
    }

    /// Kills all that is left, waits until the system says that nothing is, and adds up.
    fn bury(&mut self) -> Remains {
        let stragglers = match self.ended {
            Some(_) => self.account.count_stragglers(),
            None => 0,
        };
        self.account.last_look();
        let until = Instant::now() + KILL_PATIENCE;
        self.account.kill_group();
        let mut alive = 0;
        loop {
            let all = self.account.everybody();
            tree::signal(&all, Signal::KILL);
            match drain_children() {
                Drained::Nobody => break,
                Drained::Some if Instant::now() > until => {
                    alive = all.len() as u32;
                    break;
                }
                Drained::Some => thread::sleep(Duration::from_micros(200)),
            }
        }
        self.account.sum(stragglers, alive)
    }
}

impl Drop for Supervisor {
    /// On every way out, refusals too.
    fn drop(&mut self) {
        self.bury();
    }
}

enum Drained {
    Nobody,
    Some,
}

fn drain_children() -> Drained {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return Drained::Some,
            Err(_) => return Drained::Nobody,
        }
    }
}
