//! What every attack stands on: a folder that it may write, a folder beside it that it mustn't see, and a cell.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use sandbox::{Continue, Helper, Job, Level, Limits, Mount, Outcome, Sandbox, SandboxError};

/// Names the helper where the one that Cargo built can't be reached by the user who runs the tests.
pub const HELPER: &str = "SPRAG_TEST_CELL";

pub const SECRET: &str = "the hidden split";

pub fn helper() -> PathBuf {
    std::env::var_os(HELPER).map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_sprag-cell")),
        PathBuf::from,
    )
}

/// The levels of this machine.
pub fn levels() -> &'static [Sandbox] {
    static FOUND: OnceLock<Vec<Sandbox>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let wanted = [Level::Bubblewrap, Level::Landlock];
        let found = wanted.into_iter().filter_map(|level| {
            Sandbox::detect(Helper::program(helper()), Some(level))
                .inspect_err(|why| println!("LEFT OUT: {why}"))
                .ok()
        });
        found.collect()
    })
}

/// One attack at one level.
pub struct Ground<'a> {
    pub sandbox: &'a Sandbox,
    folder: tempfile::TempDir,
}

/// Runs `attack` at each level.
pub fn at_each_level(attack: impl Fn(&Ground<'_>)) {
    for sandbox in levels() {
        println!("-- {}", sandbox.level());
        attack(&Ground::on(sandbox));
    }
}

/// Runs `attack` at one level, where there is that.
pub fn at_level(level: Level, attack: impl Fn(&Ground<'_>)) {
    for sandbox in levels().iter().filter(|sandbox| sandbox.level() == level) {
        attack(&Ground::on(sandbox));
    }
}

impl<'a> Ground<'a> {
    pub fn on(sandbox: &'a Sandbox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ground = Self { sandbox, folder };
        for name in ["work", "locked", "outside"] {
            fs::create_dir(ground.at(name)).unwrap();
        }
        fs::write(ground.at("outside/secret"), SECRET).unwrap();
        fs::write(ground.at("locked/given"), "given").unwrap();
        ground
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn level(&self) -> Level {
        self.sandbox.level()
    }

    /// A job that may write `work`, read `locked`, and not see `outside`.
    pub fn job<W: Into<OsString>>(&self, command: impl IntoIterator<Item = W>) -> Job {
        let mut limits = Limits::wall(Duration::from_secs(20));
        limits.grace = Duration::from_millis(300);
        let mut job = Job::new(command, self.at("work"), limits);
        job.read_only.push(Mount::at(self.at("locked")));
        let outside = self.at("outside").to_string_lossy().into_owned();
        let locked = self.at("locked").to_string_lossy().into_owned();
        let engine = std::process::id().to_string();
        job.environment.insert("OUTSIDE".to_owned(), outside);
        job.environment.insert("LOCKED".to_owned(), locked);
        job.environment.insert("ENGINE".to_owned(), engine);
        job
    }

    pub fn shell(&self, script: &str) -> Job {
        self.job(["sh", "-c", script])
    }

    pub fn python(&self, script: &str) -> Job {
        self.job(["/usr/bin/python3", "-I", "-c", script])
    }

    pub fn run(&self, job: &Job) -> Outcome {
        self.sandbox.run(job, &mut |_| Continue::Yes).unwrap()
    }

    pub fn refused(&self, job: &Job) -> SandboxError {
        self.sandbox.run(job, &mut |_| Continue::Yes).unwrap_err()
    }

    /// Runs a script of which each line `name: result` is an attempt; gives those that got through.
    pub fn breaches(&self, job: &Job) -> Vec<String> {
        let outcome = self.run(job);
        let text = stdout(&outcome);
        let said = stderr(&outcome);
        assert!(
            text.lines().any(|line| line == "all tried"),
            "{:?} {} {text} {said}",
            self.level(),
            outcome.end
        );
        let through = text.lines().filter(|line| line.starts_with("THROUGH"));
        through.map(str::to_owned).collect()
    }
}

pub fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()
}

pub fn stderr(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stderr.bytes).into_owned()
}

/// Processes of this machine whose command line holds `mark`.
pub fn alive(mark: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(mark))
        .count()
}

/// Temporary folders and control groups of cells whose supervisor is `pid`.
pub fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.to_string_lossy().contains("sprag-cell-"))
        .collect()
}

/// A number that no other test uses, for `sleep`.
pub fn mark() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("300.{}{next:03}", std::process::id())
}
