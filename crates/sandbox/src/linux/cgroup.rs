//! Control groups, where this user may make them: exact accounts and limits for all processes of a cell together.
//!
//! 1. The groups of the calling process are read from `/proc/self/cgroup`. In the unified hierarchy (v2) the nearest group above
//!    whose children have the controllers, and below which a new group can be made, is used; in v1 the own group of each
//!    controller that has a limit to hold.
//! 2. One group a cell, named after its supervisor, which puts the cell's first process in it before that process begins.
//! 3. It is removed when the cell is gone. What a killed supervisor left is removed by the next [`sweep`].
//!
//! On an ordinary desktop v2 lets a user do that below the service manager's own tree, and not in a session's scope. Where it
//! can't be done nothing is lost but exactness: [`Group::none`] holds nothing, and the limits are kept by other means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::scratch::{is_orphaned, name_of};
use super::wire::Held;
use crate::job::Job;

/// Where v1 and v2 are mounted on every system that has them.
const MOUNT: &str = "/sys/fs/cgroup";

/// The group of one cell: a folder in v2, one for each controller in v1.
#[derive(Debug, Default)]
pub(crate) struct Group {
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpuset: Option<PathBuf>,
    held: Held,
}

impl Group {
    /// Makes the group and sets its limits; what cannot be had is left out. `own_tasks` of the cell itself are in it too.
    pub(crate) fn make(job: &Job, own_tasks: u64, owner: Pid) -> Self {
        let Ok(own) = fs::read_to_string("/proc/self/cgroup") else {
            return Self::none();
        };
        let name = name_of(owner);
        let mut group = Self::none();
        group.unified = unified(Path::new(MOUNT), &own, &name);
        if group.unified.is_none() {
            let make = |controller| v1(&own, controller, &name);
            // Entering one takes some 5 ms each (the system waits for all its processors): only those with something to hold.
            let wanted = |is_limited: bool, name| is_limited.then(|| make(name)).flatten();
            group.memory = wanted(job.limits.memory_bytes.is_some(), "memory");
            group.pids = wanted(job.limits.processes.is_some(), "pids");
            group.cpuset = wanted(job.processors.is_some(), "cpuset");
        }
        group.limit(job, own_tasks);
        group
    }

    /// No group at all.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// What it holds, so that nobody else need.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// Puts a process in; its children are born there.
    pub(crate) fn take(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.folders()
            .try_for_each(|folder| fs::write(folder.join("cgroup.procs"), &pid))
    }

    /// Processor time of all that ever was in it; v2 counts that in any case.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let micros = labelled(&self.unified.as_ref()?.join("cpu.stat"), "usage_usec")?;
        Some(Duration::from_micros(micros))
    }

    /// Memory now.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.unified
            .as_ref()
            .and_then(|folder| number(&folder.join("memory.current")))
            .or_else(|| number(&self.memory.as_ref()?.join("memory.usage_in_bytes")))
    }

    /// The most it ever was.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        self.unified
            .as_ref()
            .and_then(|folder| number(&folder.join("memory.peak")))
            .or_else(|| number(&self.memory.as_ref()?.join("memory.max_usage_in_bytes")))
    }

    /// Whether the system had to kill something for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let events = match (&self.unified, &self.memory) {
            (Some(folder), _) => folder.join("memory.events"),
            (None, Some(folder)) => folder.join("memory.oom_control"),
            (None, None) => return false,
        };
        self.held.memory && labelled(&events, "oom_kill").is_some_and(|count| count > 0)
    }

    /// Whether a process or thread was refused.
    pub(crate) fn ran_out_of_processes(&self) -> bool {
        let folder = self.unified.as_ref().or(self.pids.as_ref());
        let refused = folder.and_then(|folder| labelled(&folder.join("pids.events"), "max"));
        self.held.processes && refused.is_some_and(|count| count > 0)
    }

    /// Kills all that is in it; in v2 those born meanwhile too, in v1 those that are seen.
    pub(crate) fn kill(&self) {
        if let Some(folder) = &self.unified
            && fs::write(folder.join("cgroup.kill"), "1").is_ok()
        {
            return;
        }
        for pid in self.members() {
            let _gone = kill_process(pid, Signal::KILL);
        }
    }

    fn members(&self) -> Vec<Pid> {
        let list = self
            .folders()
            .find_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok());
        let list = list.unwrap_or_default();
        let pids = list.lines().filter_map(|line| line.parse().ok());
        pids.filter_map(Pid::from_raw).collect()
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        let all = [&self.unified, &self.memory, &self.pids, &self.cpuset];
        all.into_iter().flatten()
    }

    fn limit(&mut self, job: &Job, own_tasks: u64) {
        let set = |folder: &Option<PathBuf>, file: &str, value: &str| {
            folder
                .as_ref()
                .is_some_and(|folder| fs::write(folder.join(file), value).is_ok())
        };
        let tasks = job.limits.processes.map(|n| n.saturating_add(own_tasks));
        let tasks = tasks.map(|n| n.to_string());
        let memory = job.limits.memory_bytes.map(|n| n.to_string());
        let list = job.processors.as_deref().map(processor_list);
        if self.unified.is_some() {
            let unified = &self.unified;
            self.held.processes = tasks.is_some_and(|n| set(unified, "pids.max", &n));
            self.held.memory = memory.is_some_and(|n| set(unified, "memory.max", &n));
            if self.held.memory {
                set(unified, "memory.swap.max", "0");
                set(unified, "memory.oom.group", "1");
            }
            self.held.processors = list.is_some_and(|n| set(unified, "cpuset.cpus", &n));
            return;
        }
        self.held.processes = tasks.is_some_and(|n| set(&self.pids, "pids.max", &n));
        if let Some(bytes) = memory {
            self.held.memory = set(&self.memory, "memory.limit_in_bytes", &bytes);
            set(&self.memory, "memory.memsw.limit_in_bytes", &bytes);
        }
        if let (Some(list), Some(folder)) = (list, &self.cpuset) {
            let parent = folder.parent().unwrap_or(folder);
            let nodes = fs::read_to_string(parent.join("cpuset.mems")).unwrap_or_default();
            self.held.processors = set(&self.cpuset, "cpuset.mems", nodes.trim())
                && set(&self.cpuset, "cpuset.cpus", &list);
        }
        if !self.held.processors
            && let Some(folder) = self.cpuset.take()
        {
            // A set without processors takes nobody in.
            remove(&folder);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.folders().for_each(|folder| remove(folder));
    }
}

/// Removes groups of supervisors that are gone, with whatever still runs in them.
pub(crate) fn sweep() {
    let Ok(own) = fs::read_to_string("/proc/self/cgroup") else {
        return;
    };
    let mut parents: Vec<PathBuf> = ["memory", "pids", "cpuset"]
        .iter()
        .filter_map(|controller| v1_parent(&own, controller))
        .collect();
    parents.extend(unified_parents(Path::new(MOUNT), &own));
    for parent in parents {
        let Ok(entries) = fs::read_dir(parent) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(is_orphaned) {
                let mut left = Group::none();
                left.unified = Some(entry.path());
                left.kill();
            }
        }
    }
}

/// A group is busy until its last process is not only dead, but waited for.
fn remove(folder: &Path) {
    let until = Instant::now() + Duration::from_secs(2);
    while let Err(e) = fs::remove_dir(folder) {
        if e.kind() == io::ErrorKind::NotFound || Instant::now() > until {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn unified(mount: &Path, own: &str, name: &str) -> Option<PathBuf> {
    let fits = |parent: &PathBuf| {
        let given = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
        let given: Vec<&str> = given.split_ascii_whitespace().collect();
        let wanted = ["memory", "pids"];
        wanted.iter().all(|w| given.contains(w)).then_some(())?;
        let folder = parent.join(name);
        fs::create_dir(&folder).ok()?;
        Some(folder)
    };
    unified_parents(mount, own).iter().find_map(fits)
}

/// The own group and those above it, nearest first.
fn unified_parents(mount: &Path, own: &str) -> Vec<PathBuf> {
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    if !mount.join("cgroup.controllers").exists() {
        return Vec::new();
    }
    let below = Path::new(path).ancestors().map(|path| mount.join(path));
    below.collect()
}

fn v1(own: &str, controller: &str, name: &str) -> Option<PathBuf> {
    let folder = v1_parent(own, controller)?.join(name);
    fs::create_dir(&folder).ok()?;
    Some(folder)
}

/// `4:memory:/a/b` is the line of one controller, or of several that are mounted together.
fn v1_parent(own: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let mut controllers = fields.next()?.split(',');
        controllers.any(|c| c == controller).then_some(())?;
        fields.next()
    })?;
    let folder = Path::new(MOUNT)
        .join(controller)
        .join(path.trim_start_matches('/'));
    folder.is_dir().then_some(folder)
}

/// `0-2,5`, or simply all of them with commas between.
fn processor_list(processors: &[usize]) -> String {
    let numbers: Vec<String> = processors.iter().map(usize::to_string).collect();
    numbers.join(",")
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn labelled(file: &Path, label: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == label).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests;
