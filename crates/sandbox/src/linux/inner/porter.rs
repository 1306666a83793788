//! The process between bubblewrap and the cell: it waits for the command, tells exactly how it ended, and stays until it is
//! killed, so that what the command left behind can be counted first.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{DumpableBehavior, Pid, WaitOptions, WaitStatus};

use crate::linux::wire::{Channel, Refusal, Report, Status};

/// `helper` is the command line that starts a cell.
pub(super) fn main(helper: Vec<OsString>) -> ExitCode {
    let Ok(mut channel) = Channel::from_stdin() else {
        return ExitCode::FAILURE;
    };
    match bring(&helper) {
        // From here on nobody may speak before the supervisor has what the cell said.
        Ok(status) => {
            let _engine_gone = channel.send(&Report::Ended(status));
        }
        Err(refusal) => {
            let _engine_gone = channel.send(&Report::Refused(refusal));
        }
    }
    loop {
        std::thread::park();
    }
}

fn bring(helper: &[OsString]) -> Result<Status, Refusal> {
    // The command has the same user and could open this process's memory otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(Refusal::step("close the porter's memory"))?;
    let [program, arguments @ ..] = helper else {
        return Err(Refusal::step("start the cell")("no program was named"));
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .spawn()
        .map_err(Refusal::step("start the cell"))?;
    let pid = Pid::from_child(&child);
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(status) = status_of(status) {
                    return Ok(status);
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Refusal::step("wait for the command")(e)),
        }
    }
}

/// `None` for one that only stopped.
pub(super) fn status_of(status: WaitStatus) -> Option<Status> {
    let exited = status.exit_status().map(Status::Exited);
    exited.or_else(|| status.terminating_signal().map(Status::Signalled))
}
