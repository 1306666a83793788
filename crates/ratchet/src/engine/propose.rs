//! One proposal: who is asked, what comes, and whether it can be measured at all.
//!
//! 1. A person who waits comes first; else the bandit chooses.
//! 2. What comes is committed under `refs/sprag/`, whatever it is.
//! 3. It is recorded, together with the reason why it is not measured, if there is one.
//! 4. Only then is a person's proposal forgotten where it waited; one that was recorded before a death is known by its commit and not
//!    taken twice.

use std::time::Instant;

use super::{Engine, EngineError, Observer};
use crate::{
    digest::Digest,
    git::{Files, ObjectId},
    history::Experiment,
    proposer::{Answer, bandit, command, draws, human, search},
    record::{MOST_PATHS, Proposal, Record, Void},
    track::{Proposer, ProposerKind},
    tree::{self, Snapshot},
    trial::Workshop,
};

/// Proposals in a row that could not be measured before the engine says so and stops.
pub(super) const MOST_VOIDS: u64 = 50;

/// What came of asking.
pub(super) enum Proposed {
    /// A candidate waits for its screen.
    Measurable,
    /// A proposal was recorded that is not measured.
    Void,
    /// Nobody can be asked.
    Nobody {
        /// In words.
        why: String,
    },
}

/// Who is asked.
enum Who<'p> {
    /// A person whose change waits: its reference and commit.
    Person(String, ObjectId),
    /// A proposer of the track.
    Proposer(&'p Proposer),
}

/// What somebody proposed on what.
struct Asked {
    experiment: u64,
    name: String,
    base: ObjectId,
    answer: Answer,
    /// Known even where there is no idea.
    title: Option<String>,
    inbox: Option<ObjectId>,
    seconds: f64,
}

impl<'a> Engine<'a> {
    /// Asks one proposer, and records what it says.
    pub(super) fn propose(
        &mut self,
        workshop: &Workshop<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Proposed, EngineError> {
        let place = self.place;
        let (track, repository) = (&place.track, &place.repository);
        let experiment = self.history.next_number();
        let Some(who) = self.who(experiment)? else {
            let why = if track.proposers.is_empty() {
                "the track has no proposer; add one to track.toml, or propose a change with `sprag ratchet propose`"
            } else {
                "nobody has proposed anything; change the files and say `sprag ratchet propose`"
            };
            return Ok(Proposed::Nobody {
                why: why.to_owned(),
            });
        };
        let base = match self.history.tip() {
            Some(tip) => tip.clone(),
            None => self.champion()?,
        };
        let snapshot = tree::snapshot(repository, track, &base)?;
        let started = Instant::now();
        let name = match &who {
            Who::Proposer(proposer) => &proposer.name,
            Who::Person(..) => self.person(),
        };
        observer.proposing(experiment, name);
        let answer = match &who {
            Who::Person(_, commit) => human::take(repository, track, commit, &snapshot.files)?,
            Who::Proposer(proposer) => {
                self.ask(proposer, workshop, experiment, &base, &snapshot.files)?
            }
        };
        let (title, inbox) = match &who {
            Who::Person(_, commit) => (Some(repository.subject(commit)?), Some(commit.clone())),
            Who::Proposer(_) => (None, None),
        };
        let asked = Asked {
            experiment,
            name: name.to_owned(),
            base,
            answer,
            title,
            inbox,
            seconds: started.elapsed().as_secs_f64(),
        };
        let outcome = self.file(asked, &snapshot, observer)?;
        if let Who::Person(reference, commit) = who {
            repository.forget(&reference, &commit)?;
        }
        Ok(outcome)
    }

    /// Puts a candidate that was outrun on today's tip, as another experiment.
    pub(super) fn renew(
        &mut self,
        old: Experiment,
        observer: &mut dyn Observer,
    ) -> Result<Proposed, EngineError> {
        let place = self.place;
        let (track, repository) = (&place.track, &place.repository);
        let base = match self.history.tip() {
            Some(tip) => tip.clone(),
            None => self.champion()?,
        };
        let snapshot = tree::snapshot(repository, track, &base)?;
        let proposal = old.proposal;
        let mut answer = human::take(repository, track, &proposal.commit, &snapshot.files)?;
        if let Ok(idea) = &mut answer {
            idea.knobs = proposal.knobs;
            idea.title.clone_from(&proposal.title);
        }
        let asked = Asked {
            experiment: self.history.next_number(),
            name: proposal.proposer,
            base,
            answer,
            title: Some(proposal.title),
            inbox: None,
            seconds: 0.0,
        };
        let outrun = Record::Void { why: Void::Outrun };
        self.file_with(vec![(outrun, Some(old.number))], asked, &snapshot, observer)
    }

    fn ask(
        &self,
        proposer: &Proposer,
        workshop: &Workshop<'_>,
        experiment: u64,
        base: &ObjectId,
        files: &Files,
    ) -> Result<Answer, EngineError> {
        let past = self.history.past(self.place.track.file.judge.better);
        match &proposer.kind {
            ProposerKind::Search { method, knobs } => {
                let seed = draws(&self.key, &proposer.name);
                Ok(search::propose(
                    *method,
                    knobs,
                    &proposer.name,
                    seed,
                    &past,
                    files,
                ))
            }
            ProposerKind::Command { .. } => {
                command::propose(workshop, proposer, base, experiment, &past)
                    .map_err(EngineError::Workshop)
            }
            ProposerKind::Human => Ok(Err(Void::NoChange)),
        }
    }

    /// What people are called in this track.
    fn person(&self) -> &'a str {
        let proposers = &self.place.track.proposers;
        let human = proposers
            .iter()
            .find(|proposer| matches!(proposer.kind, ProposerKind::Human));
        human.map_or("human", |proposer| &proposer.name)
    }

    /// Who is asked next, if anybody can be.
    fn who(&self, experiment: u64) -> Result<Option<Who<'a>>, EngineError> {
        let place = self.place;
        for (reference, commit) in human::waiting(&place.repository, &place.track)? {
            if !self.history.took(&commit) {
                return Ok(Some(Who::Person(reference, commit)));
            }
            // Recorded before a death that came before it was forgotten.
            place.repository.forget(&reference, &commit)?;
        }
        let proposers = &place.track.proposers;
        let names: Vec<&str> = proposers.iter().map(|p| p.name.as_str()).collect();
        let can: Vec<bool> = proposers
            .iter()
            .map(|p| !matches!(p.kind, ProposerKind::Human))
            .collect();
        let past = self.history.past(place.track.file.judge.better);
        let seed = draws(&self.key, &format!("bandit/{experiment}"));
        Ok(bandit::choose(&names, &can, &past, seed)
            .and_then(|i| proposers.get(i))
            .map(Who::Proposer))
    }

    /// Commits the candidate, and records it with the reason why it is not measured, if there is one.
    fn file(
        &mut self,
        asked: Asked,
        base: &Snapshot,
        observer: &mut dyn Observer,
    ) -> Result<Proposed, EngineError> {
        self.file_with(Vec::new(), asked, base, observer)
    }

    /// The same, recorded together with what made room for it.
    fn file_with(
        &mut self,
        mut records: Vec<(Record, Option<u64>)>,
        asked: Asked,
        base: &Snapshot,
        observer: &mut dyn Observer,
    ) -> Result<Proposed, EngineError> {
        let (track, repository) = (&self.place.track, &self.place.repository);
        let Asked {
            experiment, name, ..
        } = asked;
        let (idea, mut void) = match asked.answer {
            Ok(idea) => (Some(idea), None),
            Err(void) => (None, Some(void)),
        };
        let mut theirs = idea.as_ref().map_or(&base.files, |idea| &idea.files);
        if void.is_none() {
            void = self.foreign(base, theirs);
            if void.is_some() {
                // It would take other files with it, so not even its commit can be made.
                theirs = &base.files;
            }
        }
        let title = idea
            .as_ref()
            .map(|idea| idea.title.trim())
            .or(asked.title.as_deref().map(str::trim))
            .filter(|title| !title.is_empty());
        let why_none = void.as_ref().map(ToString::to_string);
        let title: String = title
            .or(why_none.as_deref())
            .unwrap_or("no change")
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        let changes = tree::changes(&base.files, theirs);
        let tree = tree::normalised(track, theirs, false);
        let seedless = (!track.seeds.is_empty()).then(|| tree::normalised(track, theirs, true));
        if void.is_none() {
            void = self.unmeasurable(&base.files, theirs, &tree, seedless.as_ref())?;
        }
        let commit = if changes.is_empty() {
            asked.base.clone()
        } else {
            let message = format!(
                "{title}\n\nExperiment {experiment} of the track {}, proposed by {name}.\n",
                track.name()
            );
            repository.commit(
                &asked.base,
                &changes,
                &message,
                &self.place.candidate(experiment),
            )?
        };
        let proposal = Record::Proposed(Proposal {
            proposer: name,
            base: asked.base,
            commit,
            tree,
            seedless,
            inbox: asked.inbox,
            title,
            changed: changes.into_keys().take(MOST_PATHS).collect(),
            knobs: idea.and_then(|idea| idea.knobs),
            seconds: asked.seconds,
        });
        records.push((proposal, Some(experiment)));
        let measurable = void.is_none();
        records.extend(void.map(|why| (Record::Void { why }, Some(experiment))));
        self.record_all(&records, observer)?;
        Ok(if measurable {
            Proposed::Measurable
        } else {
            Proposed::Void
        })
    }

    /// A new file where another one is, under it or above it, would take that with it.
    fn foreign(&self, base: &Snapshot, theirs: &Files) -> Option<Void> {
        let mut others = base.others.clone();
        others.extend(self.seal.files.keys().cloned());
        let new = theirs.keys().filter(|path| !base.files.contains_key(*path));
        let paths = tree::in_the_way(new, &others);
        (!paths.is_empty()).then_some(Void::Foreign { paths })
    }

    /// Why a candidate's files are not worth a measurement, if they are not.
    fn unmeasurable(
        &self,
        base: &Files,
        theirs: &Files,
        tree: &Digest,
        seedless: Option<&Digest>,
    ) -> Result<Option<Void>, EngineError> {
        let (track, repository) = (&self.place.track, &self.place.repository);
        if *tree == tree::normalised(track, base, false) {
            return Ok(Some(Void::NoChange));
        }
        if seedless.is_some_and(|seedless| *seedless == tree::normalised(track, base, true)) {
            return Ok(Some(Void::SeedOnly { of: None }));
        }
        let bytes: u64 = theirs
            .values()
            .map(|contents| contents.bytes.len() as u64)
            .sum();
        let most = track.file.artefact.most_bytes.0;
        if bytes > most {
            return Ok(Some(Void::TooLarge { bytes, most }));
        }
        let (dense, most) = (
            tree::compressed(theirs),
            track.file.artefact.most_compressed(),
        );
        if dense > most {
            return Ok(Some(Void::TooDense { bytes: dense, most }));
        }
        if let Some(of) = self.history.same_tree(tree) {
            return Ok(Some(Void::Repeated { of }));
        }
        if let Some(of) = seedless.and_then(|seedless| self.history.same_but_for_seeds(seedless)) {
            return Ok(Some(Void::SeedOnly { of: Some(of) }));
        }
        let champion = tree::mutable(repository, track, &self.champion()?)?;
        if *tree == tree::normalised(track, &champion, false) {
            return Ok(Some(Void::NoChange));
        }
        let redrawn =
            seedless.is_some_and(|seedless| *seedless == tree::normalised(track, &champion, true));
        Ok(redrawn.then_some(Void::SeedOnly { of: None }))
    }
}
