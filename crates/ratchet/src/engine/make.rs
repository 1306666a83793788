//! What the champion's program leaves, for whoever wants to use it: a measurement keeps figures and throws the rest away.
//!
//! The program is built and run once more, under the seal and the budget, and what it leaves is judged like any other. The seed is the
//! commit's own, so that the same commit leaves the same thing, as far as its program repeats itself. No measurement is recorded: what
//! came of it was none that the gate had asked for.

use std::{fs, io, path::Path};

use gate::{Kind, Reading};

use super::{Engine, EngineError, begin::io_error};
use crate::{
    disk,
    git::ObjectId,
    trial::{Loss, Measured, WorkshopError},
};

/// What was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Of which commit.
    pub commit: ObjectId,
    /// What it is worth, or why there is nothing.
    pub reading: Result<Reading, Loss>,
    /// How it went.
    pub figures: Measured,
}

impl Engine<'_> {
    /// Makes what the champion's program leaves, or an experiment's, in a new folder. A program that loses leaves no folder.
    ///
    /// # Errors
    /// [`EngineError`]; a folder that is there already is one.
    pub fn make(&mut self, experiment: Option<u64>, folder: &Path) -> Result<Made, EngineError> {
        let made = self.make_in(experiment, folder);
        // What cannot be removed goes at the next start.
        let _left = disk::remove(&self.place.work());
        made
    }

    fn make_in(&self, experiment: Option<u64>, folder: &Path) -> Result<Made, EngineError> {
        let track = &self.place.track;
        let leaves = track
            .file
            .run
            .as_ref()
            .is_some_and(|run| !run.output.is_empty());
        if !leaves || track.kind() == Kind::Timing {
            return Err(EngineError::NothingMade(track.name().to_owned()));
        }
        let commit = match experiment {
            None => self.champion()?,
            Some(number) => {
                let known = self.history.experiments.get(&number);
                // One that was not measured may be nothing but what it began from.
                let proposal = known
                    .map(|experiment| &experiment.proposal)
                    .filter(|proposal| proposal.commit != proposal.base);
                let latest = self.history.next_number() - 1;
                proposal
                    .ok_or(EngineError::NoExperiment { number, latest })?
                    .commit
                    .clone()
            }
        };
        fs::create_dir(folder).map_err(io_error(folder))?;
        fs::remove_dir(folder).map_err(io_error(folder))?;
        let lent = self.lent();
        let stop = self.stop_asked();
        let Some(mut workshop) = lent.workshops(&stop)?.pop() else {
            return Err(EngineError::Workshop(WorkshopError::Stopped));
        };
        let (left, mut figures) = workshop
            .made(&commit, &format!("made/{commit}"))
            .map_err(EngineError::Workshop)?;
        let Some((artefact, reading)) = left else {
            let unknown = || Loss::NoOutput {
                what: "reading".to_owned(),
            };
            return Ok(Made {
                commit,
                reading: Err(figures.loss.take().unwrap_or_else(unknown)),
                figures,
            });
        };
        if let Err(error) = hand_over(&artefact, folder) {
            // A part of it would look like all of it.
            let _left = disk::remove(folder);
            return Err(io_error(folder)(error));
        }
        Ok(Made {
            commit,
            reading: Ok(reading),
            figures,
        })
    }
}

fn hand_over(artefact: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    for path in disk::walk(artefact, &|_| false)? {
        disk::copy(&artefact.join(&path), &folder.join(&path))?;
    }
    disk::sync_tree(folder)
}
