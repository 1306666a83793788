//! What every cheat stands on: the levels of this machine, a folder with the programs, and the judge that it wants to fool.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use judge::{Answer, Cell, Split, Told};
use sandbox::{Helper, Level, Sandbox};

pub const PARTS: &str = env!("CARGO_BIN_EXE_sprag-judge-parts");

/// The levels of this machine.
pub fn levels() -> &'static [Sandbox] {
    static FOUND: OnceLock<Vec<Sandbox>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let helper = || Helper {
            program: PARTS.into(),
            arguments: vec!["cell".into()],
        };
        let wanted = [Level::Bubblewrap, Level::Landlock];
        let found: Vec<Sandbox> = wanted
            .into_iter()
            .filter_map(|level| {
                Sandbox::detect(helper(), Some(level))
                    .inspect_err(|why| println!("LEFT OUT: {why}"))
                    .ok()
            })
            .collect();
        assert!(!found.is_empty(), "no level of sealing on this machine");
        found
    })
}

/// One judgement at a time: a judge is alone in its process, and tells its candidate's processes from others by that.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a cheat has to end in.
#[derive(Clone, Copy)]
pub enum Expect {
    /// A refusal with these words.
    Refused(&'static str),
    /// A judgement in which it is not better than the honest one.
    NoGain,
}

/// One program and the cheat that it is.
pub struct Cheat {
    pub program: &'static str,
    pub expect: Expect,
}

pub const fn refused(program: &'static str, words: &'static str) -> Cheat {
    Cheat {
        program,
        expect: Expect::Refused(words),
    }
}

pub const fn no_gain(program: &'static str) -> Cheat {
    Cheat {
        program,
        expect: Expect::NoGain,
    }
}

/// A folder with all programs of one kind.
pub struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    pub fn of(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ground = Self { folder };
        fs::create_dir(ground.at("artefact")).unwrap();
        fs::create_dir(ground.at("sealed")).unwrap();
        for entry in fs::read_dir(programs(kind)).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, ground.at("artefact").join(from.file_name().unwrap())).unwrap();
        }
        ground
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn told(&self, seed: u64) -> Told {
        Told {
            artefact: self.at("artefact"),
            champion: Some(self.at("artefact")),
            split: Split::Hidden,
            seed,
        }
    }
}

pub fn programs(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cheats")
        .join(kind)
}

/// A program in a cell with little of everything.
pub fn cell(program: &str) -> Cell {
    Cell {
        answer_limit: Duration::from_millis(1500),
        life_limit: Duration::from_secs(60),
        memory_bytes: 256 << 20,
        processes: 16,
        ..Cell::of(["python3", "-S", &format!("{program}.py")])
    }
}

/// The reason of a refusal; the answer in words where it is none.
pub fn reason(answer: &Answer) -> Result<String, String> {
    match answer {
        Answer::Refused { refused } => Ok(refused.to_string()),
        other => Err(format!("{other:?}")),
    }
}

/// Every program is in the table, and every one in the table is a program.
pub fn all_are_in(table: &[Cheat], kind: &str, others: &[&str]) {
    let mut files: Vec<String> = fs::read_dir(programs(kind))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut named: Vec<String> = table.iter().map(|cheat| cheat.program.to_owned()).collect();
    named.extend(others.iter().map(|&other| other.to_owned()));
    files.sort_unstable();
    named.sort_unstable();
    named.dedup();
    assert_eq!(files, named);
}
