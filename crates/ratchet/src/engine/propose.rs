//! One proposal: who is asked, what comes, and whether it can be measured at all.

use std::time::Instant;

use super::{Engine, EngineError, Observer};
use crate::{
    git::Files,
    proposer::{Answer, bandit, command, draws, human, search},
    record::{Proposal, Record, Void},
    track::ProposerKind,
    tree,
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

impl Engine<'_> {
    /// Asks one proposer, and records what it says.
    pub(super) fn propose(&mut self, workshop: &Workshop<'_>, observer: &mut dyn Observer) -> Result<Proposed, EngineError> {
        let (track, repository) = (&self.place.track, &self.place.repository);
        let experiment = self.history.next_number();
        let waiting = human::waiting(repository, track)?;
        let Some(index) = self.who(experiment, waiting.is_some()) else {
            let why = if track.proposers.is_empty() {
                "the track has no proposer; add one to track.toml, or propose a change with `sprag ratchet propose`"
            } else {
                "nobody has proposed anything; change the files and say `sprag ratchet propose`"
            };
            return Ok(Proposed::Nobody { why: why.to_owned() });
        };
        let base = self.history.tip().cloned().map_or_else(|| self.champion(), Ok)?;
        let files = tree::mutable(repository, track, &base)?;
        let past = self.history.past(track.file.judge.better);
        let started = Instant::now();
        let (name, answer) = match index.map(|i| &track.proposers[i]) {
            Some(proposer) if !matches!(proposer.kind, ProposerKind::Human) => {
                observer.proposing(experiment, &proposer.name);
                let answer = match &proposer.kind {
                    ProposerKind::Search { method, knobs } => {
                        let seed = draws(&self.key, &proposer.name);
                        search::propose(*method, knobs, &proposer.name, seed, &past, &files)
                    }
                    _ => command::propose(workshop, proposer, &base, experiment, &past).map_err(EngineError::Workshop)?,
                };
                (proposer.name.clone(), answer)
            }
            human => {
                let name = human.map_or("human", |proposer| proposer.name.as_str());
                observer.proposing(experiment, name);
                let answer = match &waiting {
                    Some((_, commit)) => human::take(repository, track, commit, &files)?,
                    None => Err(Void::NoChange),
                };
                (name.to_owned(), answer)
            }
        };
        let outcome = self.file(experiment, &name, &base, &files, answer, started, observer)?;
        // Only now is it safe to forget that it waited: a second look would find the same files and say so.
        if let (Some((reference, commit)), true) = (waiting, index.is_none_or(|i| matches!(track.proposers[i].kind, ProposerKind::Human))) {
            repository.forget(&reference, &commit)?;
        }
        Ok(outcome)
    }

    /// The proposer to ask: a person who waits comes first. `Some(None)` is a person where the track names none.
    fn who(&self, experiment: u64, waiting: bool) -> Option<Option<usize>> {
        let track = &self.place.track;
        let is_human = |i: &usize| matches!(track.proposers[*i].kind, ProposerKind::Human);
        if waiting {
            return Some((0..track.proposers.len()).find(is_human));
        }
        let names: Vec<&str> = track.proposers.iter().map(|p| p.name.as_str()).collect();
        let can: Vec<bool> = (0..names.len()).map(|i| !is_human(&i)).collect();
        let past = self.history.past(track.file.judge.better);
        let seed = draws(&self.key, &format!("bandit/{experiment}"));
        bandit::choose(&names, &can, &past, seed).map(Some)
    }

    /// Commits the candidate, and records it with the reason why it is not measured, if there is one.
    #[expect(clippy::too_many_arguments, reason = "all of a proposal's parts, each of another type")]
    fn file(
        &mut self,
        experiment: u64,
        name: &str,
        base: &crate::git::ObjectId,
        files: &Files,
        answer: Answer,
        started: Instant,
        observer: &mut dyn Observer,
    ) -> Result<Proposed, EngineError> {
        let (track, repository) = (&self.place.track, &self.place.repository);
        let (idea, mut void) = match answer {
            Ok(idea) => (Some(idea), None),
            Err(void) => (None, Some(void)),
        };
        let theirs = idea.as_ref().map_or(files, |idea| &idea.files);
        let title = idea.as_ref().map(|idea| idea.title.trim()).filter(|title| !title.is_empty());
        let title: String = title.unwrap_or("no change").chars().filter(|c| !c.is_control()).take(200).collect();
        let changes = tree::changes(files, theirs);
        let digest = tree::normalised(track, theirs, false);
        if void.is_none() {
            void = self.unmeasurable(files, theirs, &digest)?;
        }
        let commit = if changes.is_empty() {
            base.clone()
        } else {
            let message = format!("{title}\n\nExperiment {experiment} of the track {}, proposed by {name}.\n", track.name());
            repository.commit(base, &changes, &message, &self.place.candidate(experiment))?
        };
        let proposal = Record::Proposed(Proposal {
            proposer: name.to_owned(),
            base: base.clone(),
            commit,
            tree: digest,
            title,
            changed: changes.into_keys().collect(),
            knobs: idea.and_then(|idea| idea.knobs),
            seconds: started.elapsed().as_secs_f64(),
        });
        let mut records = vec![(proposal, Some(experiment))];
        let measurable = void.is_none();
        records.extend(void.map(|why| (Record::Void { why }, Some(experiment))));
        self.record_all(&records, observer)?;
        Ok(if measurable { Proposed::Measurable } else { Proposed::Void })
    }

    /// Why a candidate's files are not worth a measurement, if they are not.
    fn unmeasurable(&self, base: &Files, theirs: &Files, digest: &crate::digest::Digest) -> Result<Option<Void>, EngineError> {
        let (track, repository) = (&self.place.track, &self.place.repository);
        if *digest == tree::normalised(track, base, false) {
            return Ok(Some(Void::NoChange));
        }
        if tree::normalised(track, theirs, true) == tree::normalised(track, base, true) {
            return Ok(Some(Void::SeedOnly));
        }
        let bytes: u64 = theirs.values().map(|contents| contents.bytes.len() as u64).sum();
        let most = track.file.artefact.most_bytes.0;
        if bytes > most {
            return Ok(Some(Void::TooLarge { bytes, most }));
        }
        if let Some(of) = self.history.same_tree(digest) {
            return Ok(Some(Void::Repeated { of }));
        }
        let champion = tree::mutable(repository, track, &self.champion()?)?;
        Ok((*digest == tree::normalised(track, &champion, false)).then_some(Void::NoChange))
    }
}
