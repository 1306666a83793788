//! What the engine asks of candidates before it proposes or measures another: which wait, and which have had their draw.

use super::{Experiment, History};
use crate::{digest::Digest, proposer::Standing};

impl History {
    /// A candidate that waits for its screen and was built on what is no longer the tip.
    #[must_use]
    pub fn outrun(&self) -> Option<&Experiment> {
        let tip = self.tip();
        self.pending
            .iter()
            .filter_map(|number| self.experiments.get(number))
            .find(|experiment| Some(&experiment.proposal.base) != tip)
    }

    /// Whether a candidate waits although one that was to be screened at the same time has its verdict: the engine was interrupted
    /// between the two. What is proposed next must know both, as it would have without the interruption.
    #[must_use]
    pub fn is_half_screened(&self) -> bool {
        let has_verdict = |number: &u64| {
            let experiment = self.experiments.get(number);
            experiment.is_some_and(|experiment| experiment.screen.is_some())
        };
        self.pending.iter().any(|waiting| {
            let itself = self.experiments.get(waiting);
            let before = itself.is_some_and(|e| e.beside.iter().any(has_verdict));
            let mut after = self.experiments.range(waiting..);
            before || after.any(|(n, e)| e.beside.contains(waiting) && has_verdict(n))
        })
    }

    /// An earlier candidate of this epoch with the same files, which was measured or is about to be, and has a verdict of its own.
    #[must_use]
    pub fn same_tree(&self, tree: &Digest) -> Option<u64> {
        let epoch = self.seal.as_ref().map_or(0, |seal| seal.epoch);
        self.experiments
            .values()
            .find(|e| {
                e.epoch == epoch
                    && e.void.is_none()
                    && self.has_its_draw(e)
                    && !self.fell_with_others(e)
                    && e.proposal.tree == *tree
            })
            .map(|experiment| experiment.number)
    }

    /// Whether it was dropped with a group, which says nothing of it alone: it may be judged again.
    fn fell_with_others(&self, experiment: &Experiment) -> bool {
        let race = experiment.race.and_then(|race| self.races.get(&race));
        experiment.standing == Standing::Dropped && race.is_some_and(|race| race.members.len() > 1)
    }

    fn has_its_draw(&self, experiment: &Experiment) -> bool {
        experiment.screen.is_some() || self.pending.contains(&experiment.number)
    }

    /// An earlier candidate of this epoch with a screen, or about to have one, that differs by nothing but the literals that choose a draw.
    #[must_use]
    pub fn same_but_for_seeds(&self, seedless: &Digest) -> Option<u64> {
        let epoch = self.epoch();
        self.experiments
            .values()
            .find(|e| {
                e.epoch == epoch
                    && self.has_its_draw(e)
                    && e.proposal.seedless.as_ref() == Some(seedless)
            })
            .map(|experiment| experiment.number)
    }
}
