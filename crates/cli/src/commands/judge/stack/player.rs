//! A process with one profile, which measures when it is told to and is stopped at all other times.
//!
//! Threads that have nothing to do may look for work for a while before they sleep. Between two turns of one program that is a choice
//! like any other; in a judge of two programs it falls into the other's turn and takes a processor from it. A profile that only did this for
//! long was measured 7% better than one that is as fast (docs/log.md, 2026-11-27). So nobody runs but who has the turn.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use super::Kind;
use crate::failure::Failure;

pub(super) struct Player {
    child: Child,
    answers: BufReader<ChildStdout>,
    profile: PathBuf,
}

impl Player {
    /// A process that answers each line with seconds. It runs until its first turn is over.
    pub(super) fn start(mut command: Command, profile: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::Read {
            path: profile.to_owned(),
            source,
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let answers = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            child,
            answers: BufReader::new(answers),
            profile: profile.to_owned(),
        })
    }

    /// Seconds.
    pub(super) fn turn(&mut self, kind: Kind) -> Result<f64, Failure> {
        let profile = &self.profile;
        let failed = |source| Failure::Read {
            path: profile.clone(),
            source,
        };
        wake(&self.child).map_err(failed)?;
        if let Some(to) = &mut self.child.stdin {
            let asked = serde_json::to_string(&kind)?;
            writeln!(to, "{asked}")
                .and_then(|()| to.flush())
                .map_err(failed)?;
        }
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(failed)?;
        if line.is_empty() {
            // What went wrong stands on standard error, which this process shares with it.
            return Err(Failure::Usage(format!(
                "the process with {} ended before its turn",
                profile.display()
            )));
        }
        let seconds = serde_json::from_str(&line)?;
        stop(&self.child).map_err(failed)?;
        Ok(seconds)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Stops a process, and returns when it stands still.
#[cfg(unix)]
fn stop(child: &Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP)?;
    // Not reaped here: its end, should it have come meanwhile, is for who waits for it.
    let stands = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), stands))?;
    Ok(())
}

#[cfg(unix)]
fn wake(child: &Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    Ok(kill_process(Pid::from_child(child), Signal::CONT)?)
}

/// Where processes cannot be stopped: longer than the default profile looks for work. One that looks for longer still takes from the other.
#[cfg(not(unix))]
fn stop(_child: &Child) -> io::Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(100));
    Ok(())
}

#[cfg(not(unix))]
fn wake(_child: &Child) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn stands_still(player: &Player) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", player.child.id()));
        stat.is_ok_and(|stat| stat.contains(") T "))
    }

    #[test]
    fn nobody_runs_but_who_has_the_turn() {
        let mut command = Command::new("sh");
        command.args(["-c", "while read -r line; do echo 0.5; done"]);
        let mut player = Player::start(command, Path::new("profile.toml")).unwrap();
        for _ in 0..3 {
            assert_eq!(player.turn(Kind::Decode).unwrap(), 0.5);
            assert!(stands_still(&player));
        }
    }

    #[test]
    fn who_ends_before_its_turn_is_named() {
        let mut player = Player::start(Command::new("true"), Path::new("a.toml")).unwrap();
        let error = player.turn(Kind::Prefill).unwrap_err().to_string();
        assert!(error.contains("a.toml"), "{error}");
    }
}
