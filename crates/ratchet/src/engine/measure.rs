//! Measurements: what the gate wants now and surely next, taken by the track's workers at one time, and told to the gate in order.
//!
//! 1. What will be wanted is foreseen by telling a copy of the gate a reading like the last; candidates that wait are wanted as they are.
//! 2. Every worker has processors of its own.
//! 3. A reading that is no longer wanted when its turn comes is dropped. Should it be wanted later, it is taken again, with the same seed.
//! 4. A measurement in which the champion, the judge or its answer failed is recorded as failed and taken again with another seed, so that
//!    one bad draw doesn't stop a track for good. After some failures in a row the engine ends with the error; or the candidate loses, if
//!    the champion alone can be measured: then it is the candidate that the judge cannot bear. A start after that goes on with new seeds.

use std::path::{Path, PathBuf};

use gate::{Decision, Event, Gate, Kind, OutOfTurn, Reading, Want};

use super::{Engine, EngineError, Observer};
use crate::{
    git::ObjectId,
    history::HistoryError,
    record::Record,
    track::Track,
    trial::{self, Arm, Loss, Measured, Splits, What, Workshop, WorkshopError},
};

/// Failures in a row of one measurement of the champion before the engine ends.
const MOST_FAILURES: u64 = 3;
/// The same beside a candidate, which could be their cause and gets no more than one other draw by it.
const MOST_FAILURES_BESIDE: u64 = 2;

/// A worker's processors (`None`: as the track says) and its folder.
type Worker = (Option<Vec<usize>>, PathBuf);

/// As many as the track wants.
pub(super) fn workers(track: &Track, work: &Path) -> Result<Vec<Worker>, EngineError> {
    let rules = &track.file.sandbox;
    let folder = |n: usize| work.join(format!("worker-{n}"));
    if rules.workers == 1 {
        return Ok(vec![(None, folder(0))]);
    }
    let mut all: Vec<usize> = silicon::probe::own_cores().into_iter().flatten().collect();
    if let Some(chosen) = &rules.processors {
        all.retain(|processor| chosen.contains(processor));
    }
    let shares = share_out(&all, rules.workers).ok_or(EngineError::Workers {
        workers: rules.workers,
        processors: all.len(),
    })?;
    let numbered = shares.into_iter().enumerate();
    Ok(numbered
        .map(|(n, processors)| (Some(processors), folder(n)))
        .collect())
}

/// Disjoint sets of the same size, as large as they can be; neighbours stay together. `None` where there are fewer than parts.
fn share_out(processors: &[usize], parts: usize) -> Option<Vec<Vec<usize>>> {
    let each = processors
        .len()
        .checked_div(parts)
        .filter(|each| *each > 0)?;
    let shares = processors.chunks_exact(each).take(parts);
    Some(shares.map(<[usize]>::to_vec).collect())
}

/// A measurement to be taken.
#[derive(Clone)]
struct Task {
    want: Want,
    what: What,
    commit: ObjectId,
    splits: Splits,
    /// Of its seeds: another one for each attempt.
    label: String,
}

type Taken = Result<(Option<Reading>, Measured), WorkshopError>;

impl Task {
    fn experiment(&self) -> Option<u64> {
        match self.what {
            What::Screen { experiment } => Some(experiment),
            _ => None,
        }
    }

    /// Whose reading it is.
    fn arm(&self) -> Arm {
        match self.what {
            What::Champion { .. } | What::Same { .. } => Arm::Champion,
            What::Screen { .. } | What::Race { .. } => Arm::Candidate,
        }
    }

    fn take(&self, champion: &ObjectId, workshop: &mut Workshop<'_>) -> Taken {
        match workshop.track.kind() {
            Kind::Timing => workshop.block(champion, &self.commit, &self.label),
            Kind::Score | Kind::Cases => {
                workshop.alone(&self.commit, self.arm(), self.splits, &self.label)
            }
        }
    }
}

impl Engine<'_> {
    /// Takes what is wanted, and records it with what follows; the number of experiments that have their verdict by it.
    pub(super) fn measure(
        &mut self,
        workshops: &mut [Workshop<'_>],
        observer: &mut dyn Observer,
    ) -> Result<u64, EngineError> {
        let champion = self.champion()?;
        let tasks = self.tasks(&champion, workshops.len())?;
        for task in &tasks {
            observer.measuring(&task.want, task.experiment());
        }
        let file = &self.place.track.file;
        let rules = file.run.as_ref().and_then(|run| run.curve.as_ref());
        let pace = rules.map_or_else(Vec::new, |rules| {
            self.history.pace(rules, file.judge.better)
        });
        for workshop in workshops.iter_mut() {
            workshop.pace.clone_from(&pace);
        }
        let all_taken = take_all(&tasks, &champion, workshops);
        let mut verdicts = 0;
        for (task, taken) in tasks.iter().zip(all_taken) {
            if !self.is_wanted(task)? {
                break;
            }
            let told = match taken {
                Ok((reading, figures)) => self.tell(task, reading, figures, observer),
                Err(error) => Err(EngineError::Workshop(error)),
            };
            match told {
                Ok(()) => self.failures = 0,
                Err(error) if may_be_the_seed(&error) => {
                    self.failed(task, error, &champion, workshops, observer)?;
                    break;
                }
                Err(error) => return Err(error),
            }
            verdicts += u64::from(task.experiment().is_some());
        }
        Ok(verdicts)
    }

    /// What is wanted now, and as far as it can be foreseen, at most `most` measurements.
    fn tasks(&self, champion: &ObjectId, most: usize) -> Result<Vec<Task>, EngineError> {
        let history = &self.history;
        let mut gate = self.gate()?.clone();
        let (mut runs, mut blocks) = (history.champion_runs.len(), history.same_blocks.len());
        let mut tasks = Vec::new();
        while tasks.len() < most {
            let want = gate.next();
            let Some(what) = self.what(&want, runs as u64, blocks as u64) else {
                break;
            };
            tasks.push(self.task(want, what, champion));
            let Some(event) = self.likely(what) else {
                break;
            };
            // A decision would change what is wanted.
            if !gate
                .apply(event)
                .is_ok_and(|decisions| decisions.is_empty())
            {
                break;
            }
            runs += usize::from(matches!(what, What::Champion { .. }));
            blocks += usize::from(matches!(what, What::Same { .. }));
        }
        if gate.next() == Want::Proposal && tasks.is_empty() {
            let waiting = history.pending.iter().take(most);
            tasks.extend(waiting.map(|&experiment| {
                let what = What::Screen { experiment };
                self.task(Want::Proposal, what, champion)
            }));
        }
        Ok(tasks)
    }

    /// What a want other than a proposal means.
    fn what(&self, want: &Want, runs: u64, blocks: u64) -> Option<What> {
        match want {
            Want::Champion { .. } => Some(What::Champion { number: runs }),
            Want::Same => Some(What::Same { number: blocks }),
            Want::Race { race, index } => Some(What::Race {
                race: *race,
                index: *index,
            }),
            Want::Proposal | Want::End => None,
        }
    }

    fn task(&self, want: Want, what: What, champion: &ObjectId) -> Task {
        let history = &self.history;
        let commit = match what {
            What::Champion { .. } | What::Same { .. } => Some(champion),
            What::Race { .. } => history.tip(),
            What::Screen { experiment } => history
                .experiments
                .get(&experiment)
                .map(|experiment| &experiment.proposal.commit),
        };
        let mut label = trial::label(&what);
        if let Some((failed, times)) = &history.failed
            && *failed == label
        {
            label = format!("{label}/again/{times}");
        }
        Task {
            want,
            what,
            commit: commit.unwrap_or(champion).clone(),
            splits: self.splits(what),
            label,
        }
    }

    /// A screen counts by the public split. The hidden one costs as much again, so it is asked only of what may come to stand on the tip,
    /// where what cannot be judged would take others with it.
    fn splits(&self, what: What) -> Splits {
        let reference = self.history.gate.as_ref().and_then(Gate::public_reference);
        match (what, reference) {
            (What::Screen { .. }, Some(reference)) => Splits::PublicUpTo(reference),
            _ => Splits::Both,
        }
    }

    /// An event like the last of its kind, to foresee what is wanted after it.
    fn likely(&self, what: What) -> Option<Event> {
        let history = &self.history;
        let of_champion = history.champion_runs.last().map(|(_, reading, _)| reading);
        let reading = match what {
            What::Champion { .. } => of_champion,
            What::Same { .. } => history.same_blocks.last().map(|(_, reading, _)| reading),
            What::Race { race, .. } => history
                .races
                .get(&race)
                .and_then(|race| race.readings.last())
                .and_then(|(reading, _)| reading.as_ref())
                .or(of_champion),
            What::Screen { .. } => None,
        };
        what.event(Some(reading?.clone()))
    }

    /// Whether the gate wants this very measurement now.
    fn is_wanted(&self, task: &Task) -> Result<bool, EngineError> {
        let history = &self.history;
        let want = self.gate()?.next();
        let (runs, blocks) = (history.champion_runs.len(), history.same_blocks.len());
        Ok(match task.what {
            What::Screen { experiment } => {
                let proposal = history.experiments.get(&experiment).map(|e| &e.proposal);
                want == Want::Proposal && proposal.map(|p| &p.base) == history.tip()
            }
            what => self.what(&want, runs as u64, blocks as u64) == Some(what),
        })
    }

    /// Records a failure; after some in a row it is the engine's end, or the candidate's.
    fn failed(
        &mut self,
        task: &Task,
        error: EngineError,
        champion: &ObjectId,
        workshops: &mut [Workshop<'_>],
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        let record = Record::Failed {
            measurement: trial::label(&task.what),
            why: error.to_string(),
        };
        self.record(&record, task.experiment(), observer)?;
        self.failures += 1;
        // Before its first reading a track is most likely not set up yet, which another seed does not mend.
        let most = match task.arm() {
            Arm::Champion => MOST_FAILURES,
            Arm::Candidate => MOST_FAILURES_BESIDE,
        };
        if self.failures < most && !self.history.is_unmeasured() {
            return Ok(());
        }
        let (Arm::Candidate, Some(workshop)) = (task.arm(), workshops.first_mut()) else {
            return Err(error);
        };
        let alone = Task {
            commit: champion.clone(),
            label: format!("{}/champion", task.label),
            ..task.clone()
        };
        match alone.take(champion, workshop) {
            Ok((Some(_), mut figures)) => {
                figures.loss = Some(Loss::Judge {
                    how: format!(
                        "it failed {most} times, and measured the champion alone: {error}"
                    ),
                });
                self.failures = 0;
                self.tell(task, None, figures, observer)
            }
            Err(WorkshopError::Stopped) => Err(EngineError::Workshop(WorkshopError::Stopped)),
            _ => Err(error),
        }
    }

    /// Tells the gate, and records the event, the decisions, and a promotion if there is one, all or none.
    fn tell(
        &mut self,
        task: &Task,
        reading: Option<Reading>,
        figures: Measured,
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        let event = task.what.event(reading).ok_or(HistoryError::OutOfPlace(
            "a reading of the champion that is none",
        ))?;
        let decisions = self.gate()?.clone().apply(event.clone())?;
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
        let mut records = vec![(measured, task.experiment())];
        records.extend(promoted.map(|record| (record, None)));
        self.record_all(&records, observer)?;
        if records.len() > 1 {
            self.follow()?;
        }
        Ok(())
    }

    fn gate(&self) -> Result<&Gate, EngineError> {
        let none = HistoryError::OutOfPlace("the gate before the track's beginning");
        self.history.gate.as_ref().ok_or_else(|| none.into())
    }
}

/// Whether another draw may mend it: the champion, the judge, or what the judge says of the champion.
fn may_be_the_seed(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Workshop(
            WorkshopError::Champion(_) | WorkshopError::Judge(_) | WorkshopError::Fault(_)
        ) | EngineError::Gate(
            OutOfTurn::BrokenJudge { .. }
                | OutOfTurn::OtherCases { .. }
                | OutOfTurn::WrongKind { .. }
        )
    )
}

/// Each task by a worker of its own, at one time.
fn take_all(tasks: &[Task], champion: &ObjectId, workshops: &mut [Workshop<'_>]) -> Vec<Taken> {
    if let ([task], Some(workshop)) = (tasks, workshops.first_mut()) {
        return vec![task.take(champion, workshop)];
    }
    std::thread::scope(|scope| {
        let at_work: Vec<_> = tasks
            .iter()
            .zip(workshops)
            .map(|(task, workshop)| scope.spawn(move || task.take(champion, workshop)))
            .collect();
        let finished = at_work.into_iter().map(std::thread::ScopedJoinHandle::join);
        finished
            .map(|taken| taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::share_out;

    #[test]
    fn shares_are_disjoint_and_of_one_size() {
        let shares = share_out(&[0, 4, 1, 5, 2], 2).unwrap();
        assert_eq!(shares, [vec![0, 4], vec![1, 5]]);
        assert_eq!(share_out(&[7], 2), None);
        assert_eq!(share_out(&[7], 0), None);
    }
}
