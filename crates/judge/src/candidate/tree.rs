//! The processes of a candidate as the system counts them: what they burn and what they have mapped, seen from outside.
//!
//! The sandbox's supervisor is a child of the judge, and everything that the candidate ever starts stays below it. So a child that
//! appeared while a candidate was started is the root of its tree. Where that can't be told (another child at the same moment, no
//! `/proc`), there is no tree, and what needs one is said to be unchecked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Ticks of `/proc/PID/stat` in a second, on every processor that Linux gives us.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// Its own, and its dead children's.
    ticks: u64,
}

/// Everything below one child of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    supervisor: u32,
}

/// Processor time of a tree, counted in two ways that each miss something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burnt {
    /// Of processes and of all their threads and children that ended, in steps of 10 ms.
    by_process_seconds: f64,
    /// Of threads that live, to the nanosecond; 0 where the system does not count it.
    by_thread_seconds: f64,
}

impl Burnt {
    /// What was burnt since, by the count that says more.
    pub(crate) fn since(self, before: Self) -> f64 {
        let by_process = self.by_process_seconds - before.by_process_seconds;
        let by_thread = self.by_thread_seconds - before.by_thread_seconds;
        by_process.max(by_thread).max(0.0)
    }
}

/// What of the files that a tree has mapped could be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// Paths.
    Files(BTreeSet<String>),
    /// The system shows them to nobody.
    Unreadable,
}

/// This process's children now.
pub(crate) fn children() -> BTreeSet<u32> {
    let own = std::process::id();
    let all = processes();
    all.into_iter()
        .filter(|(_, process)| process.parent == own)
        .map(|(pid, _)| pid)
        .collect()
}

impl Tree {
    /// The one child that wasn't there before.
    pub(crate) fn new_since(before: &BTreeSet<u32>) -> Option<Self> {
        let now = children();
        let mut new = now.difference(before);
        match (new.next(), new.next()) {
            (Some(&supervisor), None) => Some(Self { supervisor }),
            _ => None,
        }
    }

    /// Processor time of the tree so far, without the supervisor's own.
    pub(crate) fn burnt(self) -> Burnt {
        let members = self.members();
        let ticks: u64 = members.values().map(|process| process.ticks).sum();
        Burnt {
            by_process_seconds: ticks as f64 / TICKS_PER_SECOND,
            by_thread_seconds: members.keys().map(|&pid| seconds_of_threads(pid)).sum(),
        }
    }

    /// The files that its processes have mapped.
    pub(crate) fn mapped(self) -> Mapped {
        let mut files = BTreeSet::new();
        let mut read = false;
        for pid in self.members().keys() {
            let Ok(maps) = fs::read(format!("/proc/{pid}/maps")) else {
                continue;
            };
            read |= !maps.is_empty();
            files.extend(paths_in(&String::from_utf8_lossy(&maps)));
        }
        if read {
            Mapped::Files(files)
        } else {
            Mapped::Unreadable
        }
    }

    fn members(self) -> BTreeMap<u32, Process> {
        below(self.supervisor, &processes())
    }
}

/// The first number of `/proc/PID/task/TID/schedstat` is the nanoseconds that a thread ran.
fn seconds_of_threads(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    let read = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    let nanoseconds =
        read.filter_map(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.sum::<f64>() / 1e9
}

/// All that descend from `root`, without it.
fn below(root: u32, all: &BTreeMap<u32, Process>) -> BTreeMap<u32, Process> {
    let mut known = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(pid, process)| known.contains(&process.parent) && !known.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        known.extend(more);
    }
    known.remove(&root);
    let members = all.iter().filter(|(pid, _)| known.contains(pid));
    members.map(|(pid, process)| (*pid, *process)).collect()
}

fn processes() -> BTreeMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all = pids.filter_map(|pid: u32| {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, process_in(&String::from_utf8_lossy(&stat))?))
    });
    all.collect()
}

/// `pid (name) state parent ..`: the name is the process's own word and may hold anything, so fields count from its last bracket.
fn process_in(stat: &str) -> Option<Process> {
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // Fields 14 to 17 of proc(5): user and system time, and those of children that were waited for.
    let ticks = (11..15).map(number).collect::<Option<Vec<u64>>>()?;
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks.into_iter().fold(0, u64::saturating_add),
    })
}

/// The paths in the sixth column of `/proc/PID/maps`.
fn paths_in(maps: &str) -> impl Iterator<Item = String> + '_ {
    let columns = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].to_owned()));
    columns.map(|path| path.trim_end_matches(" (deleted)").to_owned())
}

#[cfg(test)]
mod tests;
