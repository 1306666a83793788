//! The engine dies, by every kind of signal, and what it ran dies with it.
//!
//! The engine is this test program once more, told by its environment to run one job and nothing else.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use sandbox::{Continue, Level};

use crate::ground::{Ground, alive, at_each_level, leftovers, levels, mark};

const LEVEL: &str = "SPRAG_TEST_LEVEL";
const MARK: &str = "SPRAG_TEST_MARK";

/// Does nothing unless it is started by the tests below.
#[test]
fn an_engine_for_the_others() {
    let (Ok(level), Ok(mark)) = (std::env::var(LEVEL), std::env::var(MARK)) else {
        return;
    };
    let sandbox = levels()
        .iter()
        .find(|sandbox| sandbox.level().to_string() == level)
        .unwrap();
    let ground = Ground::on(sandbox);
    let script = format!("trap '' INT TERM HUP; setsid sleep {mark} & sleep {mark}; sleep {mark}");
    let _outcome = sandbox.run(&ground.shell(&script), &mut |_| Continue::Yes);
}

struct Engine {
    child: Child,
    temporary: tempfile::TempDir,
    mark: String,
}

impl Engine {
    /// Starts one and waits until its command and a straggler run.
    fn at(level: Level) -> Self {
        let mark = mark();
        let temporary = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine::an_engine_for_the_others"])
            .env(LEVEL, level.to_string())
            .env(MARK, &mark)
            .env("TMPDIR", temporary.path())
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let engine = Self {
            child,
            temporary,
            mark,
        };
        wait_until(|| engine.sleepers() >= 2);
        engine
    }

    fn sleepers(&self) -> usize {
        alive(&format!("sleep\0{}", self.mark))
    }

    /// Sends a signal to it and all of its group, as a terminal does; then nothing may be left.
    fn die_by(mut self, signal: Signal) {
        let groups = groups_of_cells();
        assert!(!leftovers(self.temporary.path()).is_empty());
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process_group(pid, signal).unwrap();
        self.child.wait().unwrap();
        let began = Instant::now();
        wait_until(|| self.sleepers() == 0);
        let folder = self.temporary.path().to_owned();
        wait_until(|| leftovers(&folder).is_empty());
        println!("   gone after {:?}", began.elapsed());
        // Others' cells come and go meanwhile; those that were there with a dead supervisor must not stay.
        wait_until(|| {
            groups
                .iter()
                .all(|group| !group.exists() || owner_lives(group))
        });
    }
}

fn groups_of_cells() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let folders = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controller, path) = (fields.next()?, fields.next()?);
        Some(
            Path::new("/sys/fs/cgroup")
                .join(controller)
                .join(path.trim_start_matches('/')),
        )
    });
    folders.flat_map(|folder| leftovers(&folder)).collect()
}

fn owner_lives(group: &Path) -> bool {
    let name = group.file_name().unwrap().to_string_lossy().into_owned();
    let pid = name.split('-').nth(3).unwrap_or_default().to_owned();
    Path::new("/proc").join(pid).exists()
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < until, "not within 5 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_engine_takes_everything_along() {
    at_each_level(|ground| Engine::at(ground.level()).die_by(Signal::KILL));
}

#[test]
fn a_ctrl_c_for_the_engine_leaves_the_one_who_cleans_up_alone() {
    at_each_level(|ground| Engine::at(ground.level()).die_by(Signal::INT));
}

#[test]
fn killed_with_its_supervisor_the_next_one_cleans_up() {
    at_each_level(|ground| {
        let engine = Engine::at(ground.level());
        let supervisors = children_of(engine.child.id());
        assert!(!supervisors.is_empty());
        let has_group = groups_of_cells().iter().any(|group| {
            let name = group.to_string_lossy();
            supervisors
                .iter()
                .any(|pid| name.contains(&format!("-{}-", pid.as_raw_nonzero())))
        });
        for pid in supervisors {
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        }
        let mut engine = engine;
        engine.child.kill().unwrap();
        engine.child.wait().unwrap();
        // `detect` looks in the folder of whoever calls it; that is the same for engines of one user.
        let swept = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine::a_sweeper_for_the_others"])
            .env(LEVEL, ground.level().to_string())
            .env("TMPDIR", engine.temporary.path())
            .stdout(Stdio::null())
            .status();
        assert!(swept.unwrap().success());
        assert!(leftovers(engine.temporary.path()).is_empty());
        if ground.level() == Level::Bubblewrap || has_group {
            wait_until(|| engine.sleepers() == 0);
        }
        // Without a namespace or a group, somebody who left the tree before both keepers were killed is beyond reach.
        for pid in sleepers(&engine.mark) {
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        }
    });
}

/// Does nothing unless it is started by the test above.
#[test]
fn a_sweeper_for_the_others() {
    if std::env::var(LEVEL).is_ok() {
        let helper = sandbox::Helper::program(crate::ground::helper());
        let _sandbox = sandbox::Sandbox::detect(helper, Some(Level::Unsealed)).unwrap();
    }
}

fn children_of(pid: u32) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_ascii_whitespace();
            pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn sleepers(mark: &str) -> Vec<Pid> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let marked = all.filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    });
    marked
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}
