//! What "the system's programs and libraries" are: the folders and files that a compiler or an interpreter of the
//! distribution needs, and no others.
//!
//! `/etc` holds secrets and the machine's identity beside what the loader and the resolver read, so that its parts are named one
//! by one. Users' homes, `/var`, `/srv`, `/opt`, `/mnt`, `/run` and `/boot` are never among them; a job can mount what it needs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::job::{Job, Network};

/// Programs, libraries and what they ship with.
const PROGRAMS: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/run/current-system/sw",
];

/// What the loader, compilers and interpreters read.
const SETTINGS: [&str; 13] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
];

/// What a resolver reads.
const NAMES: [&str; 6] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
];

/// The machine's shape: libraries choose their threads and tiles by it.
const SHAPE: [&str; 2] = ["/sys/devices/system/cpu", "/sys/devices/system/node"];

/// The devices that every program may use.
pub(crate) const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// What of them is here and wanted, read-only.
pub(crate) fn read_only(job: &Job) -> Vec<PathBuf> {
    let mut names: Vec<&str> = SHAPE.to_vec();
    if job.system {
        names.extend(PROGRAMS);
        names.extend(SETTINGS);
        if job.network == Network::Host {
            names.extend(NAMES);
        }
    }
    if job.gpu {
        names.push("/sys");
    }
    let here = names.into_iter().map(PathBuf::from);
    here.filter(|path| path.exists()).collect()
}

/// Graphics cards' devices.
pub(crate) fn cards() -> Vec<PathBuf> {
    let Ok(devices) = fs::read_dir("/dev") else {
        return Vec::new();
    };
    let named = devices.flatten().map(|entry| entry.path());
    let cards = named.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("nvidia") || name == "dri" || name == "kfd"
    });
    cards.collect()
}

/// What the running program needs to be started where no system is mounted: itself, its libraries and its loader.
pub(crate) fn own_libraries() -> Vec<PathBuf> {
    const LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = maps.lines().filter_map(|line| {
        let at = line.find('/')?;
        line.get(at..).map(PathBuf::from)
    });
    let mut all: Vec<PathBuf> = files.chain(LOADERS.iter().map(PathBuf::from)).collect();
    all.push("/etc/ld.so.cache".into());
    all.sort();
    all.dedup();
    all.retain(|path| path.is_file());
    all
}

/// Whether `path` is, or lies in, one of `folders`.
pub(crate) fn lies_in(path: &Path, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}
