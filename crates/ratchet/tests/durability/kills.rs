//! SIGKILL at random moments: nothing acknowledged is lost, what was recorded is always a beginning of the uninterrupted history, and
//! the end is the same. `SPRAG_KILLS=1000 cargo test --release -p ratchet --test durability` does as many; by default it is what fits a minute.

use std::{
    io::Read as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::endurance::{Plan, State, check, for_each};
use crate::repository::program;

const KILLS_PER_HISTORY: usize = 10;

/// Steele, Lea and Flood's SplitMix64: the same kills in every run, as far as a scheduler allows.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn random_kills_lose_nothing() {
    println!("{}", kill(kills(70), 1));
}

#[test]
fn random_kills_of_two_workers_lose_nothing() {
    if silicon::probe::own_cores().iter().flatten().count() < 2 {
        println!("skipped: two workers need two processors");
        return;
    }
    println!("{}", kill(kills(30), 2));
}

fn kills(default: usize) -> usize {
    let told = std::env::var("SPRAG_KILLS").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Kills so often, and says when the kills fell.
fn kill(kills: usize, workers: usize) -> String {
    let plan = Plan::new(12, 4, workers);
    let began = Instant::now();
    let reference = plan.reference();
    // A kill falls within a quarter of the time that an undisturbed run takes, so that ten of them meet all of its parts.
    let most = (began.elapsed().as_micros() as u64 / 4).max(1);
    let (midway, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_each(kills.div_ceil(KILLS_PER_HISTORY), |history| {
        let (_folder, root) = plan.copy();
        let mut spent = 0.0;
        for kill in 0..KILLS_PER_HISTORY {
            let what = format!("history {history}, kill {kill}");
            let mut child = Command::new(program())
                .args(plan.arguments(&root))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_micros(
                mixed((history * KILLS_PER_HISTORY + kill + 1) as u64) % most,
            ));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            let (mut out, mut complaint) = (String::new(), String::new());
            child
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut out)
                .unwrap();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut complaint)
                .unwrap();
            assert!(complaint.is_empty(), "{what}: {complaint}");
            let now = check(&root, &out, &reference, &what);
            assert!(spent <= now, "{what}: spent error came back");
            spent = now;
            if !status.success() && !out.is_empty() {
                midway.fetch_add(1, Ordering::Relaxed);
            }
            if status.success() {
                late.fetch_add(1, Ordering::Relaxed);
            }
        }
        plan.finish(&root);
        State::of(&root).assert_same(&reference, &format!("history {history}"));
    });
    let (midway, late) = (midway.into_inner(), late.into_inner());
    assert!(
        midway * 3 > kills,
        "only {midway} of {kills} kills fell while records were written"
    );
    format!(
        "{midway} of {kills} kills fell while records were written, {late} came after the end; {} records",
        reference.records.len()
    )
}
