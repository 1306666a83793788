//! What a cell uses, and whether that is more than it may: from its control group where there is one, else from `/proc`.
//!
//! Without a group, memory and processor time are sums over the processes that a look finds. A process that is born and dies
//! between two looks is counted when its parent waits for it, as the system adds it to the parent's account.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::process::{Pid, Signal};

use super::cgroup::Group;
use super::disk::Meter;
use super::scratch::Scratch;
use super::tree::{self, Process};
use super::wire::{Broken, Order, Remains, Sample};
use crate::job::Limits;
use crate::level::Level;

/// How long one look may spend on walking through folders.
const WALK: Duration = Duration::from_millis(5);

/// How long the last one may.
const LAST_WALK: Duration = Duration::from_secs(2);

/// The account of one cell.
#[derive(Debug)]
pub(crate) struct Account {
    limits: Limits,
    group: Group,
    meter: Option<Meter>,
    /// Depth of the command's own process below this one; what is above it is the cell's.
    command_depth: usize,
    own_tasks: u64,
    given: (u64, u64),
    seen: HashMap<(Pid, u64), Duration>,
    cpu: Duration,
    peak_memory: Option<u64>,
    broken: Option<Broken>,
}

impl Account {
    /// `given` is the input's device and inode: it may be in memory, and is the caller's, not the command's.
    pub(crate) fn open(order: &Order, group: Group, scratch: &Scratch, given: (u64, u64)) -> Self {
        let folders = filled_folders(order, scratch);
        let walled = order.level == Level::Bubblewrap;
        Self {
            limits: order.job.limits,
            group,
            meter: order
                .job
                .limits
                .written_bytes
                .map(|_| Meter::start(folders)),
            // Bubblewrap's two and the porter come first.
            command_depth: if walled { 4 } else { 1 },
            own_tasks: if walled { 3 } else { 0 },
            given,
            seen: HashMap::new(),
            cpu: Duration::ZERO,
            peak_memory: None,
            broken: None,
        }
    }

    /// All processes of the cell.
    pub(crate) fn everybody(&self) -> Vec<Process> {
        tree::below(rustix::process::getpid())
    }

    /// Signals the command and all that it started, and not what keeps them.
    pub(crate) fn signal_command(&self, signal: Signal) {
        tree::signal(&self.commands(), signal);
    }

    /// Orphans move up: to bubblewrap's init, where they stand beside the porter, or to the supervisor. The porter alone has to
    /// be told apart from them: it is the init's first child.
    fn commands(&self) -> Vec<Process> {
        let mut all = self.everybody();
        if self.command_depth == 1 {
            return all;
        }
        let porter = all.iter().find(|process| process.depth == 3);
        let porter = porter.map(|process| process.pid);
        all.retain(|process| process.depth >= 3 && Some(process.pid) != porter);
        all
    }

    /// How many processes the command left behind.
    pub(crate) fn count_stragglers(&self) -> u32 {
        self.commands().len() as u32
    }

    pub(crate) fn kill_group(&self) {
        self.group.kill();
    }

    /// One look at everything.
    pub(crate) fn look(&mut self) -> Sample {
        let all = self.everybody();
        self.measure_time(&all);
        let memory = self.measure_memory(&all);
        let tasks: u64 = all.iter().map(|process| process.tasks).sum();
        let tasks = tasks.saturating_sub(self.own_tasks);
        let nameless = self.meter.is_some().then(|| nameless_bytes(&all));
        let written = self.meter.as_mut().map(|meter| meter.look(WALK));
        let written = written.map(|n| n.saturating_add(nameless.unwrap_or_default()));
        self.judge(memory, tasks, written, &all);
        Sample {
            memory_bytes: memory,
            cpu_us: self.cpu.as_micros() as u64,
            tasks,
            written_bytes: written,
            broken: self.broken,
        }
    }

    /// What only the end shows: the last file, and what the group counted.
    pub(crate) fn last_look(&mut self) {
        let all = self.everybody();
        self.measure_time(&all);
        let written = self.meter.as_mut().map(|meter| {
            meter.begin_anew();
            meter.look(LAST_WALK)
        });
        self.judge(0, 0, written, &[]);
    }

    fn measure_time(&mut self, all: &[Process]) {
        let mut below = Duration::ZERO;
        for process in all {
            below += process.own + process.reaped;
            self.seen
                .insert((process.pid, process.started), process.own);
        }
        // Two counts, each with its blind spot: those alive with all that they waited for, and all that were ever seen.
        let known = self.seen.values().sum();
        let counted = (below + reaped()).max(known);
        self.cpu = self.cpu.max(self.group.cpu().unwrap_or(counted));
    }

    fn measure_memory(&mut self, all: &[Process]) -> u64 {
        let now = self.group.memory_bytes().unwrap_or_else(|| {
            let limit = self.limits.memory_bytes.unwrap_or(u64::MAX);
            let mut files = HashSet::new();
            let sum: u64 = all.iter().map(tree::memory_bytes).sum();
            // Memory that is a file without a name and mapped by nobody is in no process's account.
            let held: u64 = all
                .iter()
                .flat_map(tree::nameless_files)
                .filter(|(in_memory, id, _)| *in_memory && *id != self.given && files.insert(*id))
                .map(|(_, _, bytes)| bytes)
                .sum();
            if sum.saturating_add(held) <= limit {
                return sum.saturating_add(held);
            }
            // Forked processes share pages, which the sum counts once for each.
            let exact = all
                .iter()
                .map(|p| tree::shared_memory_bytes(p).unwrap_or_else(|| tree::memory_bytes(p)))
                .sum::<u64>();
            exact.max(held)
        });
        self.peak_memory = self.peak_memory.max(Some(now));
        now
    }

    fn judge(&mut self, memory: u64, tasks: u64, written: Option<u64>, all: &[Process]) {
        let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
        let held = self.group.held();
        let found = if self.group.ran_out_of_memory()
            || (!held.memory && over(memory, self.limits.memory_bytes))
        {
            Some(Broken::Memory)
        } else if self.group.ran_out_of_processes() || over(tasks, self.limits.processes) {
            Some(Broken::Processes)
        } else if self.limits.cpu.is_some_and(|limit| self.cpu > limit) {
            Some(Broken::Cpu)
        } else if written.is_some_and(|used| over(used, self.limits.written_bytes))
            || self.meter.as_ref().is_some_and(Meter::is_blind)
        {
            Some(Broken::Disk)
        } else {
            None
        };
        if self.broken.is_none()
            && let Some(found) = found
        {
            self.broken = Some(found);
            if found == Broken::Processes {
                // A bomb grows faster than anybody decides.
                tree::signal(all, Signal::KILL);
            }
        }
    }

    /// The sum, when nobody is left.
    pub(crate) fn sum(&self, stragglers: u32, alive: u32) -> Remains {
        let cpu = self.group.cpu().unwrap_or_else(|| self.cpu.max(reaped()));
        Remains {
            stragglers,
            cpu_us: cpu.as_micros() as u64,
            peak_memory_bytes: self.group.peak_memory_bytes().or(self.peak_memory),
            broken: self.broken,
            alive,
        }
    }
}

/// Processor time of all children that this process has waited for, and theirs.
fn reaped() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let time = |value: TimeVal| Duration::from_micros(value.num_microseconds().max(0) as u64);
    time(usage.user_time()) + time(usage.system_time())
}

/// Files on the disk that were deleted and are still open: no walk finds them.
fn nameless_bytes(all: &[Process]) -> u64 {
    let mut seen = HashSet::new();
    let files = all.iter().flat_map(tree::nameless_files);
    let on_disk = files.filter(|(in_memory, id, _)| !in_memory && seen.insert(*id));
    on_disk.map(|(_, _, bytes)| bytes).sum()
}

/// The writable folders of the host that a job can fill.
fn filled_folders(order: &Order, scratch: &Scratch) -> Vec<PathBuf> {
    let mounts = order.job.writable.iter().map(|mount| mount.host.clone());
    mounts.chain([scratch.path().to_owned()]).collect()
}
