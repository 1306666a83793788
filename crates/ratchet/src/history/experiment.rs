//! What is known of one candidate, and of one race.

use gate::{Decision, Reading};
use measure::{Interval, Samples};

use crate::{
    git::ObjectId,
    proposer::Standing,
    record::{Proposal, Void},
    trial::Measured,
};

/// A candidate with what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its number, from 1.
    pub number: u64,
    /// When it was proposed: RFC 3339, UTC.
    pub at: String,
    /// In which epoch.
    pub epoch: u64,
    /// What it is.
    pub proposal: Proposal,
    /// Why it was not measured.
    pub void: Option<Void>,
    /// Its screen.
    pub screen: Option<Screen>,
    /// How far it got.
    pub standing: Standing,
    /// What was decided of it, in words.
    pub words: Vec<String>,
    /// The race that it took part in, the latest.
    pub race: Option<u64>,
    /// Candidates that were proposed before it and had no verdict yet.
    pub beside: Vec<u64>,
    /// What the champion is without it, where that was measured.
    pub left_out: Option<LeftOut>,
}

/// A candidate's one measurement before any race.
#[derive(Clone, Debug, PartialEq)]
pub struct Screen {
    /// The figures, raw.
    pub figures: Measured,
    /// What the gate was told; `None` for a loss.
    pub reading: Option<Reading>,
    /// The merged gains before it: what its own log-ratio stands on, on a timing track.
    pub level: f64,
    /// The step in which its score is shown to proposers: the largest power of ten below the noise at that time.
    pub step: f64,
}

/// A race.
#[derive(Clone, Debug, PartialEq)]
pub struct Race {
    /// Its number, from 1.
    pub number: u64,
    /// When it opened: RFC 3339, UTC.
    pub at: String,
    /// What it was about.
    pub members: Vec<u64>,
    /// The error that it may spend.
    pub level: f64,
    /// Its readings with their figures.
    pub readings: Vec<(Option<Reading>, Measured)>,
    /// How it ended.
    pub end: Option<Decision>,
    /// What it brought, by fresh runs.
    pub gain: Option<Decision>,
}

/// The champion without one of its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// The champion.
    pub champion: ObjectId,
    /// Of each run, how much worse it is without, in the metric's units (log-ratio for timing); `None` where it is a loss then.
    pub differences: Vec<Option<f64>>,
}

/// Whether a change earns its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Worth {
    /// Not measured often enough to say.
    Unknown,
    /// Without it the champion cannot be measured at all.
    Vital,
    /// Without it the champion is worse, by so much.
    Needed(Interval),
    /// Without it the champion is better.
    Harmful(Interval),
    /// Nothing that the runs show.
    Idle(Interval),
}

impl LeftOut {
    /// By the median of the differences, with an interval of 95% that assumes nothing about their distribution.
    #[must_use]
    pub fn worth(&self) -> Worth {
        let known: Option<Vec<f64>> = self.differences.iter().copied().collect();
        let Some(known) = known else {
            return Worth::Vital;
        };
        match Samples::new(known).and_then(|samples| samples.median_interval(0.95)) {
            Err(_) => Worth::Unknown,
            Ok(interval) if interval.low > 0.0 => Worth::Needed(interval),
            Ok(interval) if interval.high < 0.0 => Worth::Harmful(interval),
            Ok(interval) => Worth::Idle(interval),
        }
    }
}
