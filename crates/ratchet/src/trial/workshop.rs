//! Builds, runs and judges commits.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gate::{Better, Reading};
use globset::GlobSet;
use sandbox::{End, Outcome, Sandbox, SandboxError};
use serde::{Deserialize, Serialize};

use super::{
    Loss, Measured, RunFigures, artefact,
    cell::{self, Extra},
    judge::{self, JudgeError, Verdict},
};
use crate::{
    digest::{Digest, Key},
    disk,
    git::{ObjectId, Repository},
    seal::{self, Seal},
    track::{Part, Track, file::Clock},
    tree::{self, Purpose, TreeError},
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

/// Why there is no measurement: the engine's or the judge's fault, not the candidate's.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// Files.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Starting a sealed process.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The champion itself loses.
    #[error("the champion itself cannot be measured: {0}")]
    Champion(Loss),
    /// A judge answers what it may not.
    #[error("the judge is at fault: {0}")]
    Judge(#[from] JudgeError),
    /// Somebody wants to stop.
    #[error("stopped")]
    Stopped,
}

/// A built commit.
#[derive(Clone)]
struct Built {
    folder: PathBuf,
    untouchable: BTreeMap<PathBuf, Digest>,
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
    pub work: &'a Path,
    /// How candidates are sealed.
    pub sandbox: &'a Sandbox,
    /// How Sprag's own judges run, which seal what they start.
    pub plain: &'a Sandbox,
    /// Where seeds come from.
    pub key: &'a Key,
    /// Asked while a process runs; true stops it.
    pub stop: &'a dyn Fn() -> bool,
    built: BTreeMap<ObjectId, Result<Built, Loss>>,
    output: GlobSet,
}

/// A measurement that is being taken.
pub(super) struct Taking {
    /// Which: `screen/12`.
    pub(super) label: String,
    /// What it is measured with.
    pub(super) seed: u64,
    pub(super) figures: Measured,
    start: Instant,
    /// Time inside sealed processes, which is not the engine's.
    inside: Duration,
}

impl<'a> Workshop<'a> {
    /// Empties `work`.
    ///
    /// # Errors
    /// The disk.
    #[expect(clippy::too_many_arguments, reason = "all that a measurement depends on, each of another type")]
    pub fn new(
        track: &'a Track,
        repository: &'a Repository,
        seal: &'a Seal,
        epoch: &'a Path,
        work: &'a Path,
        sandbox: &'a Sandbox,
        plain: &'a Sandbox,
        key: &'a Key,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, TreeError> {
        disk::fresh(work).map_err(tree::io_error(work))?;
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
            stop,
            built: BTreeMap::new(),
            output,
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

    /// One reading of a commit by itself: a score, or cases.
    ///
    /// # Errors
    /// [`WorkshopError`]. A loss is a result: `None` as the reading.
    pub fn alone(&mut self, commit: &ObjectId, arm: Arm, label: &str) -> Result<(Option<Reading>, Measured), WorkshopError> {
        let mut taking = Taking::start(label, self.key);
        let outcome = self.judged_alone(commit, arm, &mut taking);
        let reading = settle(outcome, arm, &mut taking.figures)?;
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
        let arm = if champion == candidate { Arm::Champion } else { Arm::Candidate };
        let reading = settle(outcome, arm, &mut taking.figures)?;
        Ok((reading, taking.stop()))
    }

    fn judged_alone(
        &mut self,
        commit: &ObjectId,
        arm: Arm,
        taking: &mut Taking,
    ) -> Result<Reading, Trouble> {
        let artefact = self.artefact(commit, arm, taking)?;
        let splits: &[&str] = if self.track.file.judge.splits { &["public", "hidden"] } else { &["public"] };
        let mut verdicts = Vec::new();
        for split in splits {
            let (verdict, _) = self.judge(&artefact, None, arm, split, taking)?;
            verdicts.push(verdict);
        }
        let hidden = verdicts.pop();
        let public = verdicts.pop().or_else(|| hidden.clone());
        match (public, hidden) {
            (Some(Verdict::Value(public)), Some(Verdict::Value(hidden))) => Ok(Reading::Score { public, hidden }),
            (Some(Verdict::Cases(public)), Some(Verdict::Cases(hidden))) => Ok(Reading::Cases { public, hidden }),
            _ => Err(Trouble::Judge(JudgeError::Silent)),
        }
    }

    fn timed_block(
        &mut self,
        champion: &ObjectId,
        candidate: &ObjectId,
        taking: &mut Taking,
    ) -> Result<Reading, Trouble> {
        let half = self.track.file.judge.repeats;
        let (mut of_champion, mut of_candidate) = (Vec::new(), Vec::new());
        for (arm, commit) in [(Arm::Champion, champion), (Arm::Candidate, candidate), (Arm::Candidate, candidate), (Arm::Champion, champion)] {
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
            Verdict::Times { champion, candidate } => block_of(self.track.file.judge.better, &champion, &candidate),
            _ => Err(Trouble::Judge(JudgeError::Answer {
                expected: "times of the champion and of the candidate",
                came: "another result".to_owned(),
            })),
        }
    }

    /// The folder with what is judged of a commit: its run's output, or its mutable files where the track has no run.
    fn artefact(
        &mut self,
        commit: &ObjectId,
        arm: Arm,
        taking: &mut Taking,
    ) -> Result<PathBuf, Trouble> {
        let to = self.work.join(match arm {
            Arm::Champion => "artefact-champion",
            Arm::Candidate => "artefact-candidate",
        });
        let built = self.built(commit, taking)?;
        let Some(run) = &self.track.file.run else {
            disk::fresh(&to).map_err(|e| Trouble::io(&to, e))?;
            for (path, contents) in tree::mutable(self.repository, self.track, commit)? {
                let path = to.join(path);
                write(&path, &contents.bytes).map_err(|e| Trouble::io(&path, e))?;
            }
            return Ok(to);
        };
        let folder = self.work.join("run");
        disk::copy_tree(&built.folder, &folder).map_err(|e| Trouble::io(&folder, e))?;
        let extra = Extra {
            writable: vec![folder.clone()],
            environment: vec![(judge::SEED.to_owned(), taking.seed.to_string())],
            data: true,
            ..Extra::default()
        };
        let stdin = run.stdin.as_ref().map(|path| seal::files_in(self.epoch).join(path));
        let job = cell::candidate(self, &run.command, &folder, run.time, stdin, extra);
        let outcome = self.sealed(&job, taking)?;
        taking.figures.runs.push(RunFigures {
            arm,
            seconds: outcome.wall.as_secs_f64(),
            cpu_seconds: outcome.cpu.as_secs_f64(),
            peak_memory_bytes: outcome.peak_memory_bytes,
            output_bytes: outcome.stdout.total + outcome.stderr.total,
        });
        ended("run", &outcome)?;
        let touched: Vec<PathBuf> = built
            .untouchable
            .iter()
            .filter(|(path, digest)| Digest::of_file(&folder.join(path)).ok().as_ref() != Some(*digest))
            .map(|(path, _)| path.clone())
            .collect();
        if !touched.is_empty() {
            return Err(Trouble::Loss(Loss::Touched { paths: touched }));
        }
        artefact::collect(&folder, &to, &self.output, &run.output, run.most_bytes.0)
            .map_err(|e| Trouble::io(&to, e))?
            .map_err(Trouble::Loss)?;
        Ok(to)
    }

    /// Lays out and builds a commit, once.
    fn built(&mut self, commit: &ObjectId, taking: &mut Taking) -> Result<Built, Trouble> {
        if let Some(known) = self.built.get(commit) {
            return known.clone().map_err(Trouble::Loss);
        }
        let outcome = match self.build(commit, taking) {
            Ok(built) => Ok(built),
            Err(Trouble::Loss(loss)) => Err(loss),
            Err(other) => return Err(other),
        };
        self.built.insert(commit.clone(), outcome.clone());
        outcome.map_err(Trouble::Loss)
    }

    fn build(&self, commit: &ObjectId, taking: &mut Taking) -> Result<Built, Trouble> {
        let folder = self.work.join(format!("built-{}", commit.short()));
        let Some(step) = &self.track.file.build else {
            let untouchable = tree::lay(self.repository, self.track, commit, self.epoch, &folder, Purpose::Run)?;
            return Ok(Built { folder, untouchable });
        };
        let building = self.work.join("build");
        tree::lay(self.repository, self.track, commit, self.epoch, &building, Purpose::Build)?;
        let extra = Extra {
            writable: vec![building.clone()],
            ..Extra::default()
        };
        let job = cell::candidate(self, &step.command, &building, step.time, None, extra);
        let outcome = self.sealed(&job, taking)?;
        ended("build", &outcome)?;
        let untouchable = tree::lay(self.repository, self.track, commit, self.epoch, &folder, Purpose::Run)?;
        let wanted = crate::track::globs_of(&step.output);
        let io = |e| Trouble::io(&folder, e);
        for path in disk::walk(&building, &|_| false).map_err(io)? {
            let to = folder.join(&path);
            let asked = step.output.is_empty() || wanted.is_match(&path);
            if asked && fs::symlink_metadata(&to).is_err() {
                disk::copy(&building.join(&path), &to).map_err(io)?;
            }
        }
        disk::remove(&building).map_err(io)?;
        Ok(Built { folder, untouchable })
    }

    /// Runs a sealed process that is not part of a measurement.
    ///
    /// # Errors
    /// [`WorkshopError`].
    pub fn run(&self, job: &sandbox::Job) -> Result<Outcome, WorkshopError> {
        let mut taking = Taking::start("", self.key);
        match self.sealed(job, &mut taking) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Stopped) => Err(WorkshopError::Stopped),
            Err(other) => match settle(Err(other), Arm::Champion, &mut taking.figures) {
                Err(error) => Err(error),
                Ok(_) => Err(WorkshopError::Stopped),
            },
        }
    }

    /// Runs a sealed process; its own time is not the engine's.
    fn sealed(&self, job: &sandbox::Job, taking: &mut Taking) -> Result<Outcome, Trouble> {
        self.within(self.sandbox, job, taking)
    }

    /// Runs a process at the given level of sealing.
    pub(super) fn within(&self, sandbox: &Sandbox, job: &sandbox::Job, taking: &mut Taking) -> Result<Outcome, Trouble> {
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

/// Why a measurement has no reading, before it is settled whose fault it is.
pub(super) enum Trouble {
    Loss(Loss),
    Tree(TreeError),
    Sandbox(SandboxError),
    Judge(JudgeError),
    Stopped,
}

impl Trouble {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Tree(tree::io_error(path)(source))
    }
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

impl From<SandboxError> for Trouble {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}

impl From<JudgeError> for Trouble {
    fn from(error: JudgeError) -> Self {
        Self::Judge(error)
    }
}

/// A candidate's loss is a result; the champion's is an error, since then nothing can be compared.
fn settle(outcome: Result<Reading, Trouble>, arm: Arm, figures: &mut Measured) -> Result<Option<Reading>, WorkshopError> {
    match (outcome, arm) {
        (Ok(reading), _) => Ok(Some(reading)),
        (Err(Trouble::Loss(loss)), Arm::Candidate) => {
            figures.loss = Some(loss);
            Ok(None)
        }
        // A judge that answers nonsense about a candidate may have been led to it by the candidate.
        (Err(Trouble::Judge(error)), Arm::Candidate) => {
            figures.loss = Some(Loss::Judge {
                how: error.to_string(),
            });
            Ok(None)
        }
        (Err(Trouble::Loss(loss)), Arm::Champion) => Err(WorkshopError::Champion(loss)),
        (Err(Trouble::Judge(error)), Arm::Champion) => Err(error.into()),
        (Err(Trouble::Tree(error)), _) => Err(error.into()),
        (Err(Trouble::Sandbox(error)), _) => Err(error.into()),
        (Err(Trouble::Stopped), _) => Err(WorkshopError::Stopped),
    }
}

impl Taking {
    fn start(label: &str, key: &Key) -> Self {
        Self {
            label: label.to_owned(),
            seed: key.seed(label),
            figures: Measured::default(),
            start: Instant::now(),
            inside: Duration::ZERO,
        }
    }

    fn stop(mut self) -> Measured {
        let all = self.start.elapsed();
        self.figures.seconds = all.as_secs_f64();
        self.figures.overhead_seconds = all.saturating_sub(self.inside).as_secs_f64();
        self.figures
    }
}

fn block_of(better: Better, champion: &[f64], candidate: &[f64]) -> Result<Reading, Trouble> {
    judge::log_ratio(better, champion, candidate)
        .map(|log_ratio| Reading::Block { log_ratio })
        .ok_or(Trouble::Judge(JudgeError::Silent))
}

fn ended(step: &str, outcome: &Outcome) -> Result<(), Trouble> {
    if outcome.end == End::Exited(0) {
        return Ok(());
    }
    Err(Trouble::Loss(Loss::Ended {
        step: step.to_owned(),
        how: outcome.end.to_string(),
        tail: tail(outcome),
    }))
}

/// The last of what a process said, of standard error before standard output, quoted so that it stays text wherever it is shown.
pub(crate) fn tail(outcome: &Outcome) -> String {
    const MOST: usize = 2000;
    let bytes = if outcome.stderr.bytes.iter().all(u8::is_ascii_whitespace) {
        &outcome.stdout.bytes
    } else {
        &outcome.stderr.bytes
    };
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect();
    let skip = plain.chars().count().saturating_sub(MOST);
    plain.chars().skip(skip).collect()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

