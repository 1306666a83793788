//! SIGKILL at any moment, several hundred times with a fixed seed: nothing acknowledged is lost, and the interrupted history ends
//! as the uninterrupted one. Bodies are large, so that SQLite's log is moved into the file while the kills fall.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod disk;
mod parallel;
mod writing;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use disk::scratch;
use parallel::for_each;
use writing::{Plan, acknowledged, check, entries, writer};

const PLAN: Plan = Plan {
    count: 120,
    body_bytes: 60_000,
    reopen_every: 50,
};
const HISTORIES: usize = 30;
const KILLS_PER_HISTORY: u64 = 10;

/// Steele, Lea and Flood's SplitMix64: the same kills in every run, as far as a scheduler allows.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn random_kills_lose_nothing() {
    let reference = PLAN.reference();
    let killed_midway = AtomicUsize::new(0);
    for_each(HISTORIES, |history| {
        let folder = scratch();
        let path = folder.path().join("ledger");
        for kill in 0..KILLS_PER_HISTORY {
            let seed = history as u64 * KILLS_PER_HISTORY + kill + 1;
            let what = format!("history {history}, kill {kill}");
            let mut child = Command::new(writer())
                .args(PLAN.arguments(&path))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_micros(mixed(seed) % 25_000));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            let mut out = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
            let there = check(&path, acknowledged(&out), &reference, &what);
            if !status.success() && there > 0 {
                killed_midway.fetch_add(1, Ordering::Relaxed);
            }
        }
        PLAN.finish(&path);
        assert_eq!(entries(&path), reference, "history {history}");
    });
    let midway = killed_midway.into_inner();
    println!(
        "{midway} of {} kills fell while entries were written",
        HISTORIES as u64 * KILLS_PER_HISTORY
    );
    assert!(
        midway > 30,
        "only {midway} kills fell while entries were written"
    );
}
