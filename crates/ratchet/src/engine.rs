//! The loop: ask the gate what it wants, measure that, write it down, and let the champion move when the gate says so.
//!
//! 1. One engine holds the ledger's lock. 2. What it knows is what the ledger says ([`History`]). 3. Every act is written before anything
//! is built on it; a death between two acts loses at most a measurement, which is taken again with the same seed. 4. Git references follow
//! the ledger: at a start they are brought to where it says they should be. 5. Nothing else remembers anything.

use std::{
    fs, io,
    path::PathBuf,
    time::Instant,
};

use gate::{Decision, Event, Gate, Kind, OutOfTurn, Want};
use ledger::{Draft, Ledger, LedgerError, Selection};
use sandbox::{Helper, Level, Sandbox, Unavailable};

use crate::{
    digest::Key,
    git::{GitError, ObjectId},
    history::{At, History, HistoryError},
    place::{Place, PlaceError},
    record::{Record, Void},
    seal::{self, Seal, SealError},
    trial::{self, Arm, Measured, What, Workshop, WorkshopError},
    tree::TreeError,
};

mod propose;

/// How an engine is started.
pub struct Start {
    /// What the child of a sandbox runs.
    pub helper: Helper,
    /// The level of sealing that is asked for; the best there is by default.
    pub level: Option<Level>,
    /// Sprag's version.
    pub version: String,
    /// What this machine is.
    pub machine: serde_json::Value,
}

/// How long an engine runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Until {
    /// No new experiment after this.
    pub time: Option<Instant>,
    /// This many new experiments.
    pub experiments: Option<u64>,
}

/// Why an engine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The time is over.
    Time,
    /// The number of experiments is reached.
    Experiments,
    /// Somebody asked for it.
    Asked,
    /// The gate wants nothing more.
    Complete,
    /// Nobody has anything to propose.
    NoProposals {
        /// In words.
        why: String,
    },
}

/// What an engine tells while it works.
pub trait Observer {
    /// The gate wants this; it is measured now.
    fn measuring(&mut self, want: &Want, experiment: Option<u64>);
    /// A candidate is asked for.
    fn proposing(&mut self, experiment: u64, proposer: &str);
    /// A record was written.
    fn recorded(&mut self, record: &Record, experiment: Option<u64>, history: &History);
}

/// Why an engine cannot go on. Everything that was recorded stays.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The track or its ledger.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger makes no sense.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// What was sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No seal for candidates.
    #[error(transparent)]
    Sandbox(#[from] Unavailable),
    /// A measurement.
    #[error(transparent)]
    Workshop(WorkshopError),
    /// Files.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The gate cannot take a reading.
    #[error(transparent)]
    Gate(#[from] OutOfTurn),
    /// The engine's own folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Mutable files differ from the commit that would be the champion.
    #[error("the first champion is the commit that is checked out, but {} differ from it: commit them, or put them aside with `git stash`", list(.0))]
    Dirty(Vec<PathBuf>),
    /// No mutable file in the commit.
    #[error("no file of the commit that is checked out matches artefact.mutable; add and commit what should be improved")]
    NothingMutable,
    /// The key is another one.
    #[error("{} is not the key that this ledger was begun with; put the old one back, or begin a track of another name", .0.display())]
    OtherKey(PathBuf),
    /// The ledger's references name commits that are gone.
    #[error("commit {0} of the ledger is not in the repository; was its `refs/sprag/` removed?")]
    Gone(ObjectId),
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().take(5).map(|path| path.display().to_string()).collect();
    match paths.len() {
        n if n > 5 => format!("{} and {} more files", names.join(", "), n - 5),
        _ => names.join(", "),
    }
}

/// A running engine.
pub struct Engine<'a> {
    place: &'a Place,
    ledger: Ledger,
    history: History,
    seal: Seal,
    key: Key,
    sandbox: Sandbox,
    plain: Sandbox,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Engine<'a> {
    /// Takes the ledger's lock, reads it, seals what is new or checks what was sealed, and probes the sandbox.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn start(place: &'a Place, start: &Start, stop: &'a dyn Fn() -> bool, observer: &mut dyn Observer) -> Result<Self, EngineError> {
        let folder = &place.folder;
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| EngineError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(io(folder))?;
        let ledger = place.writer(&start.machine, &start.version)?;
        let history = History::of(&ledger.entries(&Selection::all())?)?;
        let key = Key::at(&place.key()).map_err(io(&place.key()))?;
        if history.key.as_ref().is_some_and(|known| *known != key.fingerprint()) {
            return Err(EngineError::OtherKey(place.key()));
        }
        let sandbox = Sandbox::detect(start.helper.clone(), start.level)?;
        let plain = Sandbox::detect(start.helper.clone(), Some(Level::Unsealed))?;
        let (seal, new) = match &history.seal {
            Some(seal) => {
                seal::check(seal, &place.track, &place.repository.root(), &place.epoch(seal.epoch))?;
                (seal.clone(), false)
            }
            None => (sealed(place, 1)?, true),
        };
        let mut engine = Self {
            place,
            ledger,
            history,
            seal,
            key,
            sandbox,
            plain,
            stop,
        };
        if engine.history.champion.is_none() {
            engine.begin(observer)?;
        }
        if new {
            let seal = engine.seal.clone();
            let sealed = Record::Sealed {
                seal,
                gate: Box::new(place.track.settings.clone()),
                why: "the track begins".to_owned(),
            };
            engine.record(&sealed, None, observer)?;
        }
        engine.follow()?;
        match fs::remove_file(place.stop()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&place.stop())(error)),
            _ => {}
        }
        let session = Record::Session {
            sprag: start.version.clone(),
            level: engine.sandbox.level(),
            probes: engine.sandbox.probes().to_vec(),
            machine: start.machine.clone(),
            track: place.track.text.clone(),
        };
        engine.record(&session, None, observer)?;
        Ok(engine)
    }

    /// What the ledger says now.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How candidates are sealed.
    #[must_use]
    pub fn level(&self) -> Level {
        self.sandbox.level()
    }

    /// Runs until one of the limits, or until somebody asks it to stop.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn run(&mut self, until: Until, observer: &mut dyn Observer) -> Result<Ended, EngineError> {
        let ended = self.turns(until, observer);
        // Whatever a measurement left behind; what cannot be removed goes at the next start.
        let _left = crate::disk::remove(&self.place.work());
        ended
    }

    fn turns(&mut self, until: Until, observer: &mut dyn Observer) -> Result<Ended, EngineError> {
        let place = self.place;
        let (work, epoch, seal, key) = (place.work(), place.epoch(self.seal.epoch), self.seal.clone(), self.key.clone());
        let (asked, stop_file) = (self.stop, place.stop());
        let stop = move || asked() || stop_file.exists();
        // The sandbox is lent to the workshop for as long as the loop runs.
        let (sandbox, plain) = (self.sandbox.clone(), self.plain.clone());
        let mut workshop = Workshop::new(&place.track, &place.repository, &seal, &epoch, &work, &sandbox, &plain, &key, &stop)?;
        let mut left = until.experiments;
        let mut voids = 0;
        loop {
            if stop() {
                return Ok(Ended::Asked);
            }
            let Some(want) = self.history.gate.as_ref().map(Gate::next) else {
                return Err(HistoryError::OutOfPlace("the gate before the track's beginning").into());
            };
            let outcome = match want {
                Want::End => return Ok(Ended::Complete),
                Want::Champion { .. } | Want::Same | Want::Race { .. } => self.measure(&want, &mut workshop, observer),
                Want::Proposal => {
                    if self.history.pending.is_none() {
                        if until.time.is_some_and(|time| Instant::now() >= time) {
                            return Ok(Ended::Time);
                        }
                        if left == Some(0) {
                            return Ok(Ended::Experiments);
                        }
                        if voids >= propose::MOST_VOIDS {
                            let why = format!("the last {voids} proposals could not be measured: {}", self.last_void());
                            self.record(&Record::Stopped { why: why.clone() }, None, observer)?;
                            return Ok(Ended::NoProposals { why });
                        }
                        match self.propose(&workshop, observer) {
                            Ok(propose::Proposed::Measurable) => {}
                            Ok(propose::Proposed::Void) => {
                                left = left.map(|n| n.saturating_sub(1));
                                voids += 1;
                                continue;
                            }
                            Ok(propose::Proposed::Nobody { why }) => return Ok(Ended::NoProposals { why }),
                            Err(EngineError::Workshop(WorkshopError::Stopped)) => return Ok(Ended::Asked),
                            Err(error) => return Err(error),
                        }
                    }
                    voids = 0;
                    let outcome = self.measure(&want, &mut workshop, observer);
                    if outcome.is_ok() {
                        left = left.map(|n| n.saturating_sub(1));
                    }
                    outcome
                }
            };
            match outcome {
                Ok(()) => self.tidy(&mut workshop),
                Err(EngineError::Workshop(WorkshopError::Stopped)) => return Ok(Ended::Asked),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the measurement that the gate wants, and records it with what follows.
    fn measure(&mut self, want: &Want, workshop: &mut Workshop<'_>, observer: &mut dyn Observer) -> Result<(), EngineError> {
        let champion = self.champion()?;
        let tip = self.history.tip().cloned().unwrap_or_else(|| champion.clone());
        let (what, commit) = match want {
            Want::Champion { .. } => (What::Champion { number: self.history.champion_runs.len() as u64 }, champion.clone()),
            Want::Same => (What::Same { number: self.history.same_blocks.len() as u64 }, champion.clone()),
            Want::Race { race, index } => (What::Race { race: *race, index: *index }, tip),
            Want::Proposal => {
                let Some(experiment) = self.history.pending else { return Ok(()) };
                let commit = self.history.experiments.get(&experiment).map(|e| e.proposal.commit.clone());
                (What::Screen { experiment }, commit.unwrap_or(tip))
            }
            Want::End => return Ok(()),
        };
        let experiment = match what {
            What::Screen { experiment } => Some(experiment),
            _ => None,
        };
        observer.measuring(want, experiment);
        let label = trial::label(&what);
        let arm = match what {
            What::Champion { .. } | What::Same { .. } => Arm::Champion,
            _ => Arm::Candidate,
        };
        let (reading, figures) = match self.place.track.kind() {
            Kind::Timing => workshop.block(&champion, &commit, &label),
            Kind::Score | Kind::Cases => workshop.alone(&commit, arm, &label),
        }
        .map_err(EngineError::Workshop)?;
        let event = what
            .event(reading)
            .ok_or(HistoryError::OutOfPlace("a reading of the champion that is none"))?;
        self.tell(event, figures, experiment, observer)
    }

    /// Tells the gate, and records the event, the decisions, and a promotion if there is one, all or none.
    fn tell(&mut self, event: Event, figures: Measured, experiment: Option<u64>, observer: &mut dyn Observer) -> Result<(), EngineError> {
        let Some(gate) = &self.history.gate else {
            return Err(HistoryError::OutOfPlace("the gate before the track's beginning").into());
        };
        let decisions = gate.clone().apply(event.clone())?;
        let from = self.champion()?;
        let won = decisions.iter().find_map(|decision| match decision {
            Decision::RaceWon { race, members, .. } => Some((*race, members.clone())),
            _ => None,
        });
        let promoted = won.map(|(race, members)| Record::Promoted {
            to: self.history.tip().cloned().unwrap_or_else(|| from.clone()),
            from,
            race,
            members,
        });
        let measured = Record::Measured {
            figures: Box::new(figures),
            event,
            decisions,
        };
        let mut records = vec![(measured, experiment)];
        records.extend(promoted.map(|record| (record, None)));
        self.record_all(&records, observer)?;
        if records.len() > 1 {
            self.follow()?;
        }
        Ok(())
    }

    /// The first champion is what is checked out.
    fn begin(&mut self, observer: &mut dyn Observer) -> Result<(), EngineError> {
        let (track, repository) = (&self.place.track, &self.place.repository);
        let champion = repository.head()?;
        let dirty: Vec<PathBuf> = repository
            .dirty()?
            .into_iter()
            .filter(|path| matches!(track.globs.part(path), crate::track::Part::Mutable | crate::track::Part::Fixed))
            .collect();
        if !dirty.is_empty() {
            return Err(EngineError::Dirty(dirty));
        }
        if crate::tree::mutable(repository, track, &champion)?.is_empty() {
            return Err(EngineError::NothingMutable);
        }
        let begun = Record::Begun {
            champion,
            key: self.key.fingerprint(),
            gate: track.settings.clone(),
        };
        self.record(&begun, None, observer)
    }

    /// Brings the references to where the ledger says.
    fn follow(&self) -> Result<(), EngineError> {
        let champion = self.champion()?;
        if self.place.repository.resolve(champion.as_str())?.is_none() {
            return Err(EngineError::Gone(champion));
        }
        let reference = self.place.champion();
        if self.place.repository.resolve(&reference)?.as_ref() != Some(&champion) {
            self.place.repository.point(&reference, &champion)?;
        }
        Ok(())
    }

    fn champion(&self) -> Result<ObjectId, EngineError> {
        let none = HistoryError::OutOfPlace("no champion");
        self.history.champion.clone().ok_or_else(|| none.into())
    }

    /// Forgets builds that nothing needs any more.
    fn tidy(&self, workshop: &mut Workshop<'_>) {
        let commits: Vec<&ObjectId> = self.history.champion.iter().chain(self.history.tip()).collect();
        workshop.keep_only(&commits);
    }

    fn last_void(&self) -> String {
        let last = self.history.experiments.values().next_back();
        last.and_then(|e| e.void.as_ref()).map_or_else(String::new, Void::to_string)
    }

    fn record(&mut self, record: &Record, experiment: Option<u64>, observer: &mut dyn Observer) -> Result<(), EngineError> {
        self.record_all(&[(record.clone(), experiment)], observer)
    }

    fn record_all(&mut self, records: &[(Record, Option<u64>)], observer: &mut dyn Observer) -> Result<(), EngineError> {
        let judge = self.seal.id();
        let mut drafts = Vec::new();
        for (record, experiment) in records {
            drafts.push(Draft {
                kind: record.kind(),
                experiment: *experiment,
                epoch: self.seal.epoch,
                judge: judge.as_str(),
                worker: "engine",
                body: serde_json::to_value(record).map_err(|error| HistoryError::Record {
                    seq: 0,
                    why: error.to_string(),
                })?,
            });
        }
        let entries = self.ledger.append_all(&drafts)?;
        for ((record, experiment), entry) in records.iter().zip(&entries) {
            let at = At {
                time: &entry.at,
                experiment: *experiment,
            };
            self.history.apply(record, at)?;
            observer.recorded(record, *experiment, &self.history);
        }
        Ok(())
    }
}

/// Seals into the epoch's folder, whole or not at all.
fn sealed(place: &Place, epoch: u64) -> Result<Seal, SealError> {
    seal::seal(&place.track, &place.repository.root(), &place.epoch(epoch), epoch)
}

/// Begins a new epoch: seals what is there now.
///
/// # Errors
/// [`EngineError`].
pub fn reseal(place: &Place, start: &Start, why: &str, observer: &mut dyn Observer) -> Result<Seal, EngineError> {
    let mut ledger = place.writer(&start.machine, &start.version)?;
    let mut history = History::of(&ledger.entries(&Selection::all())?)?;
    let Some(old) = &history.seal else {
        return Err(PlaceError::NotBegun(place.track.name().to_owned()).into());
    };
    let seal = sealed(place, old.epoch + 1)?;
    let record = Record::Sealed {
        seal: seal.clone(),
        gate: Box::new(place.track.settings.clone()),
        why: why.to_owned(),
    };
    let id = seal.id();
    let entry = ledger.append(&Draft {
        kind: record.kind(),
        experiment: None,
        epoch: seal.epoch,
        judge: id.as_str(),
        worker: "engine",
        body: serde_json::to_value(&record).map_err(|error| HistoryError::Record {
            seq: 0,
            why: error.to_string(),
        })?,
    })?;
    let at = At {
        time: &entry.at,
        experiment: None,
    };
    history.apply(&record, at)?;
    observer.recorded(&record, None, &history);
    Ok(seal)
}
