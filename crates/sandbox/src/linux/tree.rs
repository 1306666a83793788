//! The processes below one process, as `/proc` shows them: counted, measured and signalled.
//!
//! The supervisor is a subreaper: whoever loses its parent below it becomes its child, so that nobody leaves the tree by
//! forking twice, by a new session, or by a new process group. What `/proc` shows may be out of date while it is read: for
//! the question whether anybody is left, ask `wait` instead.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: Pid,
    /// How many steps below the root; its children are 1.
    pub depth: usize,
    /// Clock ticks since the machine started: a number that was given out twice is told apart by it.
    pub started: u64,
    pub tasks: u64,
    /// A thread whose memory and files are the process's: the first one may have ended before the others.
    thread: Pid,
    /// Its own processor time.
    pub own: Duration,
    /// That of children that it has waited for.
    pub reaped: Duration,
}

impl Process {
    fn file(&self, name: &str) -> String {
        let (process, thread) = (self.pid.as_raw_nonzero(), self.thread.as_raw_nonzero());
        // Only under its process is a thread's entry the same as the process's: by its own number it may not be listed.
        if process == thread {
            format!("/proc/{process}/{name}")
        } else {
            format!("/proc/{process}/task/{thread}/{name}")
        }
    }
}

/// All processes below `root`, parents first.
pub(crate) fn below(root: Pid) -> Vec<Process> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut ring = vec![root];
    let mut depth = 0;
    while !ring.is_empty() {
        depth += 1;
        let mut next = Vec::new();
        for parent in ring {
            for pid in children(parent) {
                if !seen.insert(pid) {
                    continue;
                }
                next.push(pid);
                if let Some(process) = read(pid, depth) {
                    found.push(process);
                }
            }
        }
        ring = next;
    }
    found
}

/// The children of all of its threads.
fn children(parent: Pid) -> Vec<Pid> {
    let folder = format!("/proc/{}/task", parent.as_raw_nonzero());
    let Ok(tasks) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_ascii_whitespace();
            pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn read(pid: Pid, depth: usize) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let Stat {
        ended,
        started,
        tasks,
        own,
        reaped,
    } = parse(&stat)?;
    if ended && tasks < 2 {
        // Dead, and not waited for yet.
        return None;
    }
    let thread = if ended { living_thread(pid) } else { None };
    Some(Process {
        thread: thread.unwrap_or(pid),
        pid,
        depth,
        started,
        tasks,
        own: ticks(own),
        reaped: ticks(reaped),
    })
}

fn living_thread(pid: Pid) -> Option<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).ok()?;
    tasks.flatten().find_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        if parse(&stat)?.ended {
            return None;
        }
        Pid::from_raw(task.file_name().to_str()?.parse().ok()?)
    })
}

/// The fields of a line of `/proc/PID/stat` that we need; times in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ended: bool,
    started: u64,
    tasks: u64,
    own: u64,
    reaped: u64,
}

/// The name in the line is in brackets and may hold anything, brackets too.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc(5) counts from 1, and the state, the first after the name, is its third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let own = field(14)?.checked_add(field(15)?)?;
    let reaped = field(16)?.checked_add(field(17)?)?;
    Some(Stat {
        ended: matches!(fields.first(), Some(&("Z" | "X"))),
        started: field(22)?,
        tasks: field(20)?,
        own,
        reaped,
    })
}

/// Linux shows programs 100 ticks a second, whatever it counts in itself.
fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(10))
}

/// When the process with this number started, or `None` where there is none.
pub(crate) fn started(pid: Pid) -> Option<u64> {
    read(pid, 0).map(|process| process.started)
}

/// Its anonymous and shared memory (files that it has mapped can be dropped by the system, and are not counted).
pub(crate) fn memory_bytes(process: &Process) -> u64 {
    let path = process.file("status");
    let Ok(status) = fs::read_to_string(path) else {
        return 0;
    };
    kibibytes(&status, "RssAnon:") + kibibytes(&status, "RssShmem:")
}

/// The same with pages that several processes share counted by each in part: exact, and slow to read.
pub(crate) fn shared_memory_bytes(process: &Process) -> Option<u64> {
    let path = process.file("smaps_rollup");
    let rollup = fs::read_to_string(path).ok()?;
    Some(kibibytes(&rollup, "Pss_Anon:") + kibibytes(&rollup, "Pss_Shmem:"))
}

fn kibibytes(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Files that are open and have no name any more, by device and inode: memory (`memfd`) where the first is true, and disk.
pub(crate) fn nameless_files(process: &Process) -> Vec<(bool, (u64, u64), u64)> {
    use std::os::unix::fs::MetadataExt;
    let folder = process.file("fd");
    let Ok(open) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let nameless = open.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let target = target.to_string_lossy().into_owned();
        if !target.ends_with(" (deleted)") {
            return None;
        }
        let data = fs::metadata(entry.path()).ok()?;
        let in_memory = target.starts_with("/memfd:") || target.starts_with("/dev/shm/");
        let id = (data.dev(), data.ino());
        Some((in_memory, id, data.blocks().saturating_mul(512)))
    });
    nameless.collect()
}

/// Sends a signal to each; one that is gone already is no failure.
pub(crate) fn signal<'a>(processes: impl IntoIterator<Item = &'a Process>, signal: Signal) {
    for process in processes {
        let _gone = rustix::process::kill_process(process.pid, signal);
    }
}

/// How many tasks the user has, all over the machine.
pub(crate) fn tasks_of_user(user: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(all) = fs::read_dir("/proc") else {
        return 0;
    };
    let own = all.flatten().filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let owner = entry.metadata().ok()?.uid();
        (owner == user).then(|| read(pid, 0)).flatten()
    });
    own.map(|process| process.tasks).sum()
}

#[cfg(test)]
mod tests;
