//! Which changes of a group that was merged together the champion needs: measured with each and without, one change at a time.
//!
//! A race proves a group, and changes that do nothing ride along. Leaving one out cannot win a race, for nothing gets better by it, so
//! nothing moves here: the champion with and without the change is measured under the same fresh seeds, the differences are recorded, and
//! whoever reviews the branches (`finalize`) knows which ones to leave.

use std::path::PathBuf;

use gate::{Better, Kind, Reading};

use super::{Engine, EngineError, Observer};
use crate::{
    git::{Files, ObjectId},
    history::LeftOut,
    record::Record,
    tree,
    trial::{Arm, Splits, Workshop, WorkshopError},
};

/// A change that was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruned {
    /// Its experiment.
    pub experiment: u64,
    /// What it is.
    pub title: String,
    /// What leaving it out does; or the file in which later changes build on it, so that it cannot go alone.
    pub found: Result<LeftOut, PathBuf>,
}

impl Engine<'_> {
    /// Measures the champion without each change that was merged in a group, so many times; what was measured before counts.
    ///
    /// # Errors
    /// [`EngineError`]; what was recorded before stays.
    pub fn prune(
        &mut self,
        runs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Pruned>, EngineError> {
        let pruned = self.leave_out(runs, observer);
        // What cannot be removed goes at the next start.
        let _left = crate::disk::remove(&self.place.work());
        pruned
    }

    fn leave_out(
        &mut self,
        runs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Pruned>, EngineError> {
        let place = self.place;
        let champion = self.champion()?;
        let members = self.history.merged_in_groups();
        let lent = self.lent();
        let stop = self.stop_asked();
        let Some(mut workshop) = lent.workshops(&stop)?.pop() else {
            return Ok(Vec::new());
        };
        let files = tree::mutable(&place.repository, &place.track, &champion)?;
        let mut without = Vec::new();
        for member in members {
            without.push((member, self.without(member, &champion, &files)?));
        }
        // One run of all, and then the next: a machine that changes does so for all of them.
        for run in 0..runs {
            let label = format!("left-out/{}/{run}", champion.short());
            let mut of_champion = None;
            for (member, commit) in &without {
                let Ok(commit) = commit else { continue };
                if self.left_out(*member, &champion).differences.len() > run {
                    continue;
                }
                let difference =
                    difference(&mut workshop, &champion, commit, &label, &mut of_champion)
                        .map_err(EngineError::Workshop)?;
                let record = Record::LeftOut {
                    champion: champion.clone(),
                    run,
                    difference,
                };
                self.record(&record, Some(*member), observer)?;
            }
        }
        Ok(without
            .into_iter()
            .map(|(experiment, commit)| Pruned {
                experiment,
                title: self
                    .history
                    .experiments
                    .get(&experiment)
                    .map_or_else(String::new, |e| e.proposal.title.clone()),
                found: commit.map(|_| self.left_out(experiment, &champion)),
            })
            .collect())
    }

    fn left_out(&self, member: u64, champion: &ObjectId) -> LeftOut {
        let experiment = self.history.experiments.get(&member);
        experiment
            .and_then(|experiment| experiment.left_out.clone())
            .filter(|known| known.champion == *champion)
            .unwrap_or_else(|| LeftOut {
                champion: champion.clone(),
                differences: Vec::new(),
            })
    }

    /// The champion without a member's change, as a commit; or the file in which that is part of what came later.
    fn without(
        &self,
        member: u64,
        champion: &ObjectId,
        files: &Files,
    ) -> Result<Result<ObjectId, PathBuf>, EngineError> {
        let (repository, track) = (&self.place.repository, &self.place.track);
        let Some(experiment) = self.history.experiments.get(&member) else {
            return Ok(Err(PathBuf::new()));
        };
        let proposal = &experiment.proposal;
        let with = tree::mutable(repository, track, &proposal.commit)?;
        let before = tree::mutable(repository, track, &proposal.base)?;
        let left = match tree::onto(repository, files, &with, &before)? {
            Ok(left) => left,
            Err(path) => return Ok(Err(path)),
        };
        let message = format!(
            "The champion without experiment {member}\n\n{}\n",
            proposal.title
        );
        let reference = self.place.without(member);
        let changes = tree::changes(files, &left);
        Ok(Ok(repository
            .commit(champion, &changes, &message, &reference)
            .map_err(EngineError::Git)?))
    }
}

/// How much worse it is without the change, in the metric's units (log-ratio for timing); `None` where it is a loss then.
fn difference(
    workshop: &mut Workshop<'_>,
    champion: &ObjectId,
    without: &ObjectId,
    label: &str,
    of_champion: &mut Option<f64>,
) -> Result<Option<f64>, WorkshopError> {
    let better = workshop.track.file.judge.better;
    if workshop.track.kind() == Kind::Timing {
        let (reading, _) = workshop.block(champion, without, label)?;
        return Ok(reading.and_then(|reading| cost(better, &reading)));
    }
    let with = match of_champion {
        Some(known) => *known,
        None => {
            let (reading, _) = workshop.alone(champion, Arm::Champion, Splits::Both, label)?;
            let with = reading.and_then(|reading| cost(better, &reading));
            *of_champion.insert(with.unwrap_or(f64::NAN))
        }
    };
    let (reading, _) = workshop.alone(without, Arm::Candidate, Splits::Both, label)?;
    Ok(reading
        .and_then(|reading| cost(better, &reading))
        .map(|without| without - with))
}

/// A reading on a scale where less is better.
fn cost(better: Better, reading: &Reading) -> Option<f64> {
    match reading {
        Reading::Score { hidden, .. } => hidden.map(|hidden| better.cost(hidden)),
        Reading::Cases { hidden, .. } => {
            let mean = hidden.iter().sum::<f64>() / hidden.len().max(1) as f64;
            Some(better.cost(mean))
        }
        Reading::Block { log_ratio } => Some(-log_ratio),
    }
    .filter(|cost| cost.is_finite())
}
