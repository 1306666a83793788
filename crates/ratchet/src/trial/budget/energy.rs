//! Joules of a run, by the machine's own counters.

use std::time::{Duration, Instant};

use silicon::energy::{How, Sources, Tally, totals};

use super::Broken;
use crate::track::Track;

#[cfg(test)]
mod tests;

/// How often the energy is read: counters change every millisecond, and reading them costs.
const TICK: Duration = Duration::from_millis(100);

/// The counters of a machine whose track limits joules.
///
/// # Errors
/// In words, where the machine has none.
pub(crate) fn counters(track: &Track) -> Result<Option<Sources>, String> {
    if track.file.run.as_ref().and_then(|run| run.joules).is_none() {
        return Ok(None);
    }
    let sources = Sources::open();
    if sources.scopes().any(|scope| scope.how == How::Counter) {
        return Ok(Some(sources));
    }
    let why: Vec<String> = sources
        .unreadable()
        .iter()
        .map(|one| format!("{}: {} ({})", one.scope, one.why.reason, one.why.remedy))
        .collect();
    Err(why.join("; "))
}

/// Joules of a run, by counters alone.
pub(super) struct Energy<'a> {
    sources: &'a Sources,
    tally: Tally,
    most: f64,
    next: Instant,
}

impl<'a> Energy<'a> {
    pub(super) fn start(sources: &'a Sources, most: f64) -> Self {
        Self {
            sources,
            tally: Tally::start(sources),
            most,
            next: Instant::now() + TICK,
        }
    }

    /// Why the run has to end now, if it has to.
    pub(super) fn over(&mut self) -> Option<Broken> {
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + TICK;
        self.check()
    }

    pub(super) fn check(&mut self) -> Option<Broken> {
        match self.used() {
            Some(joules) if joules > self.most => Some(Broken::Run(format!(
                "used {joules:.0} J, and {} is the most it may",
                self.most
            ))),
            Some(_) => None,
            None => Some(Broken::Counter(
                "the machine's energy counters can no longer be read".to_owned(),
            )),
        }
    }

    /// Of the parts of the machine that have a counter.
    pub(super) fn used(&mut self) -> Option<f64> {
        self.tally.tick(self.sources);
        let counted: Vec<_> = self
            .tally
            .used()
            .iter()
            .filter(|used| used.scope.how == How::Counter)
            .cloned()
            .collect();
        // One that is unknown would be missed from the sum.
        if counted.iter().any(|used| used.energy_j.value().is_none()) {
            return None;
        }
        totals(&counted).parts.map(|sum| sum.energy_j)
    }
}
