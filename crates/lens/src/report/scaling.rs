//! Steps at other depths and of several sequences, as data.

use serde::{Deserialize, Serialize};

use super::{Bound, Figure, Layer, Waterfall, Work};

/// One step at a depth, of one or several sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Tokens that each sequence has in its context.
    pub depth: usize,
    /// Sequences.
    pub sequences: usize,
    /// Tokens of each sequence in the step: 1 when decoding, else a chunk of a prompt.
    pub tokens: usize,
    /// The whole step.
    pub step_ms: Figure,
    /// Of all sequences together, of the typical step.
    pub tokens_per_s: f64,
    /// Weights, caches and state of the step.
    pub streamed_bytes: f64,
    /// Operations of the step.
    #[serde(flatten)]
    pub work: Work,
    /// Reading about as many bytes (at most 256 MiB or 4 times our part of the last cache): the 90th percentile of the readings.
    pub stream_gb_s: f64,
    /// What the measured silicon needs for the step.
    pub ceiling_ms: f64,
    /// Which of the silicon's limits that is.
    pub bound: Bound,
    /// Ceiling over the typical step.
    pub share: f64,
    /// From the silicon to the whole step, per token; reports of an earlier version have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fall: Option<Waterfall>,
}

/// Steps at several depths and with several sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// By depth; for each the sequences of decode, then a chunk of a prompt.
    pub points: Vec<Point>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// What a step consists of, as shares of it that add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// What the measured silicon needs.
    pub silicon: f64,
    /// Kernels beyond that, each part alone.
    pub kernels: f64,
    /// Threads that are done while another still computes.
    pub uneven: f64,
    /// Barriers, and the step's fork-join.
    pub barriers: f64,
    /// Kernels in the step against alone (what the caches no longer hold), and interruptions that only whole steps meet.
    pub in_step: f64,
    /// What is left over.
    pub unexplained: f64,
}

impl Point {
    /// Its step, taken apart; `None` in reports of an earlier version.
    #[must_use]
    pub fn split(&self) -> Option<Split> {
        let fall = self.fall.as_ref()?;
        let at = |layer| {
            let level = fall.levels.iter().find(|l| l.layer == layer)?;
            level.ms_per_token.value()
        };
        let (silicon, step) = (at(Layer::Silicon)?, at(Layer::Step)?);
        let alone: f64 = fall.parts.iter().map(|p| p.alone.busy_ms).sum();
        let activity = &fall.step;
        let barriers = activity.nodes.barrier_ms + activity.fork_join_ms;
        let told = activity.nodes.busy_ms
            + activity.nodes.uneven_ms
            + barriers
            + activity.interruptions_ms;
        Some(Split {
            silicon: silicon / step,
            kernels: (alone - silicon) / step,
            uneven: activity.nodes.uneven_ms / step,
            barriers: barriers / step,
            in_step: (activity.nodes.busy_ms - alone + activity.interruptions_ms) / step,
            unexplained: 1.0 - told / step,
        })
    }
}
