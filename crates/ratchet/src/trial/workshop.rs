//! Builds, runs and judges commits.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use gate::{Better, Reading};
use globset::GlobSet;
use sandbox::{End, Outcome, Sandbox, SandboxError};
use serde::{Deserialize, Serialize};
use silicon::energy::Sources;

use super::{
    Loss, Measured, Points, budget,
    build::Built,
    judge::{self, JudgeError, Verdict},
    taking::{Taking, Trouble, WorkshopError, settle},
};
use crate::{
    digest::Key,
    disk,
    git::{ObjectId, Repository},
    seal::{self, Seal},
    track::{Part, Track, file::Clock},
    tree::{self, TreeError},
};

/// Whose program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The champion's.
    Champion,
    /// The candidate's.
    Candidate,
}

/// On what data a commit is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Splits {
    /// The public split, and the hidden one where the track has it.
    Both,
    /// The public split alone, unless its figure is better than this.
    PublicUpTo(f64),
}

/// Builds, runs and judges.
pub struct Workshop<'a> {
    /// The track.
    pub track: &'a Track,
    /// Its repository.
    pub repository: &'a Repository,
    /// What the epoch sealed.
    pub seal: &'a Seal,
    /// Where its copies lie.
    pub epoch: &'a Path,
    /// A folder that is the workshop's alone.
    pub work: PathBuf,
    /// How candidates are sealed.
    pub sandbox: &'a Sandbox,
    /// How Sprag's own judges run, which seal what they start.
    pub plain: &'a Sandbox,
    /// Where seeds come from.
    pub key: &'a Key,
    /// The processors of what it measures; the track's where this is `None`.
    pub processors: Option<Vec<usize>>,
    /// Asked while a process runs; true stops it.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Curves of the champion's last runs, which a candidate has to keep up with.
    pub(crate) pace: Vec<Points>,
    pub(super) built: BTreeMap<ObjectId, Result<Built, Loss>>,
    pub(super) output: GlobSet,
    /// The machine's counters, where the track limits joules.
    pub(super) energy: Option<Sources>,
}

impl<'a> Workshop<'a> {
    /// Empties `work`.
    ///
    /// # Errors
    /// The disk.
    #[expect(
        clippy::too_many_arguments,
        reason = "all that a measurement depends on, each of another type"
    )]
    pub fn new(
        track: &'a Track,
        repository: &'a Repository,
        seal: &'a Seal,
        epoch: &'a Path,
        work: PathBuf,
        sandbox: &'a Sandbox,
        plain: &'a Sandbox,
        key: &'a Key,
        processors: Option<Vec<usize>>,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, TreeError> {
        disk::fresh(&work).map_err(tree::io_error(&work))?;
        let names = track.file.run.as_ref().map_or(&[][..], |run| &run.output);
        let output = crate::track::globs_of(names);
        Ok(Self {
            track,
            repository,
            seal,
            epoch,
            work,
            sandbox,
            plain,
            key,
            processors,
            stop,
            pace: Vec::new(),
            built: BTreeMap::new(),
            output,
            energy: budget::counters(track).unwrap_or_default(),
        })
    }

    /// The sealed data that candidates may read.
    pub(crate) fn data(&self) -> Vec<PathBuf> {
        let sealed = seal::files_in(self.epoch);
        self.seal
            .files
            .keys()
            .filter(|path| self.track.globs.part(path) == Part::Data)
            .map(|path| sealed.join(path))
            .collect()
    }

    /// Forgets what was built of other commits than these.
    pub fn keep_only(&mut self, commits: &[&ObjectId]) {
        let gone: Vec<ObjectId> = self
            .built
            .keys()
            .filter(|commit| !commits.contains(commit))
            .cloned()
            .collect();
        for commit in gone {
            if let Some(Ok(built)) = self.built.remove(&commit) {
                // What cannot be removed now goes when the engine starts next.
                let _left = disk::remove(&built.folder);
            }
        }
    }

    /// One reading of a commit by itself: a score, or cases, of the given splits.
    ///
    /// # Errors
    /// [`WorkshopError`]. A loss is a result: `None` as the reading.
    pub fn alone(
        &mut self,
        commit: &ObjectId,
        arm: Arm,
        splits: Splits,
        label: &str,
    ) -> Result<(Option<Reading>, Measured), WorkshopError> {
        let mut taking = Taking::start(label, self.key);
        let outcome = self.judged_alone(commit, arm, splits, &mut taking);
        let reading = settle(outcome, &mut taking)?;
        Ok((reading, taking.stop()))
    }

    /// One block: champion, candidate, candidate, champion, each in a fresh process.
    ///
    /// # Errors
    /// As [`Self::alone`].
    pub fn block(
        &mut self,
        champion: &ObjectId,
        candidate: &ObjectId,
        label: &str,
    ) -> Result<(Option<Reading>, Measured), WorkshopError> {
        let mut taking = Taking::start(label, self.key);
        let outcome = match self.track.file.judge.clock {
            Clock::Engine => self.timed_block(champion, candidate, &mut taking),
            Clock::Judge => self.judged_block(champion, candidate, &mut taking),
        };
        // Where both are the champion, whatever fails is the champion's.
        if champion == candidate {
            taking.arm = Arm::Champion;
        }
        let reading = settle(outcome, &mut taking)?;
        Ok((reading, taking.stop()))
    }

    /// What a commit's program leaves, judged as in [`Self::alone`]: its folder, good until the next measurement, beside the reading.
    ///
    /// # Errors
    /// As [`Self::alone`].
    pub fn made(
        &mut self,
        commit: &ObjectId,
        label: &str,
    ) -> Result<(Option<(PathBuf, Reading)>, Measured), WorkshopError> {
        let (reading, figures) = self.alone(commit, Arm::Candidate, Splits::Both, label)?;
        Ok((
            reading.map(|reading| (self.artefact_folder(Arm::Candidate), reading)),
            figures,
        ))
    }

    /// Where what is judged of an arm lies.
    pub(super) fn artefact_folder(&self, arm: Arm) -> PathBuf {
        self.work.join(match arm {
            Arm::Champion => "artefact-champion",
            Arm::Candidate => "artefact-candidate",
        })
    }

    fn judged_alone(
        &mut self,
        commit: &ObjectId,
        arm: Arm,
        splits: Splits,
        taking: &mut Taking,
    ) -> Result<Reading, Trouble> {
        let artefact = self.artefact(commit, arm, taking)?;
        let (public, _) = self.judge(&artefact, None, arm, "public", taking)?;
        let has_two = self.track.file.judge.splits;
        let hidden = match splits {
            Splits::PublicUpTo(figure) if has_two && !self.is_better(&public, figure) => None,
            _ if has_two => Some(self.judge(&artefact, None, arm, "hidden", taking)?.0),
            // One split is both.
            _ => Some(public.clone()),
        };
        match (public, hidden) {
            (Verdict::Value(public), None) => {
                let hidden = None;
                Ok(Reading::Score { public, hidden })
            }
            (Verdict::Value(public), Some(Verdict::Value(hidden))) => {
                let hidden = Some(hidden);
                Ok(Reading::Score { public, hidden })
            }
            (Verdict::Cases(public), None) => {
                let hidden = Vec::new();
                Ok(Reading::Cases { public, hidden })
            }
            (Verdict::Cases(public), Some(Verdict::Cases(hidden))) => {
                Ok(Reading::Cases { public, hidden })
            }
            _ => Err(Trouble::Judge(JudgeError::Silent)),
        }
    }

    /// Whether a verdict, or the mean of its cases, is better than a figure.
    fn is_better(&self, verdict: &Verdict, than: f64) -> bool {
        let figure = match verdict {
            Verdict::Value(value) => *value,
            Verdict::Cases(cases) => cases.iter().sum::<f64>() / cases.len().max(1) as f64,
            Verdict::Times { .. } => return true,
        };
        let better = self.track.file.judge.better;
        better.cost(figure) < better.cost(than)
    }

    fn timed_block(
        &mut self,
        champion: &ObjectId,
        candidate: &ObjectId,
        taking: &mut Taking,
    ) -> Result<Reading, Trouble> {
        let half = self.track.file.judge.repeats;
        let (mut of_champion, mut of_candidate) = (Vec::new(), Vec::new());
        // Who is in the middle changes from block to block: what the order does to a time is then no gain of anybody's.
        let (outer, inner) = if taking.seed.is_multiple_of(2) {
            ((Arm::Champion, champion), (Arm::Candidate, candidate))
        } else {
            ((Arm::Candidate, candidate), (Arm::Champion, champion))
        };
        for (arm, commit) in [outer, inner, inner, outer] {
            for _ in 0..half {
                let artefact = self.artefact(commit, arm, taking)?;
                let seconds = taking.figures.runs.last().map_or(0.0, |run| run.seconds);
                match arm {
                    Arm::Champion => of_champion.push(seconds),
                    Arm::Candidate => of_candidate.push(seconds),
                }
                if !self.track.file.judge.command.is_empty() {
                    self.judge(&artefact, None, arm, "block", taking)?;
                }
            }
        }
        block_of(Better::Lower, &of_champion, &of_candidate)
    }

    fn judged_block(
        &mut self,
        champion: &ObjectId,
        candidate: &ObjectId,
        taking: &mut Taking,
    ) -> Result<Reading, Trouble> {
        let first = self.artefact(champion, Arm::Champion, taking)?;
        let second = self.artefact(candidate, Arm::Candidate, taking)?;
        let (verdict, _) = self.judge(&second, Some(&first), Arm::Candidate, "block", taking)?;
        match verdict {
            Verdict::Times {
                champion,
                candidate,
            } => block_of(self.track.file.judge.better, &champion, &candidate),
            _ => Err(Trouble::Judge(JudgeError::Answer {
                expected: "times of the champion and of the candidate",
                came: "another result".to_owned(),
            })),
        }
    }

    /// Runs a sealed process that is not part of a measurement.
    ///
    /// # Errors
    /// [`WorkshopError`].
    pub fn run(&self, job: &sandbox::Job) -> Result<Outcome, WorkshopError> {
        let mut taking = Taking::start("", self.key);
        match self.within(self.sandbox, job, &mut taking) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Stopped) => Err(WorkshopError::Stopped),
            Err(other) => match settle(Err(other), &mut taking) {
                Err(error) => Err(error),
                Ok(_) => Err(WorkshopError::Stopped),
            },
        }
    }

    /// Runs a step of the candidate.
    pub(super) fn step(
        &self,
        step: &str,
        job: &sandbox::Job,
        taking: &mut Taking,
    ) -> Result<Outcome, Trouble> {
        self.within(self.sandbox, job, taking)
            .map_err(|trouble| match trouble {
                Trouble::Sandbox(error) => not_begun(step, error),
                other => other,
            })
    }

    /// A fresh folder of that name with the sealed files, for a process that sees them all.
    pub(super) fn sealed_folder(&self, name: &str) -> Result<PathBuf, Trouble> {
        let folder = self.work.join(name);
        disk::fresh(&folder).map_err(|e| Trouble::io(&folder, e))?;
        disk::link_tree(&seal::files_in(self.epoch), &folder)
            .map_err(|e| Trouble::io(&folder, e))?;
        Ok(folder)
    }

    /// How a command of the track's own is run: Sprag itself seals what it starts.
    pub(super) fn seal_of(&self, command: &[String]) -> &Sandbox {
        if command.first().is_some_and(|program| program == "sprag") {
            self.plain
        } else {
            self.sandbox
        }
    }

    /// Runs a process at the given level of sealing.
    pub(super) fn within(
        &self,
        sandbox: &Sandbox,
        job: &sandbox::Job,
        taking: &mut Taking,
    ) -> Result<Outcome, Trouble> {
        let outcome = sandbox.run(job, &mut |_| {
            if (self.stop)() {
                sandbox::Continue::Stop
            } else {
                sandbox::Continue::Yes
            }
        })?;
        taking.inside += outcome.wall;
        if outcome.end == End::Stopped {
            return Err(Trouble::Stopped);
        }
        Ok(outcome)
    }
}

/// A program that is not there is the candidate's loss: it may have been there to be built.
pub(super) fn not_begun(step: &str, error: SandboxError) -> Trouble {
    match error {
        SandboxError::Program { .. } => Trouble::Loss(Loss::Ended {
            step: step.to_owned(),
            how: format!("did not begin: {error}"),
            tail: String::new(),
        }),
        other => Trouble::Sandbox(other),
    }
}

fn block_of(better: Better, champion: &[f64], candidate: &[f64]) -> Result<Reading, Trouble> {
    judge::log_ratio(better, champion, candidate)
        .map(|log_ratio| Reading::Block { log_ratio })
        .ok_or(Trouble::Judge(JudgeError::Silent))
}
