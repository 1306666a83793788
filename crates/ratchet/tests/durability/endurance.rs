//! One small track whose end is known, the real engine as a process of its own, and what must hold after whatever was done to it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use ledger::Selection;
use ratchet::{Digest, History, Place, Record, seal};
use serde_json::Value;

use crate::repository::{World, program, said, scratch};

const TRACK: &str = r#"
name = "t"
[artefact]
mutable = ["value"]
sealed = ["judge.sh"]
[judge]
command = ["sh", "judge.sh"]
metric = "m"
better = "higher"
kind = "score"
[gate]
unit = 2
patience = 3
baseline_runs = BASELINE
[sandbox]
workers = WORKERS
[[proposer]]
kind = "search"
method = "random"
knob = [{ file = "value", line = "V={}", range = [1, 90] }]
"#;

/// The judge is deterministic in the files and the seed.
const JUDGE: &str = r#"
value=$(cat "$SPRAG_ARTEFACT/value")
last=${SPRAG_SEED#"${SPRAG_SEED%????}"}
echo "{\"value\": $(( ${value#V=} * 300 + 1$last - 10000 ))}" > "$SPRAG_RESULT"
"#;

/// A track that is brought to so many experiments.
pub struct Plan {
    template: World,
    pub experiments: u64,
}

impl Plan {
    pub fn new(experiments: u64, baseline: u32, workers: usize) -> Self {
        let track = TRACK
            .replace("BASELINE", &baseline.to_string())
            .replace("WORKERS", &workers.to_string());
        let template = World::new(&[
            ("track.toml", &track),
            ("judge.sh", JUDGE),
            ("value", "V=20\n"),
        ]);
        // One key for all, so that all draw the same seeds.
        let folder = template.place().folder;
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("key"), [7; 32]).unwrap();
        Self {
            template,
            experiments,
        }
    }

    /// The track before its first run.
    pub fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let folder = scratch();
        let root = folder.path().join("repository");
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(&self.template.root)
                .arg(&root)
                .status()
                .unwrap()
                .success()
        );
        (folder, root)
    }

    pub fn arguments(&self, root: &Path) -> Vec<String> {
        [
            "run",
            root.to_str().unwrap(),
            &self.experiments.to_string(),
            "unsealed",
        ]
        .map(str::to_owned)
        .into()
    }

    /// Runs, or goes on, undisturbed.
    pub fn finish(&self, root: &Path) {
        let output = Command::new(program())
            .args(self.arguments(root))
            .output()
            .unwrap();
        assert!(output.status.success(), "undisturbed: {}", said(&output));
    }

    pub fn reference(&self) -> State {
        let (_folder, root) = self.copy();
        self.finish(&root);
        State::of(&root)
    }
}

/// All that a track came to, without times, commits and sessions.
#[derive(Debug, PartialEq)]
pub struct State {
    pub records: Vec<Value>,
    champion: String,
    candidates: BTreeMap<String, String>,
}

fn git(root: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        said(&output)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl State {
    pub fn of(root: &Path) -> Self {
        let place = Place::open(root).unwrap();
        let entries = place.reader().unwrap().entries(&Selection::all()).unwrap();
        let records = partial(&entries);
        let tree = |name: &str| git(root, &["rev-parse", &format!("{name}^{{tree}}")]);
        let names = git(
            root,
            &["for-each-ref", "--format=%(refname)", &place.candidates()],
        );
        let history = place.history().unwrap();
        assert_eq!(
            git(root, &["rev-parse", &place.champion()]),
            history.champion.unwrap().as_str()
        );
        Self {
            records,
            champion: tree(&place.champion()),
            candidates: names
                .lines()
                .map(|name| (name.to_owned(), tree(name)))
                .collect(),
        }
    }
}

impl State {
    /// The first difference alone: a whole history is more than anybody reads.
    pub fn assert_same(&self, reference: &Self, what: &str) {
        let longest = self.records.len().max(reference.records.len());
        for i in 0..longest {
            let (found, expected) = (self.records.get(i), reference.records.get(i));
            assert_eq!(found, expected, "{what}: record {i} of {longest}");
        }
        assert_eq!(self.candidates, reference.candidates, "{what}: candidates");
        assert_eq!(self, reference, "{what}");
    }
}

/// What must hold after a kill: gives how much of the error was spent.
pub fn check(root: &Path, acknowledged: &str, reference: &State, what: &str) -> f64 {
    let place = Place::open(root).unwrap();
    let acknowledged: Vec<&str> = acknowledged
        .lines()
        .filter(|line| line.len() == 64)
        .collect();
    if !place.ledger().exists() {
        assert!(
            acknowledged.is_empty(),
            "{what}: acknowledged records, and no ledger"
        );
        return 0.0;
    }
    let Ok(reader) = place.reader() else {
        // Killed while it was made: nothing can have been acknowledged.
        assert!(
            acknowledged.is_empty(),
            "{what}: acknowledged records, and no readable ledger"
        );
        return 0.0;
    };
    reader
        .verify()
        .unwrap_or_else(|broken| panic!("{what}: {broken}"));
    let entries = reader.entries(&Selection::all()).unwrap();
    let digests: Vec<Digest> = entries
        .iter()
        .map(|entry| Digest::of(entry.body.to_string().as_bytes()))
        .collect();
    let mut rest = digests.iter();
    for line in acknowledged {
        assert!(
            rest.any(|digest| digest.as_str() == line),
            "{what}: an acknowledged record is not there"
        );
    }
    let records: Vec<Record> = entries
        .iter()
        .map(|entry| serde_json::from_value(entry.body.clone()).unwrap())
        .collect();
    // Everything that was recorded is a beginning of the uninterrupted history.
    let state: Vec<Value> = partial(&entries);
    for (i, found) in state.iter().enumerate() {
        let expected = reference.records.get(i);
        assert_eq!(Some(found), expected, "{what}: record {i}");
    }
    let history = History::of(&entries).unwrap_or_else(|error| panic!("{what}: {error}"));
    let champions: Vec<String> = records
        .iter()
        .filter_map(|record| match record {
            Record::Begun { champion, .. } => Some(champion.to_string()),
            Record::Promoted { to, .. } => Some(to.to_string()),
            _ => None,
        })
        .collect();
    let pointed = place
        .repository
        .resolve(&place.champion())
        .unwrap()
        .map(|commit| commit.to_string());
    let known: Vec<&String> = champions.iter().rev().take(2).collect();
    assert!(
        pointed.iter().all(|commit| known.contains(&commit)),
        "{what}: the champion is neither the old nor the new one"
    );
    if let Some(sealed) = &history.seal {
        // What the ledger rests on is there.
        seal::check(sealed, &place.track, root, &place.epoch(sealed.epoch))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    history.gate.map_or(0.0, |gate| gate.spent().races as f64)
}

fn partial(entries: &[ledger::Entry]) -> Vec<Value> {
    let mut records = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind != "session") {
        let mut body = entry.body.clone();
        let fields = body.as_object_mut().unwrap();
        for name in [
            "commit", "base", "champion", "from", "to", "seconds", "figures",
        ] {
            fields.remove(name);
        }
        records.push(serde_json::json!([
            entry.experiment,
            entry.epoch,
            entry.judge,
            body
        ]));
    }
    records
}

/// Runs `job` for each number below `count`, on every processor.
pub fn for_each(count: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    job(index);
                }
            });
        }
    });
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
