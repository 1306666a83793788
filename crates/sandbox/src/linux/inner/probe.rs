//! A hostile command: it tries to get out in every way that a safe call offers, and says what happened.
//!
//! Its word is not the last: whoever started it looks at what it tried to change (`linux/probe`).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr as Address, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::PROBE;
use crate::level::Probe;

/// Its environment holds this where it can't be read.
pub(crate) const MARK: &str = "SPRAG_PROBE_SECRET";

/// The argument that makes it a process that only waits.
pub(crate) const LINGER: &str = "linger";

/// What there is to get at, all of it outside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Targets {
    pub secret: PathBuf,
    pub folder: PathBuf,
    pub locked: PathBuf,
    pub tcp: Address,
    pub udp: Address,
    pub socket: PathBuf,
    pub abstract_name: String,
    pub process: i32,
}

pub(super) fn main(arguments: Vec<OsString>) -> ExitCode {
    if arguments.first().is_some_and(|word| word == LINGER) {
        std::thread::sleep(Duration::from_secs(60));
        return ExitCode::SUCCESS;
    }
    let targets = arguments.first().and_then(|text| text.to_str());
    let Some(targets) = targets.and_then(|text| serde_json::from_str::<Targets>(text).ok()) else {
        return ExitCode::FAILURE;
    };
    let mut probes = files(&targets);
    probes.extend(calls(&targets));
    probes.extend(processes(&targets));
    probes.extend(privileges());
    // The program's own path is its first word: there may be no /proc to ask.
    let own = std::env::args_os().next().unwrap_or_default();
    let leading = std::env::args_os().skip(1);
    let leading: Vec<OsString> = leading.take_while(|word| word != PROBE).collect();
    probes.push(leave_somebody_behind(&own, &leading));
    let text = serde_json::to_vec(&probes).unwrap_or_default();
    match io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn tried<T, E: ToString>(what: &str, result: Result<T, E>) -> Probe {
    Probe {
        tried: what.to_owned(),
        stopped: result.is_err(),
        how: match result {
            Ok(_) => "it worked".to_owned(),
            Err(e) => e.to_string(),
        },
    }
}

fn files(targets: &Targets) -> Vec<Probe> {
    let link = std::env::temp_dir().join("link");
    let through_link =
        std::os::unix::fs::symlink(&targets.secret, &link).and_then(|()| fs::read(&link));
    let around = std::env::current_dir().map(|here| {
        let up = "../".repeat(here.components().count());
        let rest = targets.secret.strip_prefix("/");
        here.join(up).join(rest.unwrap_or(&targets.secret))
    });
    vec![
        tried("read a file outside", fs::read(&targets.secret)),
        tried("read it through a link", through_link),
        tried("read it by `..`", around.and_then(fs::read)),
        tried("list the folder outside", fs::read_dir(&targets.folder)),
        tried(
            "write a file outside",
            fs::write(targets.folder.join("written"), "x"),
        ),
        tried(
            "shorten a file outside",
            rustix::fs::open(
                &targets.secret,
                rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::TRUNC,
                rustix::fs::Mode::empty(),
            ),
        ),
        tried("delete a file outside", fs::remove_file(&targets.secret)),
        tried(
            "close a file outside to its owner",
            rustix::fs::chmod(&targets.secret, rustix::fs::Mode::empty()),
        ),
        tried(
            "write a file that is mounted read-only",
            fs::OpenOptions::new().append(true).open(&targets.locked),
        ),
    ]
}

fn calls(targets: &Targets) -> Vec<Probe> {
    let wait = Duration::from_millis(500);
    let abstract_socket = SocketAddr::from_abstract_name(&targets.abstract_name)
        .and_then(|address| UnixStream::connect_addr(&address));
    // A datagram is sent without anybody's word: whether it arrived is seen outside.
    let datagram = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.connect(targets.udp).map(|()| socket))
        .and_then(|socket| socket.send(b"probe").and_then(|_| socket.send(b"probe")));
    vec![
        tried(
            "call a TCP port of the host",
            TcpStream::connect_timeout(&targets.tcp, wait),
        ),
        tried("send a UDP packet to the host", datagram),
        tried(
            "call a Unix socket outside",
            UnixStream::connect(&targets.socket),
        ),
        tried("call an abstract socket outside", abstract_socket),
    ]
}

fn processes(targets: &Targets) -> Vec<Probe> {
    let environment = fs::read(format!("/proc/{}/environ", targets.process)).and_then(|bytes| {
        let mark = MARK.as_bytes();
        // Another process may have that number in here.
        let found = bytes.windows(mark.len()).any(|window| window == mark);
        if found {
            Ok(())
        } else {
            Err(io::Error::other("not its own"))
        }
    });
    let Some(pid) = Pid::from_raw(targets.process) else {
        return Vec::new();
    };
    vec![
        tried("read the environment of a process outside", environment),
        tried(
            "trace a process outside",
            nix::sys::ptrace::attach(nix::unistd::Pid::from_raw(targets.process)),
        ),
        tried(
            "kill a process outside",
            rustix::process::kill_process(pid, Signal::KILL),
        ),
        tried(
            "limit a process outside",
            rustix::process::prlimit(
                Some(pid),
                rustix::process::Resource::Core,
                rustix::process::Rlimit {
                    current: Some(0),
                    maximum: Some(0),
                },
            ),
        ),
    ]
}

fn privileges() -> Vec<Probe> {
    use nix::sched::CloneFlags;
    let held = rustix::thread::capabilities(None).map(|sets| sets.permitted | sets.effective);
    let holds = match held {
        Ok(held) if held.is_empty() => Err("none is held".to_owned()),
        Ok(held) => Ok(held),
        Err(e) => Err(e.to_string()),
    };
    let may_gain = match rustix::thread::no_new_privs() {
        Ok(false) => Ok(()),
        _ => Err("a program's own privileges are refused"),
    };
    vec![
        tried("hold a capability", holds),
        tried("gain privileges by a program", may_gain),
        tried(
            "make a user namespace",
            nix::sched::unshare(CloneFlags::CLONE_NEWUSER),
        ),
        tried("change the root folder", rustix::process::chroot("/")),
    ]
}

/// Twice removed and in a group of its own; the one who started this sees whether it stays.
fn leave_somebody_behind(own: &OsStr, leading: &[OsString]) -> Probe {
    let started = Command::new(own)
        .args(leading)
        .args([PROBE, LINGER])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    Probe {
        tried: LEFT.to_owned(),
        // Only the outside can tell, and it takes this for a failure until then.
        stopped: false,
        how: match started {
            Ok(_) => STARTED.to_owned(),
            Err(e) => e.to_string(),
        },
    }
}

pub(crate) const LEFT: &str = "leave a process behind";
pub(crate) const STARTED: &str = "it was started";
