//! Several processes on one ledger, and disks that are full or cannot be written.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod disk;
mod writing;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use disk::scratch;
use ledger::{Holder, Ledger, LedgerError, Reader, Selection, is_busy};
use writing::{Plan, acknowledged, check, entries, said, writer};

const PLAN: Plan = Plan {
    count: 200,
    body_bytes: 2000,
    reopen_every: 1000,
};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn hold(path: &Path) -> Killed {
    let mut child = Command::new(writer())
        .args(["hold", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "holding\n");
    Killed(child)
}

#[test]
fn a_second_writer_is_refused_at_once_and_let_in_after_a_kill() {
    let folder = scratch();
    let path = folder.path().join("ledger");
    assert_eq!(is_busy(&path).unwrap(), None);
    let first = hold(&path);
    let pid = Some(first.0.id());
    assert_eq!(is_busy(&path).unwrap(), Some(Holder { pid }));
    let began = Instant::now();
    let error = Ledger::open(&path).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(
        matches!(error, LedgerError::Busy { holder, .. } if holder.pid == pid),
        "{error}"
    );
    assert!(Reader::open(&path).unwrap().verify().is_ok());
    drop(first);
    assert_eq!(is_busy(&path).unwrap(), None);
    let second = Ledger::open(&path).unwrap();
    assert!(matches!(Ledger::open(&path), Err(LedgerError::Busy { .. })));
    drop(second);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_ledger_is_the_same_ledger() {
    let folder = scratch();
    let path = folder.path().join("ledger");
    let _first = hold(&path);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(is_busy(&link).unwrap().is_some());
    assert!(matches!(Ledger::open(&link), Err(LedgerError::Busy { .. })));
}

#[test]
fn readers_see_whole_prefixes_while_a_writer_writes() {
    let reference = PLAN.reference();
    let folder = scratch();
    let path = folder.path().join("ledger");
    let mut child = Command::new(writer())
        .args(PLAN.arguments(&path))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut looks, mut seen) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let Ok(reader) = Reader::open(&path) else {
            continue;
        };
        let entries = reader.entries(&Selection::all()).unwrap();
        assert_eq!(entries, reference[..entries.len()]);
        assert!(entries.len() >= seen, "an entry vanished");
        seen = entries.len();
        reader.verify().unwrap();
        looks += 1;
    }
    assert!(child.wait().unwrap().success());
    assert!(looks > 0);
    assert_eq!(entries(&path), reference);
}

#[cfg(unix)]
#[test]
fn a_ledger_deleted_or_replaced_under_its_writer_takes_no_more() {
    let folder = scratch();
    let path = folder.path().join("ledger");
    let short = Plan { count: 3, ..PLAN };
    short.finish(&path);
    let mut ledger = Ledger::open(&path).unwrap();
    let kept = folder.path().join("kept");
    fs::rename(&path, &kept).unwrap();
    let draft = ledger::Draft {
        kind: "trial",
        experiment: None,
        epoch: 0,
        judge: "",
        worker: "",
        body: serde_json::Value::Null,
    };
    let gone = ledger.append(&draft).unwrap_err();
    assert!(matches!(gone, LedgerError::Replaced { .. }), "{gone}");
    fs::copy(&kept, &path).unwrap();
    let replaced = ledger.append(&draft).unwrap_err();
    assert!(
        matches!(replaced, LedgerError::Replaced { .. }),
        "{replaced}"
    );
    fs::rename(&kept, &path).unwrap();
    assert_eq!(ledger.append(&draft).unwrap().seq, 4);
}

/// A limit on the size of files cuts a write off in its middle: a really short write, then an error.
#[cfg(target_os = "linux")]
#[test]
fn short_writes_keep_all_that_was_acknowledged() {
    let plan = Plan { count: 12, ..PLAN };
    let reference = plan.reference();
    let (mut cut_midway, step) = (0, 5);
    for blocks in (1..=250).step_by(step) {
        let folder = scratch();
        let path = folder.path().join("ledger");
        let output = Command::new("sh")
            .args([
                "-c",
                "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"",
                "sh",
            ])
            .arg(blocks.to_string())
            .arg(writer())
            .args(plan.arguments(&path))
            .output()
            .unwrap();
        let what = format!("files of at most {blocks} blocks");
        let there = check(&path, acknowledged(&output.stdout), &reference, &what);
        cut_midway += u32::from(there > 0 && there < plan.count);
        plan.finish(&path);
        assert_eq!(entries(&path), reference, "{what}");
    }
    assert!(
        cut_midway > 3,
        "only {cut_midway} writers were cut off among entries"
    );
}

/// Runs `script` as root of its own namespace, where `$1` is a small empty disk, `$2` the writer and `$3` an outside folder.
/// `None` where the system does not allow it; the strace tests cover the same faults one by one.
#[cfg(target_os = "linux")]
fn on_a_small_disk(script: &str, outside: &Path) -> Option<std::process::Output> {
    let disk = scratch();
    let shell = format!("set -e; mount -t tmpfs -o size=1m none \"$1\"; {script}");
    let run = |shell: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", shell, "sh"]);
        command.arg(disk.path()).arg(writer()).arg(outside).output()
    };
    let allowed = run("set -e; mount -t tmpfs -o size=1m none \"$1\"");
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("no small disk here: user namespaces or mounts are not allowed");
        return None;
    }
    Some(run(&shell).unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_really_full_disk_keeps_all_that_was_acknowledged() {
    let reference = PLAN.reference();
    let outside = scratch();
    // Fill the disk, let the writer run into its end, make room, let it go on.
    let script = "
        head -c 600000 /dev/zero > \"$1/ballast\"
        \"$2\" \"$1/ledger\" 200 2000 1000 && exit 9
        cp \"$1\"/ledger* \"$3\"
        echo room
        rm \"$1/ballast\"
        \"$2\" \"$1/ledger\" 30 2000 1000
        \"$2\" read \"$1/ledger\"";
    let Some(output) = on_a_small_disk(script, outside.path()) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let (full, after) = text.split_once("room\n").unwrap();
    assert!(full.contains("refused: append: no room to write"), "{full}");
    let path = outside.path().join("ledger");
    let there = check(
        &path,
        acknowledged(full.as_bytes()),
        &reference,
        "full disk",
    );
    assert!(there > 3, "{full}");
    assert!(after.contains("verified"), "{after}");
    PLAN.finish(&path);
    assert_eq!(entries(&path), reference);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_cannot_be_written_can_be_read() {
    let outside = scratch();
    // Closed in order (no log), then with the log of a killed writer, without its index.
    let script = "
        \"$2\" \"$1/ledger\" 5 100 1000
        rm -f \"$1/ledger-shm\"
        mount -o remount,ro \"$1\"
        \"$2\" read \"$1/ledger\"
        mount -o remount,rw \"$1\"
        \"$2\" hold \"$1/ledger\" > /dev/null & held=$!
        sleep 0.3
        kill -9 $held
        wait $held || true
        rm -f \"$1/ledger-shm\"
        mount -o remount,ro \"$1\"
        \"$2\" read \"$1/ledger\"";
    let Some(output) = on_a_small_disk(script, outside.path()) else {
        return;
    };
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let reads = text.matches("read 5 verified 5 UpTo(5)").count();
    assert_eq!(reads, 2, "{text}");
}
