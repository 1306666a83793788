//! Closes the seal around itself and becomes the command.
//!
//! The order matters, and each step fails closed: nothing is run unless all of them were done.
//!
//! 1. A session of its own (no terminal, no group to be signalled with), and death with the parent.
//! 2. Limits of the system's own kind, the processors, and the first place when memory is short.
//! 3. No capabilities, not even to be had again, and no new privileges by any program.
//! 4. Landlock (or bubblewrap around it, already), then the filter of system calls, the last thing that asks the system anything.
//! 5. `exec`, with the environment of the job alone. What else is open closes with it.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet};

use super::{filter, ruleset};
use crate::level::Level;
use crate::linux::wire::{CellOrder, Channel, Refusal, Report};

/// What a command finds on its `PATH` where the job says nothing: folders of the system, which only root changes.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn main() -> ExitCode {
    let Ok(mut channel) = Channel::from_stdin() else {
        return ExitCode::FAILURE;
    };
    let refusal = match become_command(&mut channel) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    };
    let _supervisor_gone = channel.send(&Report::Refused(refusal));
    ExitCode::FAILURE
}

fn become_command(channel: &mut Channel) -> Result<std::convert::Infallible, Refusal> {
    let streams = channel
        .receive_streams()
        .map_err(Refusal::step("receive the command's streams"))?;
    let order: CellOrder = channel
        .receive()
        .map_err(Refusal::step("receive the order"))?
        .ok_or("the supervisor is gone")
        .map_err(Refusal::step("receive the order"))?;
    let parent = rustix::process::getppid();
    rustix::process::setsid().map_err(Refusal::step("begin a session"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Refusal::step("ask to die with the parent"))?;
    if rustix::process::getppid() != parent {
        return Err(Refusal::step("die with the parent")("it is dead"));
    }
    limit(&order)?;
    pin(&order)?;
    if order.level != Level::Unsealed {
        drop_privileges()?;
    }
    let mut command = command(&order, streams)?;
    std::env::set_current_dir(&order.job.folder)
        .map_err(Refusal::step(format!("enter {:?}", order.job.folder)))?;
    match order.level {
        Level::Unsealed => {}
        Level::Landlock => {
            let strength = ruleset::restrict(&order)?;
            filter::apply(&order, Some(strength))?;
        }
        Level::Bubblewrap => {
            ruleset::scope()?;
            filter::apply(&order, None)?;
        }
    }
    channel
        .send(&Report::Ready)
        .map_err(Refusal::step("tell that all is ready"))?;
    Err(Refusal::Program(command.exec().to_string()))
}

/// The environment holds what is pinned and what the job says.
fn command(order: &CellOrder, streams: [OwnedFd; 3]) -> Result<Command, Refusal> {
    let [program, arguments @ ..] = order.job.command.as_slice() else {
        return Err(Refusal::step("start the command")("there is none"));
    };
    let temporary = Path::new(&order.temporary);
    let [stdin, stdout, stderr] = streams;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", temporary.join("home"))
        .env("TMPDIR", temporary)
        .env("LANG", "C.UTF-8")
        .envs(&order.job.environment)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    Ok(command)
}

fn limit(order: &CellOrder) -> Result<(), Refusal> {
    let limits = &order.job.limits;
    set_limit("core files", Resource::Core, Some(0))?;
    // A block more, so that who reaches it has written too much.
    let written = limits.written_bytes.map(|n| n.saturating_add(8192));
    set_limit("file sizes", Resource::Fsize, written)?;
    // For each process; the supervisor watches their sum. A second more, so that the sum is what is found broken.
    let whole = |time: Duration| time.as_secs().saturating_add(2);
    set_limit("processor time", Resource::Cpu, limits.cpu.map(whole))?;
    if !order.held.memory {
        // Private writable memory, not addresses: programs reserve far more addresses than they use. A quarter more, so
        // that the supervisor, which watches what is really used by all, sees who goes beyond.
        let bytes = limits.memory_bytes;
        let bytes = bytes.map(|n| n.saturating_add(n / 4).saturating_add(64 << 20));
        set_limit("memory", Resource::Data, bytes)?;
    }
    if !order.held.processes {
        // This one may count all of the user's, wherever they run: the last line, behind the watch, which is to see who goes beyond.
        let before = order.tasks_before.saturating_add(16);
        let tasks = limits.processes.map(|n| n.saturating_add(before));
        set_limit("processes", Resource::Nproc, tasks)?;
    }
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    Ok(())
}

/// Lowers a limit, never above what the caller has.
fn set_limit(what: &str, resource: Resource, value: Option<u64>) -> Result<(), Refusal> {
    let Some(value) = value else {
        return Ok(());
    };
    let now = rustix::process::getrlimit(resource);
    let lower = now.maximum.map_or(value, |maximum| maximum.min(value));
    let limit = Rlimit {
        current: Some(lower),
        maximum: Some(lower),
    };
    rustix::process::setrlimit(resource, limit).map_err(Refusal::step(format!("limit {what}")))
}

fn pin(order: &CellOrder) -> Result<(), Refusal> {
    let Some(processors) = &order.job.processors else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    for &processor in processors {
        if processor >= CpuSet::MAX_CPU {
            return Err(Refusal::step("choose processors")(format!(
                "there is no processor {processor}"
            )));
        }
        set.set(processor);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(Refusal::step("choose processors"))
}

/// Whatever this process may do beyond an ordinary one, it may not any more, nor can any program that it starts.
fn drop_privileges() -> Result<(), Refusal> {
    rustix::thread::set_no_new_privs(true).map_err(Refusal::step("refuse new privileges"))?;
    rustix::thread::clear_ambient_capability_set()
        .map_err(Refusal::step("drop ambient capabilities"))?;
    let held = rustix::thread::capabilities(None).map_err(Refusal::step("read capabilities"))?;
    if held.effective.contains(CapabilitySet::SETGID) {
        // Groups such as `disk` and `docker` are as good as root.
        let _namespaced = rustix::thread::set_thread_groups(&[]);
    }
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            // Newer than the system: then it is not there to be dropped.
            let _unknown = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(Refusal::step("drop capabilities"))?;
    Ok(())
}
