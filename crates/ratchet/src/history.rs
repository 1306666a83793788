//! What a track's ledger says, read in order: the champion, the candidates and what became of them, and the gate.
//!
//! The engine keeps this while it works and rebuilds it when it starts; both go through [`History::apply`]. The gate decides anew from
//! the events. Decisions that differ from the recorded ones mean another version of the gate or a ledger that was tampered with, and both
//! end here.

use std::collections::{BTreeMap, BTreeSet};

use gate::{Better, Decision, Event, Gate, OutOfTurn, Reading, SettingsError};

use crate::{
    digest::Digest,
    git::ObjectId,
    proposer::Standing,
    record::{Proposal, Record},
    seal::Seal,
    track::file::Curve,
    trial::{Measured, Points, curve},
};

mod experiment;
mod known;
mod past;

pub use experiment::{Experiment, LeftOut, Race, Screen, Worth};

/// All that a ledger says.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The champion.
    pub champion: Option<ObjectId>,
    /// The first one.
    pub first: Option<ObjectId>,
    /// Of the key that seeds are drawn from.
    pub key: Option<Digest>,
    /// The seal in force.
    pub seal: Option<Seal>,
    /// The gate.
    pub gate: Option<Gate>,
    /// By number.
    pub experiments: BTreeMap<u64, Experiment>,
    /// By number.
    pub races: BTreeMap<u64, Race>,
    /// Readings of the champion with their figures and when they were taken.
    pub champion_runs: Vec<(String, Reading, Measured)>,
    /// How many of those were of a champion before this one, or of an epoch before this one.
    pub champion_runs_before: usize,
    /// Blocks of the champion against itself.
    pub same_blocks: Vec<(String, Reading, Measured)>,
    /// When engines started, and how candidates were sealed then.
    pub sessions: Vec<(String, sandbox::Level)>,
    /// Candidates that are proposed and neither measured nor void.
    pub pending: BTreeSet<u64>,
    /// The measurement that failed last, by its label, and how often it did; none since another one succeeded.
    pub failed: Option<(String, u64)>,
    /// Sum of the merged gains of this epoch, in the metric's units (log-ratio for timing).
    pub merged: f64,
    /// When the last record was written.
    pub last: Option<String>,
}

/// Why a ledger makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A record that cannot be read.
    #[error("entry {seq} is no record of this version: {why}")]
    Record {
        /// Which entry.
        seq: u64,
        /// Why.
        why: String,
    },
    /// A record that cannot stand where it stands.
    #[error("a record is out of place: {0}")]
    OutOfPlace(&'static str),
    /// The gate refuses an event.
    #[error("the gate refuses a recorded event: {0}")]
    Gate(#[from] OutOfTurn),
    /// Settings that the gate does not take.
    #[error("the gate's settings: {0}")]
    Settings(#[from] SettingsError),
    /// The gate decides otherwise.
    #[error(
        "the recorded decision was {recorded}, and from the same events the gate decides {now}; was another version of sprag at work?"
    )]
    OtherDecision {
        /// As it stands in the ledger.
        recorded: String,
        /// As it follows from the events.
        now: String,
    },
}

/// Where and when a record was written.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// RFC 3339, UTC.
    pub time: &'a str,
    /// The experiment it belongs to.
    pub experiment: Option<u64>,
}

impl History {
    /// Reads entries in order.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of(entries: &[ledger::Entry]) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        for entry in entries {
            if ["claim", "release", "substrate"].contains(&entry.kind.as_str()) {
                continue;
            }
            let record: Record = serde_json::from_value(entry.body.clone()).map_err(|error| {
                HistoryError::Record {
                    seq: entry.seq,
                    why: error.to_string(),
                }
            })?;
            let at = At {
                time: &entry.at,
                experiment: entry.experiment,
            };
            history.apply(&record, at)?;
        }
        Ok(history)
    }

    /// Curves of the champion's last runs, those of a champion before included: that one was no better.
    #[must_use]
    pub fn pace(&self, rules: &Curve, better: Better) -> Vec<Points> {
        const RUNS: usize = 3;
        let latest = self.champion_runs.iter().rev().take(RUNS);
        let curves = latest.flat_map(|(_, reading, figures)| {
            let judged = match reading {
                Reading::Score { public, .. } => Some(*public),
                Reading::Cases { .. } | Reading::Block { .. } => None,
            };
            let of_runs = figures.runs.iter().map(|run| &run.curve);
            of_runs.filter(move |curve| {
                judged.is_some_and(|judged| curve::is_honest(curve, judged, rules, better))
            })
        });
        curves.cloned().collect()
    }

    /// Takes in one record.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn apply(&mut self, record: &Record, at: At<'_>) -> Result<(), HistoryError> {
        self.last = Some(at.time.to_owned());
        match record {
            Record::Begun {
                champion,
                key,
                gate,
            } => {
                self.champion = Some(champion.clone());
                self.first = Some(champion.clone());
                self.key = Some(key.clone());
                self.gate = Some(Gate::new(gate.clone())?);
            }
            Record::Sealed { seal, gate, .. } => {
                if self.seal.is_some() {
                    self.gate()?.apply(Event::Epoch(gate.clone()))?;
                    self.drop_tip("the judge is another one since");
                    self.merged = 0.0;
                    self.champion_runs_before = self.champion_runs.len();
                }
                self.seal = Some(seal.clone());
            }
            Record::Session { level, .. } => {
                self.sessions.push((at.time.to_owned(), *level));
                self.gate()?.apply(Event::Session)?;
            }
            Record::Proposed(proposal) => self.propose(proposal, at)?,
            Record::Void { why } => {
                let experiment = self.experiment(at)?;
                experiment.void = Some(why.clone());
                experiment.words.push(why.to_string());
                let number = experiment.number;
                self.pending.remove(&number);
            }
            Record::Failed { measurement, .. } => {
                let before = match &self.failed {
                    Some((known, times)) if known == measurement => *times,
                    _ => 0,
                };
                self.failed = Some((measurement.clone(), before + 1));
            }
            Record::Measured {
                figures,
                event,
                decisions,
            } => self.measured(figures, event, decisions, at)?,
            Record::Promoted { to, .. } => {
                self.champion = Some(to.clone());
                self.champion_runs_before = self.champion_runs.len();
            }
            Record::LeftOut {
                champion,
                difference,
                ..
            } => self.leave_out(champion, *difference, at)?,
            Record::Stopped { .. } => {}
        }
        Ok(())
    }

    fn gate(&mut self) -> Result<&mut Gate, HistoryError> {
        self.gate.as_mut().ok_or(HistoryError::OutOfPlace(
            "nothing begins before the track's own beginning",
        ))
    }

    fn experiment(&mut self, at: At<'_>) -> Result<&mut Experiment, HistoryError> {
        at.experiment
            .and_then(|number| self.experiments.get_mut(&number))
            .ok_or(HistoryError::OutOfPlace(
                "it tells of an experiment that was never proposed",
            ))
    }

    fn propose(&mut self, proposal: &Proposal, at: At<'_>) -> Result<(), HistoryError> {
        let number = at
            .experiment
            .ok_or(HistoryError::OutOfPlace("a proposal without a number"))?;
        if self.experiments.contains_key(&number) {
            return Err(HistoryError::OutOfPlace("two proposals with one number"));
        }
        let experiment = Experiment {
            number,
            at: at.time.to_owned(),
            epoch: self.seal.as_ref().map_or(0, |seal| seal.epoch),
            proposal: proposal.clone(),
            void: None,
            screen: None,
            standing: Standing::Void,
            words: Vec::new(),
            race: None,
            beside: self.pending.iter().copied().collect(),
            left_out: None,
        };
        self.experiments.insert(number, experiment);
        self.pending.insert(number);
        Ok(())
    }

    fn leave_out(
        &mut self,
        champion: &ObjectId,
        difference: Option<f64>,
        at: At<'_>,
    ) -> Result<(), HistoryError> {
        let known = &mut self.experiment(at)?.left_out;
        match known {
            Some(of) if of.champion == *champion => of.differences.push(difference),
            _ => {
                *known = Some(LeftOut {
                    champion: champion.clone(),
                    differences: vec![difference],
                });
            }
        }
        Ok(())
    }

    fn measured(
        &mut self,
        figures: &Measured,
        event: &Event,
        recorded: &[Decision],
        at: At<'_>,
    ) -> Result<(), HistoryError> {
        let step = self.resolution();
        self.failed = None;
        let decisions = self.gate()?.apply(event.clone())?;
        if decisions != recorded {
            return Err(HistoryError::OtherDecision {
                recorded: words(recorded),
                now: words(&decisions),
            });
        }
        match event {
            Event::Champion(reading) => {
                self.champion_runs
                    .push((at.time.to_owned(), reading.clone(), figures.clone()))
            }
            Event::Same(reading) => {
                self.same_blocks
                    .push((at.time.to_owned(), reading.clone(), figures.clone()))
            }
            Event::Screen { candidate, reading } => {
                let (level, step) = (self.merged, step);
                let experiment = self.experiment(At {
                    time: at.time,
                    experiment: Some(*candidate),
                })?;
                experiment.standing = Standing::Refused;
                if let Some(loss) = &figures.loss {
                    experiment.words.push(loss.to_string());
                }
                experiment.screen = Some(Screen {
                    figures: figures.clone(),
                    reading: reading.clone(),
                    level,
                    step,
                });
                self.pending.remove(candidate);
            }
            Event::Race { race, reading, .. } => {
                if let Some(race) = self.races.get_mut(race) {
                    race.readings.push((reading.clone(), figures.clone()));
                }
            }
            Event::Session | Event::Epoch(_) | Event::Withdraw { .. } => {}
        }
        for decision in &decisions {
            self.decided(decision, at);
        }
        Ok(())
    }

    fn decided(&mut self, decision: &Decision, at: At<'_>) {
        match decision {
            Decision::Kept { candidate, .. } => self.stand(&[*candidate], Standing::Kept, decision),
            Decision::Refused { candidate, why } => {
                // A loss has said why already.
                let known = *why == gate::Refusal::NoReading;
                if let Some(experiment) = self.experiments.get_mut(candidate) {
                    experiment.standing = Standing::Refused;
                    if !known || experiment.words.is_empty() {
                        experiment.words.push(why.to_string());
                    }
                }
            }
            Decision::RaceOpened {
                race,
                members,
                level,
                ..
            } => {
                let opened = Race {
                    number: *race,
                    at: at.time.to_owned(),
                    members: members.clone(),
                    level: *level,
                    readings: Vec::new(),
                    end: None,
                    gain: None,
                };
                self.races.insert(*race, opened);
                for member in members {
                    if let Some(experiment) = self.experiments.get_mut(member) {
                        experiment.race = Some(*race);
                    }
                }
            }
            Decision::RaceWon {
                race,
                members,
                evidence,
            } => {
                self.stand(members, Standing::Merged, decision);
                self.merged += evidence.estimate.unwrap_or(0.0);
                self.end_race(*race, decision);
            }
            Decision::RaceLost { race, members, .. } => {
                self.stand(members, Standing::Dropped, decision);
                self.end_race(*race, decision);
            }
            Decision::Gain { of_race, .. } => {
                if let Some(race) = self.races.get_mut(of_race) {
                    race.gain = Some(decision.clone());
                }
            }
        }
    }

    fn stand(&mut self, members: &[u64], standing: Standing, decision: &Decision) {
        for member in members {
            if let Some(experiment) = self.experiments.get_mut(member) {
                experiment.standing = standing;
                experiment.words.push(decision.to_string());
            }
        }
    }

    fn end_race(&mut self, race: u64, decision: &Decision) {
        if let Some(race) = self.races.get_mut(&race) {
            race.end = Some(decision.clone());
        }
    }

    fn drop_tip(&mut self, why: &str) {
        for number in std::mem::take(&mut self.pending) {
            if let Some(pending) = self.experiments.get_mut(&number) {
                pending.words.push(why.to_owned());
            }
        }
        for experiment in self.experiments.values_mut() {
            if experiment.standing == Standing::Kept {
                experiment.standing = Standing::Dropped;
                experiment.words.push(why.to_owned());
            }
        }
    }

    /// The commit that the next candidate is built on: the champion, or the last provisional keep.
    #[must_use]
    pub fn tip(&self) -> Option<&ObjectId> {
        let last = self.gate.as_ref().and_then(|gate| gate.tip().last());
        last.and_then(|number| self.experiments.get(number))
            .map(|experiment| &experiment.proposal.commit)
            .or(self.champion.as_ref())
    }

    /// Whether there is no reading at all, so that nothing rests on the seal yet.
    #[must_use]
    pub fn is_unmeasured(&self) -> bool {
        self.champion_runs.is_empty() && self.same_blocks.is_empty() && self.experiments.is_empty()
    }

    /// Candidates that are part of the champion and were merged with others.
    #[must_use]
    pub fn merged_in_groups(&self) -> Vec<u64> {
        let grouped = |experiment: &&Experiment| {
            let race = experiment.race.and_then(|race| self.races.get(&race));
            experiment.standing == Standing::Merged && race.is_some_and(|r| r.members.len() > 1)
        };
        let members = self.experiments.values().filter(grouped);
        members.map(|experiment| experiment.number).collect()
    }

    /// The number of the next experiment.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.experiments
            .keys()
            .next_back()
            .map_or(1, |last| last + 1)
    }

    /// Whether a person's proposal was taken already.
    #[must_use]
    pub fn took(&self, commit: &ObjectId) -> bool {
        self.experiments
            .values()
            .any(|e| e.proposal.inbox.as_ref() == Some(commit))
    }

    fn epoch(&self) -> u64 {
        self.seal.as_ref().map_or(0, |seal| seal.epoch)
    }
}

fn words(decisions: &[Decision]) -> String {
    let all: Vec<String> = decisions.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "nothing".to_owned()
    } else {
        all.join("; ")
    }
}
