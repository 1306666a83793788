//! The loop: ask the gate what it wants, measure that, write it down, and let the champion move when the gate says so.
//!
//! 1. One engine holds the ledger's lock.
//! 2. What it knows is what the ledger says ([`History`]).
//! 3. Every act is written before anything is built on it; a death between two acts loses at most a measurement, which is taken again
//!    with the same seed.
//! 4. Git references follow the ledger: at a start they are brought to where it says they should be.
//! 5. Nothing else remembers anything.

use std::{io, path::PathBuf, time::Instant};

use gate::{Gate, OutOfTurn, Want};
use ledger::{Draft, Ledger, LedgerError};
use sandbox::{Helper, Level, Sandbox, Unavailable};

use crate::{
    digest::Key,
    git::{GitError, ObjectId},
    history::{At, History, HistoryError},
    place::{Place, PlaceError},
    record::{Record, Void},
    seal::{Seal, SealError},
    tree::TreeError,
    trial::{Workshop, WorkshopError},
};

mod begin;
mod make;
mod measure;
mod propose;
mod prune;

pub use begin::reseal;
pub use make::Made;
pub use prune::Pruned;

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

/// What an engine may still do.
struct Quota {
    until: Until,
    /// Proposals in a row that could not be measured.
    voids: u64,
}

impl Quota {
    /// Why nothing new is begun beside what is pending, if that is so.
    fn over(&self, pending: usize) -> Option<Ended> {
        if self.until.time.is_some_and(|time| Instant::now() >= time) {
            return Some(Ended::Time);
        }
        let left = self.until.experiments?;
        (left <= pending as u64).then_some(Ended::Experiments)
    }

    /// So many experiments have their verdicts.
    fn done(&mut self, verdicts: u64) {
        self.until.experiments = self.until.experiments.map(|n| n.saturating_sub(verdicts));
    }

    /// An experiment had none.
    fn void(&mut self) {
        self.done(1);
        self.voids += 1;
    }
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
    /// Nothing changed that a new epoch could be about.
    #[error("judge, sealed files and rules are those of epoch {0}; there is nothing to seal anew")]
    SameSeal(u64),
    /// A folder that commands may read has the hidden files in it.
    #[error("`reads` names {}, which holds the track's hidden files and the engine's own; name the folders inside it that are needed", .0.display())]
    Exposed(PathBuf),
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
    #[error(
        "no file of the commit that is checked out matches artefact.mutable; add and commit what should be improved"
    )]
    NothingMutable,
    /// The key is another one.
    #[error("{} is not the key that this ledger was begun with; put the old one back, or begin a track of another name", .0.display())]
    OtherKey(PathBuf),
    /// The key is gone.
    #[error("{} is gone, and with it the seeds of what was begun; put it back, or begin a track of another name", .0.display())]
    NoKey(PathBuf),
    /// The first champion is larger than a candidate may be.
    #[error("the mutable files of the commit that is checked out hold {}, and artefact.most_bytes is {}", bytesize::ByteSize(*.bytes), bytesize::ByteSize(*.most))]
    TooLarge {
        /// Their bytes.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A search varies a literal that is not there.
    #[error(
        "proposer {proposer:?} varies the line {line:?}, which the first champion does not have: {why}"
    )]
    Knob {
        /// The proposer's name.
        proposer: String,
        /// The knob's line.
        line: String,
        /// Why it was not found.
        why: String,
    },
    /// Processors that are not there.
    #[error("`sandbox.processors` names {absent:?}, and this process may use {there:?}")]
    NoProcessor {
        /// Named, and not there.
        absent: Vec<usize>,
        /// All that there are.
        there: Vec<usize>,
    },
    /// A budget of joules where nothing counts them.
    #[error("`run.joules` needs an energy counter, and this machine shows none: {0}")]
    NoCounter(String),
    /// More workers than processors.
    #[error(
        "`sandbox.workers` is {workers}, and each needs a processor of its own: expected at most {processors} here"
    )]
    Workers {
        /// As the track asks.
        workers: usize,
        /// That it may use here.
        processors: usize,
    },
    /// What runs leave is asked for where they leave nothing.
    #[error(
        "{0} has nothing to keep: expected a track of scores or cases whose `run.output` names what a run leaves; its best source is on its champion's reference (`sprag ratchet finalize`)"
    )]
    NothingMade(String),
    /// An experiment that is not there, or has nothing of its own.
    #[error("there is no experiment {number} with a change of its own; the latest is {latest}")]
    NoExperiment {
        /// As it was asked for.
        number: u64,
        /// The latest.
        latest: u64,
    },
    /// The ledger's references name commits that are gone.
    #[error("commit {0} of the ledger is not in the repository; was its `refs/sprag/` removed?")]
    Gone(ObjectId),
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .take(5)
        .map(|path| path.display().to_string())
        .collect();
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
    /// How often the measurement at hand has failed since this engine started.
    failures: u64,
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// What workshops are made of.
struct Lent<'p> {
    place: &'p Place,
    epoch: PathBuf,
    seal: Seal,
    key: Key,
    sandbox: Sandbox,
    plain: Sandbox,
}

impl Lent<'_> {
    /// One for each worker of the track.
    fn workshops<'w>(
        &'w self,
        stop: &'w (dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Workshop<'w>>, EngineError> {
        let (track, work) = (&self.place.track, self.place.work());
        let mut workshops = Vec::new();
        for (processors, work) in measure::workers(track, &work)? {
            workshops.push(Workshop::new(
                track,
                &self.place.repository,
                &self.seal,
                &self.epoch,
                work,
                &self.sandbox,
                &self.plain,
                &self.key,
                processors,
                stop,
            )?);
        }
        Ok(workshops)
    }
}

impl<'a> Engine<'a> {
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

    /// What workshops hold on to while the engine writes down what they find.
    fn lent(&self) -> Lent<'a> {
        Lent {
            place: self.place,
            epoch: self.place.epoch(self.seal.epoch),
            seal: self.seal.clone(),
            key: self.key.clone(),
            sandbox: self.sandbox.clone(),
            plain: self.plain.clone(),
        }
    }

    /// Whether somebody wants the engine to stop, by a signal or by the stop file.
    fn stop_asked(&self) -> impl Fn() -> bool + Sync + use<'a> {
        let (asked, stop_file) = (self.stop, self.place.stop());
        move || asked() || stop_file.exists()
    }

    fn turns(&mut self, until: Until, observer: &mut dyn Observer) -> Result<Ended, EngineError> {
        let lent = self.lent();
        let stop = self.stop_asked();
        let mut workshops = lent.workshops(&stop)?;
        let mut quota = Quota { until, voids: 0 };
        loop {
            if stop() {
                return Ok(Ended::Asked);
            }
            match self.turn(&mut quota, &mut workshops, observer) {
                Ok(None) => workshops.iter_mut().for_each(|w| self.tidy(w)),
                Ok(Some(ended)) => return Ok(ended),
                Err(EngineError::Workshop(WorkshopError::Stopped)) => return Ok(Ended::Asked),
                Err(error) => return Err(error),
            }
        }
    }

    /// Some measurements, or one proposal.
    fn turn(
        &mut self,
        quota: &mut Quota,
        workshops: &mut [Workshop<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Option<Ended>, EngineError> {
        let Some(want) = self.history.gate.as_ref().map(Gate::next) else {
            return Err(HistoryError::OutOfPlace("the gate before the track's beginning").into());
        };
        let (Some(first), workers) = (workshops.first(), workshops.len()) else {
            return Ok(Some(Ended::Complete));
        };
        match want {
            Want::End => return Ok(Some(Ended::Complete)),
            Want::Proposal => {
                if let Some(old) = self.history.outrun().cloned() {
                    // It counts by what becomes of it under its new number.
                    if let propose::Proposed::Void = self.renew(old, observer)? {
                        quota.void();
                    }
                    return Ok(None);
                }
                let pending = self.history.pending.len();
                let has_room = pending < workers && !self.history.is_half_screened();
                let nothing_new = if has_room {
                    self.another(quota, first, observer)?
                } else {
                    None
                };
                match nothing_new {
                    Some(ended) if pending == 0 => return Ok(Some(ended)),
                    None if has_room => {}
                    _ => quota.done(self.measure(workshops, observer)?),
                }
            }
            Want::Champion { .. } | Want::Same | Want::Race { .. } => {
                self.measure(workshops, observer)?;
            }
        }
        Ok(None)
    }

    /// Asks for one more candidate, unless there is a reason to ask no more.
    fn another(
        &mut self,
        quota: &mut Quota,
        workshop: &Workshop<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Option<Ended>, EngineError> {
        let pending = self.history.pending.len();
        if let Some(ended) = quota.over(pending) {
            return Ok(Some(ended));
        }
        if quota.voids >= propose::MOST_VOIDS {
            let why = format!(
                "the last {} proposals could not be measured: {}",
                quota.voids,
                self.last_void()
            );
            if pending == 0 {
                self.record(&Record::Stopped { why: why.clone() }, None, observer)?;
            }
            return Ok(Some(Ended::NoProposals { why }));
        }
        match self.propose(workshop, observer)? {
            propose::Proposed::Measurable => quota.voids = 0,
            propose::Proposed::Void => quota.void(),
            propose::Proposed::Nobody { why } => return Ok(Some(Ended::NoProposals { why })),
        }
        Ok(None)
    }

    fn champion(&self) -> Result<ObjectId, EngineError> {
        let none = HistoryError::OutOfPlace("no champion");
        self.history.champion.clone().ok_or_else(|| none.into())
    }

    /// Forgets builds that nothing needs any more.
    fn tidy(&self, workshop: &mut Workshop<'_>) {
        let commits: Vec<&ObjectId> = self
            .history
            .champion
            .iter()
            .chain(self.history.tip())
            .collect();
        workshop.keep_only(&commits);
    }

    fn last_void(&self) -> String {
        let last = self.history.experiments.values().next_back();
        last.and_then(|e| e.void.as_ref())
            .map_or_else(String::new, Void::to_string)
    }

    fn record(
        &mut self,
        record: &Record,
        experiment: Option<u64>,
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        self.record_all(&[(record.clone(), experiment)], observer)
    }

    fn record_all(
        &mut self,
        records: &[(Record, Option<u64>)],
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
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
