//! Every system call by which the engine changes something kills it once, or fails once: nothing acknowledged is lost, what was recorded
//! is a beginning of the uninterrupted history, and after going on the end is the same.
//!
//! strace makes the real process fail for real; only the engine is traced, not git and not what is sealed. `SPRAG_EXHAUSTIVE=1` takes
//! every call; by default every so-many-th, so that the tests stay within a minute.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::endurance::{Plan, State, check, for_each, text};
use crate::repository::{program, said};

/// Calls that change the disk, or say that it has been changed; and those that begin another process, such as git.
const CHANGING: &str = "write,pwrite64,writev,fsync,fdatasync,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,symlink,symlinkat,mkdir,chmod,fchmod,copy_file_range,sendfile,clone,clone3,vfork";
/// Those of them that a full or failing disk can refuse.
const REFUSABLE: &str = "pwrite64,fsync,fdatasync,ftruncate,fallocate,rename,renameat2,unlink,link,symlink,mkdir,copy_file_range";

fn strace_is_here() -> bool {
    if Command::new("strace").arg("-V").output().is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("SPRAG_WITHOUT_STRACE").is_some(),
        "strace is not installed, so the engine's promises about kills and failing disks cannot be tested: install it \
         (Debian: `apt-get install strace`), or set SPRAG_WITHOUT_STRACE=1 to go without this proof"
    );
    false
}

/// A `?` before a name: some processors' systems lack some calls.
fn known(calls: &str) -> String {
    let optional: Vec<String> = calls.split(',').map(|call| format!("?{call}")).collect();
    optional.join(",")
}

/// How often an undisturbed run makes each of `calls`.
fn counts(plan: &Plan, calls: &str) -> BTreeMap<String, usize> {
    let (folder, root) = plan.copy();
    let log = folder.path().join("log");
    let output = Command::new("strace")
        .args(["-qq", "-e", &format!("trace={}", known(calls)), "-o"])
        .arg(&log)
        .arg(program())
        .args(plan.arguments(&root))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        if let Some((name, _)) = line.split_once('(') {
            *counts.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

/// One run with one fault, which must really have happened: what was acknowledged, and what it complained of.
fn run(
    plan: &Plan,
    folder: &Path,
    root: &Path,
    call: &str,
    fault: &str,
    what: &str,
) -> (String, String) {
    let log = folder.join("log");
    // Not `--seccomp-bpf`: with it, strace 6.1 delivers no signal.
    let output = Command::new("strace")
        .args(["-qq", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{fault}"), "-o"])
        .arg(&log)
        .arg(program())
        .args(plan.arguments(root))
        .output()
        .unwrap();
    let log = fs::read_to_string(log).unwrap();
    if fault.starts_with("signal") {
        assert!(log.contains("killed by SIGKILL"), "{what}: it lives\n{log}");
    } else {
        assert!(log.contains("(INJECTED)"), "{what}: nothing failed\n{log}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || complaint.len() > 10,
            "{what}: it ended without a word"
        );
        assert!(!complaint.contains("panicked"), "{what}: {complaint}");
    }
    (
        text(&output),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Every call of `calls`, or every so-many-th, with `fault`.
fn exhaust(calls: &str, fault: &str) {
    if !strace_is_here() {
        return;
    }
    let plan = Plan::new(2, 3, 1);
    let reference = plan.reference();
    let counts = counts(&plan, calls);
    let all: usize = counts.values().sum();
    let step = if std::env::var_os("SPRAG_EXHAUSTIVE").is_some() {
        1
    } else {
        (all / 40).max(1)
    };
    let mut points = Vec::new();
    let mut number = 0;
    for (call, count) in counts {
        for n in 1..=count {
            // The first of each call, and every so-many-th of all.
            if n == 1 || number % step == 0 {
                points.push((call.clone(), n));
            }
            number += 1;
        }
    }
    assert!(
        points.len() >= 20,
        "strace saw only {} points",
        points.len()
    );
    let complained = AtomicUsize::new(0);
    for_each(points.len(), |index| {
        let (call, n) = &points[index];
        let what = format!("{call} number {n} with {fault}");
        let (folder, root) = plan.copy();
        let (acknowledged, complaint) = run(
            &plan,
            folder.path(),
            &root,
            call,
            &format!("{fault}:when={n}"),
            &what,
        );
        if !complaint.is_empty() {
            complained.fetch_add(1, Ordering::Relaxed);
        }
        check(&root, &acknowledged, &reference, &what);
        plan.finish(&root);
        let after = format!("{what}: after going on ({complaint})");
        State::of(&root).assert_same(&reference, &after);
    });
    eprintln!(
        "{fault}: {} of {all} points, {} complaints, {} records",
        points.len(),
        complained.into_inner(),
        reference.records.len()
    );
}

#[test]
fn a_kill_at_every_change_loses_nothing() {
    exhaust(CHANGING, "signal=SIGKILL");
}

#[test]
fn a_full_disk_at_every_change_loses_nothing() {
    exhaust(REFUSABLE, "error=ENOSPC");
}

#[test]
fn a_failing_disk_at_every_change_loses_nothing() {
    exhaust(REFUSABLE, "error=EIO");
}
