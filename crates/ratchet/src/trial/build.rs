//! From a commit to what is judged: laid out, built once without data, tried out, run in a copy of its own, and collected.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Loss, RunFigures, artefact,
    cell::{self, Extra},
    judge,
    taking::{Taking, Trouble, ended},
    workshop::{Arm, Workshop},
};
use crate::{
    disk,
    git::ObjectId,
    seal,
    track::{Part, file},
    tree::{self, Laid, Purpose},
};

/// The variable that tells a run its time, in seconds: what goes on behind it counts for nothing.
const SECONDS: &str = "SPRAG_SECONDS";

/// A built commit.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) folder: PathBuf,
    laid: Laid,
}

impl Workshop<'_> {
    /// The folder with what is judged of a commit: its run's output, or its mutable files where the track has no run.
    pub(super) fn artefact(
        &mut self,
        commit: &ObjectId,
        arm: Arm,
        taking: &mut Taking,
    ) -> Result<PathBuf, Trouble> {
        taking.arm = arm;
        let to = self.artefact_folder(arm);
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
            environment: vec![(judge::SEED.to_owned(), self.run_seed(taking).to_string())],
            data: true,
            ..Extra::default()
        };
        let stdin = run
            .stdin
            .as_ref()
            .map(|path| seal::files_in(self.epoch).join(path));
        let mut job = cell::candidate(self, &run.command, &folder, run.time, stdin, extra);
        job.environment
            .insert(SECONDS.to_owned(), run.time.as_secs_f64().to_string());
        let (outcome, spent) = self.spend(run, job, &folder, taking)?;
        taking.figures.runs.push(RunFigures {
            arm,
            seconds: outcome.wall.as_secs_f64(),
            cpu_seconds: outcome.cpu.as_secs_f64(),
            peak_memory_bytes: outcome.peak_memory_bytes,
            output_bytes: outcome.stdout.total + outcome.stderr.total,
            units: spent.units,
            joules: spent.joules,
            curve: spent.curve.clone(),
        });
        spent.checked(&outcome)?;
        ended("run", &outcome)?;
        let mut touched = built.laid.touched(&folder);
        if !touched.is_empty() {
            touched.truncate(crate::record::MOST_PATHS);
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
        let made = match &self.track.file.build {
            None => None,
            Some(step) => Some(self.make(step, commit, taking)?),
        };
        // Laid out anew: what the build left of the files that nobody may change is not what runs.
        let laid = self.lay(commit, &folder, Purpose::Run)?;
        if let (Some(building), Some(step)) = (made, &self.track.file.build) {
            self.take_over(step, &building, &folder)?;
            disk::remove(&building).map_err(|e| Trouble::io(&building, e))?;
        }
        let built = Built { folder, laid };
        if let Some(smoke) = &self.track.file.smoke {
            self.try_out(smoke, &built, taking)?;
        }
        Ok(built)
    }

    /// Runs the smoke check in a copy of its own, with data and without a budget's server.
    fn try_out(
        &self,
        smoke: &file::Smoke,
        built: &Built,
        taking: &mut Taking,
    ) -> Result<(), Trouble> {
        let folder = self.work.join("smoke");
        disk::copy_tree(&built.folder, &folder).map_err(|e| Trouble::io(&folder, e))?;
        let extra = Extra {
            writable: vec![folder.clone()],
            environment: vec![(judge::SEED.to_owned(), self.run_seed(taking).to_string())],
            data: true,
            ..Extra::default()
        };
        let job = cell::candidate(self, &smoke.command, &folder, smoke.time, None, extra);
        let outcome = self.step("smoke", &job, taking)?;
        disk::remove(&folder).map_err(|e| Trouble::io(&folder, e))?;
        ended("smoke", &outcome)
    }

    /// Runs the build in a folder without data.
    fn make(
        &self,
        step: &file::Step,
        commit: &ObjectId,
        taking: &mut Taking,
    ) -> Result<PathBuf, Trouble> {
        let building = self.work.join("build");
        self.lay(commit, &building, Purpose::Build)?;
        let extra = Extra {
            writable: vec![building.clone()],
            ..Extra::default()
        };
        let job = cell::candidate(self, &step.command, &building, step.time, None, extra);
        ended("build", &self.step("build", &job, taking)?)?;
        Ok(building)
    }

    fn lay(&self, commit: &ObjectId, folder: &Path, purpose: Purpose) -> Result<Laid, Trouble> {
        Ok(tree::lay(
            self.repository,
            self.track,
            commit,
            self.epoch,
            folder,
            purpose,
        )?)
    }

    /// Copies what a build made, where nothing stands yet.
    fn take_over(&self, step: &file::Step, building: &Path, folder: &Path) -> Result<(), Trouble> {
        let wanted = crate::track::globs_of(&step.output);
        let most = self.track.file.sandbox.disk.0;
        let mut bytes = 0;
        for path in artefact::files(building)
            .map_err(|e| Trouble::io(building, e))?
            .map_err(Trouble::Loss)?
        {
            let to = folder.join(&path);
            let is_made = self.track.globs.part(&path) != Part::Tools;
            let asked = is_made && (step.output.is_empty() || wanted.is_match(&path));
            // Nor through a link of the repository: what it names lies outside.
            if !asked || fs::symlink_metadata(&to).is_ok() || !disk::is_within(folder, &path) {
                continue;
            }
            // Counted by length: a file with holes is small on the disk only until it is copied.
            bytes += fs::symlink_metadata(building.join(&path)).map_or(0, |data| data.len());
            if bytes > most {
                return Err(Trouble::Loss(Loss::OutputTooLarge { bytes, most }));
            }
            artefact::copy(building, folder, &path)
                .map_err(|e| Trouble::io(&to, e))?
                .map_err(Trouble::Loss)?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}
