//! Every system call by which the writer changes something fails once, and kills the writer once: nothing acknowledged is
//! lost, the ledger verifies, and what is written afterwards ends in the same history as if nothing had happened.
//!
//! strace makes the real process fail for real. Without strace these tests fail, and say so, unless SPRAG_WITHOUT_STRACE is set.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![cfg(target_os = "linux")]

mod disk;
mod parallel;
mod writing;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::scratch;
use parallel::for_each;
use writing::{Plan, acknowledged, check, entries, said, writer};

const PLAN: Plan = Plan {
    count: 3,
    body_bytes: 5000,
    reopen_every: 2,
};

/// Calls that change the disk, or say that it has been changed.
const CHANGING: &str = "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,link,mkdir";
/// Calls without which nothing can be read, mapped or locked.
const ASKING: &str = "openat,pread64,mmap,fcntl,flock";

fn strace_is_here() -> bool {
    if Command::new("strace").arg("-V").output().is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("SPRAG_WITHOUT_STRACE").is_some(),
        "strace is not installed, so the ledger's promises about failing disks cannot be tested: install it \
         (Debian: `apt-get install strace`), or set SPRAG_WITHOUT_STRACE=1 to go without this proof"
    );
    false
}

/// How often an undisturbed run makes each of `calls`.
fn counts(calls: &str) -> BTreeMap<String, usize> {
    let folder = scratch();
    let log = folder.path().join("log");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={}", known(calls)), "-o"])
        .arg(&log)
        .arg(writer())
        .args(PLAN.arguments(&folder.path().join("ledger")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        if let Some((name, _)) = call.split_once('(') {
            *counts.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

/// A `?` before a name: some processors' systems lack some calls.
fn known(calls: &str) -> String {
    let optional: Vec<String> = calls.split(',').map(|call| format!("?{call}")).collect();
    optional.join(",")
}

/// One run with one fault, which must really have happened. Returns what was acknowledged and whether the writer reached its
/// end.
fn run(folder: &Path, path: &Path, call: &str, fault: &str, what: &str) -> (u64, bool) {
    let log = folder.join("log");
    // Not `--seccomp-bpf`: with it, strace 6.1 delivers no signal.
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{fault}"), "-o"])
        .arg(&log)
        .arg(writer())
        .args(PLAN.arguments(path))
        .output()
        .unwrap();
    let log = fs::read_to_string(log).unwrap();
    let ended = output.status.success();
    if fault.starts_with("signal") {
        assert!(log.contains("killed by SIGKILL"), "{what}: it lives\n{log}");
        assert!(!ended, "{what}: it reached its end");
    } else {
        assert!(log.contains("(INJECTED)"), "{what}: nothing failed\n{log}");
    }
    (acknowledged(&output.stdout), ended)
}

/// Every call of `calls`, every `step`-th occurrence, with `fault`; `suffix` `+` makes all later ones fail too.
fn exhaust(calls: &str, step: usize, fault: &str, suffix: &str) {
    if !strace_is_here() {
        return;
    }
    let reference = PLAN.reference();
    let mut points = Vec::new();
    for (call, count) in counts(calls) {
        points.extend((1..=count).step_by(step).map(|n| (call.clone(), n)));
    }
    assert!(
        points.len() >= 30,
        "strace saw only {} points",
        points.len()
    );
    let ended_well = AtomicUsize::new(0);
    for_each(points.len(), |index| {
        let (call, n) = &points[index];
        let what = format!("{call} number {n}{suffix} with {fault}");
        let folder = scratch();
        let path = folder.path().join("ledger");
        let (acknowledged, ended) = run(
            folder.path(),
            &path,
            call,
            &format!("{fault}:when={n}{suffix}"),
            &what,
        );
        let there = check(&path, acknowledged, &reference, &what);
        if ended {
            assert_eq!(there, PLAN.count, "{what}: it ended well, and too early");
            ended_well.fetch_add(1, Ordering::Relaxed);
        }
        PLAN.finish(&path);
        assert_eq!(entries(&path), reference, "{what}: after going on");
        check(&path, PLAN.count, &reference, &what);
    });
    eprintln!(
        "{fault}{suffix}: {} points, the writer reached its end in {}",
        points.len(),
        ended_well.into_inner()
    );
}

/// No kill shows a missing flush, because the system keeps what a process wrote. The order of calls does: log, flush, then the
/// side file, which must never lead, then the word to the caller.
#[test]
fn what_is_acknowledged_was_flushed_and_the_head_comes_after() {
    if !strace_is_here() {
        return;
    }
    let folder = scratch();
    let log = folder.path().join("log");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-y", "-o"])
        .arg(&log)
        .args(["-e", "trace=write,pwrite64,fsync,fdatasync"])
        .arg(writer())
        .args(PLAN.arguments(&folder.path().join("ledger")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (mut written, mut flushed, mut remembered, mut acknowledged) = (false, false, false, 0);
    for line in fs::read_to_string(log).unwrap().lines() {
        if line.contains("ledger-wal>") {
            let is_write = line.contains("write");
            written |= is_write;
            flushed = !is_write && written;
        } else if line.contains("write(") && line.contains("ledger.head>") {
            assert!(flushed, "the head leads: {line}");
            remembered = true;
        } else if line.contains("\"ack ") {
            assert!(flushed && remembered, "too early: {line}");
            (written, flushed, remembered) = (false, false, false);
            acknowledged += 1;
        } else if line.contains("ledger>") && line.contains("sync(") {
            // Closing moves the log into the file; what is opened next begins anew.
            (written, flushed, remembered) = (false, false, false);
        }
    }
    assert_eq!(acknowledged, PLAN.count);
}

#[test]
fn a_kill_at_every_change_loses_nothing() {
    exhaust(CHANGING, 1, "signal=SIGKILL", "");
}

#[test]
fn a_full_disk_at_every_change_loses_nothing() {
    exhaust(CHANGING, 1, "error=ENOSPC", "");
}

#[test]
fn a_failing_disk_at_every_change_loses_nothing() {
    exhaust(CHANGING, 1, "error=EIO", "");
}

#[test]
fn a_disk_that_stays_full_loses_nothing() {
    exhaust("pwrite64,ftruncate,fsync", 3, "error=ENOSPC", "+");
}

#[test]
fn failing_reads_and_locks_lose_nothing() {
    exhaust(ASKING, 4, "error=EIO", "");
}
