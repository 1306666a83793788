//! The real engine with a real seal at work in a repository.

use std::fs;

use gate::Want;
use ratchet::{
    Ended, Engine, EngineError, History, Observer, Place, Record, Start, Until,
    history::Experiment,
    proposer::{Standing, human},
};
use sandbox::Helper;

pub use crate::repository::{World, program, said};

/// A judge in `sh`: the number in the artefact's `value` times 3000, and noise from 0 to 9999 drawn by the seed.
pub const JUDGE: &str = r#"
value=$(cat "$SPRAG_ARTEFACT/value")
last=${SPRAG_SEED#"${SPRAG_SEED%????}"}
echo "{\"value\": $(( value * 3000 + 1$last - 10000 ))}" > "$SPRAG_RESULT"
"#;

/// A score track over `value`, judged by [`JUDGE`], with whatever is put behind it.
pub fn score_track(more: &str) -> String {
    format!(
        r#"
name = "t"
[artefact]
mutable = ["value", "notes/**"]
sealed = ["judge.sh"]
[judge]
command = ["sh", "judge.sh"]
time = "10s"
metric = "m"
better = "higher"
kind = "score"
[gate]
unit = 1
{more}
"#
    )
}

pub struct Quiet;

impl Observer for Quiet {
    fn measuring(&mut self, _: &Want, _: Option<u64>) {}
    fn proposing(&mut self, _: u64, _: &str) {}
    fn recorded(&mut self, _: &Record, _: Option<u64>, _: &History) {}
}

pub fn start() -> Start {
    Start {
        helper: Helper {
            program: program(),
            arguments: vec!["cell".into()],
        },
        level: None,
        version: "test".to_owned(),
        machine: serde_json::json!("test"),
    }
}

impl World {
    /// A score track with a value of 10.
    pub fn score(more: &str) -> Self {
        Self::new(&[
            ("track.toml", &score_track(more)),
            ("judge.sh", JUDGE),
            ("value", "10\n"),
        ])
    }

    /// Runs so many more experiments.
    pub fn try_run(&self, experiments: u64) -> Result<(Ended, History), EngineError> {
        let place = Place::open(&self.root)?;
        let never = || false;
        let mut engine = Engine::start(&place, &start(), &never, &mut Quiet)?;
        let until = Until {
            experiments: Some(experiments),
            ..Until::default()
        };
        let ended = engine.run(until, &mut Quiet)?;
        let history = engine.history().clone();
        drop(engine);
        // What was kept in memory is what the ledger says.
        let read = place.history().unwrap();
        assert_eq!(read.experiments, history.experiments);
        assert_eq!(read.gate, history.gate);
        place.reader().unwrap().verify().unwrap();
        Ok((ended, history))
    }

    pub fn run(&self, experiments: u64) -> History {
        self.try_run(experiments).unwrap().1
    }

    /// Puts a person's change of the checked-out commit into the inbox: `None` deletes.
    pub fn propose(
        &self,
        changes: &[(&str, Option<&str>)],
        title: &str,
    ) -> Result<String, ratchet::Void> {
        let place = self.place();
        let folder = tempfile::tempdir().unwrap();
        let head = place.repository.head().unwrap();
        for (path, contents) in
            ratchet::mutable_files(&place.repository, &place.track, &head).unwrap()
        {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents.bytes).unwrap();
        }
        for (path, text) in changes {
            let path = folder.path().join(path);
            match text {
                Some(text) => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                None => fs::remove_file(path).unwrap(),
            }
        }
        human::put(&place.repository, &place.track, &head, folder.path(), title).unwrap()
    }

    /// Proposes a change, has it measured, and gives what became of it.
    pub fn experiment(&self, changes: &[(&str, Option<&str>)]) -> Experiment {
        self.propose(changes, "a change").unwrap();
        last(&self.run(1))
    }
}

/// The latest experiment.
pub fn last(history: &History) -> Experiment {
    history.experiments.values().next_back().unwrap().clone()
}

/// How many experiments stand so.
pub fn count(history: &History, standing: Standing) -> usize {
    history
        .experiments
        .values()
        .filter(|e| e.standing == standing)
        .count()
}

/// All that was said of an experiment, in one text.
pub fn words(experiment: &Experiment) -> String {
    experiment.words.join("; ")
}
