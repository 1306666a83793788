//! The command line of bubblewrap: a root of its own in which only what the job lists exists.
//!
//! Everything is unshared: users, processes, IPC, the host's name, control groups, and the network unless the job has the
//! host's. The helper is mounted in a place of its own to become the porter and the cell inside. Root keeps no capability.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::job::{Mount, Network};
use crate::linux::system;
use crate::linux::wire::Order;

/// Where the helper is inside.
pub(crate) const HELPER: &str = "/.sprag/cell";

/// Where the temporary folder is inside.
pub(crate) const TEMPORARY: &str = "/tmp";

/// The part of the temporary folder that is `/dev/shm` inside.
pub(crate) const SHARED: &str = "shm";

/// Where bubblewrap may be: folders that only root changes. The caller's `PATH` is not asked, where anybody could put one.
pub(crate) const PLACES: [&str; 4] = [
    "/usr/bin/bwrap",
    "/bin/bwrap",
    "/usr/local/bin/bwrap",
    "/run/current-system/sw/bin/bwrap",
];

/// All arguments, up to the command that starts the porter.
pub(crate) fn arguments(order: &Order, scratch: &Path) -> Vec<OsString> {
    let mut line = Line::default();
    line.flags(&[
        "--unshare-all",
        "--die-with-parent",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]);
    if order.job.network == Network::Host {
        line.flags(&["--share-net"]);
    }
    line.flags(&["--proc", "/proc", "--dev", "/dev"]);
    line.bind("--bind", scratch, Path::new(TEMPORARY));
    // On the disk, where it is measured: what lies in a memory file system is in no process's account.
    line.bind("--bind", &scratch.join(SHARED), Path::new("/dev/shm"));
    for path in system::read_only(&order.job) {
        line.same("--ro-bind", &path);
    }
    if !order.job.system {
        for path in system::own_libraries() {
            line.same("--ro-bind", &path);
        }
    }
    if order.job.gpu {
        for card in system::cards() {
            line.same("--dev-bind", &card);
        }
    }
    for (Mount { host, inside }, writable) in order.job.mounts() {
        line.bind(if writable { "--bind" } else { "--ro-bind" }, host, inside);
    }
    if let Some(program) = order.helper.first() {
        line.bind("--ro-bind", Path::new(program), Path::new(HELPER));
    }
    // A root user's cell is still that user, without capabilities: kernel settings in /proc would obey it.
    for closed in ["/proc", "/dev", "/"] {
        line.flags(&["--remount-ro", closed]);
    }
    line.flags(&["--chdir", "/", "--"]);
    line.words
}

#[derive(Default)]
struct Line {
    words: Vec<OsString>,
}

impl Line {
    fn flags(&mut self, words: &[&str]) {
        self.words.extend(words.iter().map(OsString::from));
    }

    fn bind(&mut self, how: &str, host: &Path, inside: &Path) {
        let words = [OsStr::new(how), host.as_os_str(), inside.as_os_str()];
        self.words.extend(words.map(OsStr::to_owned));
    }

    /// Where it is on the host; a link stays the link that it is (`/bin` is one to `usr/bin` on most systems).
    fn same(&mut self, how: &str, path: &Path) {
        match fs::read_link(path) {
            Ok(target) if path.parent() == Some(Path::new("/")) => {
                self.bind("--symlink", &target, path);
            }
            _ => self.bind(how, path, path),
        }
    }
}

/// The first bubblewrap there is.
pub(crate) fn find() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}
