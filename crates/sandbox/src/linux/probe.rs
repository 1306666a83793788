//! Tries to break a seal before it is used: a hostile command runs in it, and what it could have reached is looked at from
//! outside.
//!
//! Nothing here is believed of the command but its failures: a file that it says it couldn't write is looked for, a packet that
//! it says it couldn't send is listened for, a process that it says it couldn't kill has to be alive.

use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::inner::PROBE;
use super::inner::probe::{LEFT, LINGER, MARK, STARTED, Targets};
use super::scratch::Scratch;
use crate::job::{Capture, Job, Limits, Mount};
use crate::level::Probe;
use crate::outcome::{Continue, End, Outcome};
use crate::sandbox::Sandbox;

const SECRET: &str = "what no candidate reads";

/// Each attempt and how it was stopped, or why this seal can't be used.
pub(crate) fn try_to_break(sandbox: &Sandbox) -> Result<Vec<Probe>, String> {
    let bait = Bait::lay(sandbox).map_err(|e| format!("cannot lay out the probes: {e}"))?;
    let targets = serde_json::to_string(&bait.targets).map_err(|e| e.to_string())?;
    let mut command = sandbox.helper().to_vec();
    let program = command.first().cloned().unwrap_or_default();
    command.extend([PROBE.into(), targets.into()]);
    let limits = Limits::wall(Duration::from_secs(20));
    let mut job = Job::new(command, bait.inside(), limits);
    job.read_only = vec![Mount::at(&program), Mount::at(&bait.targets.locked)];
    job.stdout = Capture::Tail(1 << 20);
    let outcome = sandbox
        .run(&job, &mut |_| Continue::Yes)
        .map_err(|e| e.to_string())?;
    if outcome.end != End::Exited(0) {
        return Err(format!("the probe {}", outcome.end));
    }
    let mut probes: Vec<Probe> = serde_json::from_slice(&outcome.stdout.bytes)
        .map_err(|e| format!("the probe spoke nonsense: {e}"))?;
    look_from_outside(&mut probes, bait, &outcome);
    let broken: Vec<String> = probes
        .iter()
        .filter(|probe| !probe.stopped)
        .map(Probe::to_string)
        .collect();
    if probes.len() < LEAST {
        return Err(format!("only {} of {LEAST} probes ran", probes.len()));
    }
    if !broken.is_empty() {
        return Err(broken.join(", "));
    }
    Ok(probes)
}

/// As many as there are in `inner/probe`.
const LEAST: usize = 22;

fn look_from_outside(probes: &mut Vec<Probe>, mut bait: Bait, outcome: &Outcome) {
    for probe in probes.iter_mut().filter(|probe| probe.tried == LEFT) {
        probe.stopped = probe.how == STARTED && outcome.stragglers_killed > 0;
        probe.how = format!("{} left, all killed", outcome.stragglers_killed);
    }
    let mut seen = |tried: &str, untouched: bool| {
        probes.push(Probe {
            tried: tried.to_owned(),
            stopped: untouched,
            how: "seen from outside".to_owned(),
        });
    };
    let content = fs::read_to_string(&bait.targets.secret).ok();
    seen(
        "change what is outside",
        content.as_deref() == Some(SECRET) && !bait.targets.folder.join("written").exists(),
    );
    let nobody = |result: io::Result<()>| {
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    let calls = [
        bait.tcp.accept().map(drop),
        bait.udp.recv(&mut [0]).map(drop),
        bait.unix.accept().map(drop),
        bait.nameless.accept().map(drop),
    ];
    seen("reach a listener outside", calls.into_iter().all(nobody));
    let alive = matches!(bait.canary.0.try_wait(), Ok(None));
    seen("harm a process outside", alive);
}

/// Something to get at.
struct Bait {
    targets: Targets,
    tcp: TcpListener,
    udp: UdpSocket,
    unix: UnixListener,
    nameless: UnixListener,
    canary: Canary,
    folder: Scratch,
}

impl Bait {
    fn lay(sandbox: &Sandbox) -> io::Result<Self> {
        let own = rustix::process::getpid();
        let folder = Scratch::make(&std::env::temp_dir(), own)?;
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inside"))?;
        fs::create_dir(at("outside"))?;
        let secret = at("outside/secret");
        fs::write(&secret, SECRET)?;
        fs::write(at("locked"), "read-only")?;
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        tcp.set_nonblocking(true)?;
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        udp.set_nonblocking(true)?;
        let unix = UnixListener::bind(at("outside/socket"))?;
        unix.set_nonblocking(true)?;
        let abstract_name = at("abstract").to_string_lossy().into_owned();
        let nameless = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?;
        nameless.set_nonblocking(true)?;
        let canary = Canary::start(sandbox)?;
        Ok(Self {
            targets: Targets {
                secret,
                folder: at("outside"),
                locked: at("locked"),
                tcp: tcp.local_addr()?,
                udp: udp.local_addr()?,
                socket: at("outside/socket"),
                abstract_name,
                process: canary.0.id() as i32,
            },
            tcp,
            udp,
            unix,
            nameless,
            canary,
            folder,
        })
    }

    fn inside(&self) -> std::path::PathBuf {
        self.folder.path().join("inside")
    }
}

/// A process outside, of the same user.
struct Canary(Child);

impl Canary {
    fn start(sandbox: &Sandbox) -> io::Result<Self> {
        let program = sandbox.helper().first().cloned().unwrap_or_default();
        Command::new(Path::new(&program))
            .args(sandbox.helper().iter().skip(1))
            .args([PROBE, LINGER])
            .env(MARK, SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}
