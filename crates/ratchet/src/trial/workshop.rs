//! Builds, runs and judges commits.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gate::{Better, Kind, Reading};
use globset::GlobSet;
use sandbox::{End, Outcome, Sandbox, SandboxError};
use serde::{Deserialize, Serialize};

use super::{
    Judged, Loss, Measured, RunFigures, artefact,
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
    /// How processes are sealed.
    pub sandbox: &'a Sandbox,
    /// Where seeds come from.
    pub key: &'a Key,
    /// Asked while a process runs; true stops it.
    pub stop: &'a dyn Fn() -> bool,
    built: BTreeMap<ObjectId, Result<Built, Loss>>,
    output: GlobSet,
}

/// The clocks of one measurement.
struct Clocks {
    start: Instant,
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
        let mut clocks = Clocks::start();
        let mut figures = Measured::default();
        let outcome = self.judged_alone(commit, arm, label, &mut figures, &mut clocks);
        let reading = settle(outcome, arm, &mut figures)?;
        clocks.stop(&mut figures);
        Ok((reading, figures))
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
        let mut clocks = Clocks::start();
        let mut figures = Measured::default();
        let outcome = match self.track.file.judge.clock {
            Clock::Engine => self.timed_block(champion, candidate, label, &mut figures, &mut clocks),
            Clock::Judge => self.judged_block(champion, candidate, label, &mut figures, &mut clocks),
        };
        let arm = if champion == candidate { Arm::Champion } else { Arm::Candidate };
        let reading = settle(outcome, arm, &mut figures)?;
        clocks.stop(&mut figures);
        Ok((reading, figures))
    }

    fn judged_alone(
        &mut self,
        commit: &ObjectId,
        arm: Arm,
        label: &str,
        figures: &mut Measured,
        clocks: &mut Clocks,
    ) -> Result<Reading, Trouble> {
        let seed = self.key.seed(label);
        let artefact = self.artefact(commit, arm, seed, figures, clocks)?;
        let splits: &[&str] = if self.track.file.judge.splits { &["public", "hidden"] } else { &["public"] };
        let mut verdicts = Vec::new();
        for split in splits {
            let (verdict, _) = self.judge(&artefact, None, arm, split, seed, figures, clocks)?;
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
        label: &str,
        figures: &mut Measured,
        clocks: &mut Clocks,
    ) -> Result<Reading, Trouble> {
        let seed = self.key.seed(label);
        let half = self.track.file.judge.repeats;
        let (mut of_champion, mut of_candidate) = (Vec::new(), Vec::new());
        for (arm, commit) in [(Arm::Champion, champion), (Arm::Candidate, candidate), (Arm::Candidate, candidate), (Arm::Champion, champion)] {
            for _ in 0..half {
                let artefact = self.artefact(commit, arm, seed, figures, clocks)?;
                let seconds = figures.runs.last().map_or(0.0, |run| run.seconds);
                match arm {
                    Arm::Champion => of_champion.push(seconds),
                    Arm::Candidate => of_candidate.push(seconds),
                }
                if !self.track.file.judge.command.is_empty() {
                    self.judge(&artefact, None, arm, "block", seed, figures, clocks)?;
                }
            }
        }
        block_of(Better::Lower, &of_champion, &of_candidate)
    }

    fn judged_block(
        &mut self,
        champion: &ObjectId,
        candidate: &ObjectId,
        label: &str,
        figures: &mut Measured,
        clocks: &mut Clocks,
    ) -> Result<Reading, Trouble> {
        let seed = self.key.seed(label);
        let first = self.artefact(champion, Arm::Champion, seed, figures, clocks)?;
        let second = self.artefact(candidate, Arm::Candidate, seed, figures, clocks)?;
        let (verdict, _) = self.judge(&second, Some(&first), Arm::Candidate, "block", seed, figures, clocks)?;
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
        seed: u64,
        figures: &mut Measured,
        clocks: &mut Clocks,
    ) -> Result<PathBuf, Trouble> {
        let to = self.work.join(match arm {
            Arm::Champion => "artefact-champion",
            Arm::Candidate => "artefact-candidate",
        });
        let built = self.built(commit, clocks)?;
        let Some(run) = &self.track.file.run else {
            disk::fresh(&to).map_err(|e| Trouble::io(&to, e))?;
            for (path, contents) in tree::mutable(self.repository, self.track, commit)? {
                let path = to.join(path);
                write(&path, &contents.bytes).map_err(|e| Trouble::io(&path, e))?;
            }
            return Ok(to);
        };
        let folder = self.work.join("run");
        copy_tree(&built.folder, &folder).map_err(|e| Trouble::io(&folder, e))?;
        let extra = Extra {
            writable: vec![folder.clone()],
            environment: vec![(judge::SEED.to_owned(), seed.to_string())],
            data: true,
            ..Extra::default()
        };
        let stdin = run.stdin.as_ref().map(|path| seal::files_in(self.epoch).join(path));
        let job = cell::candidate(self, &run.command, &folder, run.time, stdin, extra);
        let outcome = self.sealed(&job, clocks)?;
        figures.runs.push(RunFigures {
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
    fn built(&mut self, commit: &ObjectId, clocks: &mut Clocks) -> Result<Built, Trouble> {
        if let Some(known) = self.built.get(commit) {
            return known.clone().map_err(Trouble::Loss);
        }
        let outcome = match self.build(commit, clocks) {
            Ok(built) => Ok(built),
            Err(Trouble::Loss(loss)) => Err(loss),
            Err(other) => return Err(other),
        };
        self.built.insert(commit.clone(), outcome.clone());
        outcome.map_err(Trouble::Loss)
    }

    fn build(&self, commit: &ObjectId, clocks: &mut Clocks) -> Result<Built, Trouble> {
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
        let outcome = self.sealed(&job, clocks)?;
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

    /// Asks the judge, and the second one.
    #[expect(clippy::too_many_arguments, reason = "what a judge is told, and where the figures go")]
    fn judge(
        &self,
        artefact: &Path,
        champion: Option<&Path>,
        arm: Arm,
        split: &str,
        seed: u64,
        figures: &mut Measured,
        clocks: &mut Clocks,
    ) -> Result<(Verdict, super::Values), Trouble> {
        let start = Instant::now();
        let rules = &self.track.file.judge;
        let result = self.ask(&rules.command, artefact, champion, split, seed, clocks)?;
        let second = match &rules.second {
            None => None,
            Some(second) => Some(self.ask(&second.command, artefact, champion, split, seed, clocks)?),
        };
        figures.judged.push(Judged {
            arm,
            split: split.to_owned(),
            seed,
            result: result.clone(),
            second: second.clone(),
            seconds: start.elapsed().as_secs_f64(),
        });
        let found = judge::read(self.track, &result)?.map_err(Trouble::Loss)?;
        if let (Some(second), Some(rules)) = (second, &rules.second) {
            let other = judge::read(self.track, &second)?.map_err(Trouble::Loss)?;
            for (judge, second) in figures_of(&found.0).into_iter().zip(figures_of(&other.0)) {
                if !judge::agree(judge, second, rules.within) {
                    let within = rules.within;
                    return Err(Trouble::Loss(Loss::Disagree { judge, second, within }));
                }
            }
        }
        Ok(found)
    }

    fn ask(
        &self,
        command: &[String],
        artefact: &Path,
        champion: Option<&Path>,
        split: &str,
        seed: u64,
        clocks: &mut Clocks,
    ) -> Result<serde_json::Value, Trouble> {
        let (folder, answers) = (self.work.join("judge"), self.work.join("answer"));
        for fresh in [&folder, &answers] {
            disk::fresh(fresh).map_err(|e| Trouble::io(fresh, e))?;
        }
        let sealed = seal::files_in(self.epoch);
        link_tree(&sealed, &folder).map_err(|e| Trouble::io(&folder, e))?;
        let file = answers.join("result.json");
        let mut environment = vec![
            (judge::ARTEFACT.to_owned(), artefact.display().to_string()),
            (judge::RESULT.to_owned(), file.display().to_string()),
            (judge::SPLIT.to_owned(), split.to_owned()),
            (judge::SEED.to_owned(), seed.to_string()),
        ];
        let mut readable = vec![artefact.to_path_buf()];
        if let Some(champion) = champion {
            environment.push((judge::CHAMPION.to_owned(), champion.display().to_string()));
            readable.push(champion.to_path_buf());
        }
        let extra = Extra {
            writable: vec![folder.clone(), answers.clone()],
            readable,
            environment,
            data: true,
        };
        let job = cell::judge(self, command, &folder, extra);
        let outcome = self.sealed(&job, clocks)?;
        if outcome.end != End::Exited(0) {
            let tail = tail(&outcome);
            let how = format!("{} {}", command.first().map_or("", String::as_str), outcome.end);
            let how = match tail.lines().rev().find(|l| !l.trim().is_empty()) {
                Some(last) => format!("{how}: {last:?}"),
                None => how,
            };
            return Err(Trouble::Loss(Loss::Judge { how }));
        }
        let text = read_bounded(&file, judge::MOST_BYTES);
        let stdout = String::from_utf8_lossy(&outcome.stdout.bytes).into_owned();
        Ok(judge::result(self.track, text.as_deref(), &stdout)?)
    }

    /// Runs a sealed process that is not part of a measurement.
    ///
    /// # Errors
    /// [`WorkshopError`].
    pub fn run(&self, job: &sandbox::Job) -> Result<Outcome, WorkshopError> {
        let mut figures = Measured::default();
        match self.sealed(job, &mut Clocks::start()) {
            Ok(outcome) => Ok(outcome),
            Err(Trouble::Stopped) => Err(WorkshopError::Stopped),
            Err(other) => match settle(Err(other), Arm::Champion, &mut figures) {
                Err(error) => Err(error),
                Ok(_) => Err(WorkshopError::Stopped),
            },
        }
    }

    /// Runs a sealed process; its own time is not the engine's.
    fn sealed(&self, job: &sandbox::Job, clocks: &mut Clocks) -> Result<Outcome, Trouble> {
        let outcome = self.sandbox.run(job, &mut |_| {
            if (self.stop)() {
                sandbox::Continue::Stop
            } else {
                sandbox::Continue::Yes
            }
        })?;
        clocks.inside += outcome.wall;
        if outcome.end == End::Stopped {
            return Err(Trouble::Stopped);
        }
        Ok(outcome)
    }

    /// What kind of judge this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.track.kind()
    }
}

/// Why a measurement has no reading, before it is settled whose fault it is.
enum Trouble {
    Loss(Loss),
    Tree(TreeError),
    Sandbox(SandboxError),
    Judge(JudgeError),
    Stopped,
}

impl Trouble {
    fn io(path: &Path, source: io::Error) -> Self {
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

impl Clocks {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            inside: Duration::ZERO,
        }
    }

    fn stop(&self, figures: &mut Measured) {
        let all = self.start.elapsed();
        figures.seconds = all.as_secs_f64();
        figures.overhead_seconds = all.saturating_sub(self.inside).as_secs_f64();
    }
}

fn block_of(better: Better, champion: &[f64], candidate: &[f64]) -> Result<Reading, Trouble> {
    judge::log_ratio(better, champion, candidate)
        .map(|log_ratio| Reading::Block { log_ratio })
        .ok_or(Trouble::Judge(JudgeError::Silent))
}

fn figures_of(verdict: &Verdict) -> Vec<f64> {
    match verdict {
        Verdict::Value(value) => vec![*value],
        Verdict::Cases(cases) => cases.clone(),
        Verdict::Times { .. } => Vec::new(),
    }
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

fn read_bounded(path: &Path, most: u64) -> Option<String> {
    let data = fs::symlink_metadata(path).ok()?;
    if !data.is_file() || data.len() > most {
        return None;
    }
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

/// A copy of a folder with its links as links.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    disk::fresh(to)?;
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        for entry in fs::read_dir(from.join(&relative))? {
            let entry = entry?;
            let path = relative.join(entry.file_name());
            let (source, target) = (entry.path(), to.join(&path));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                fs::create_dir(&target)?;
                open.push(path);
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
            } else if kind.is_file() {
                fs::copy(&source, &target)?;
            }
        }
    }
    Ok(())
}

/// A folder of links to the files of another.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    for path in disk::walk(from, &|_| false)? {
        let link = to.join(&path);
        if let Some(folder) = link.parent() {
            fs::create_dir_all(folder)?;
        }
        std::os::unix::fs::symlink(from.join(&path), link)?;
    }
    Ok(())
}
