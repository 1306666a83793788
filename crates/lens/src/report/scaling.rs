//! Steps at other depths and of several sequences, as data.

use serde::{Deserialize, Serialize};

use super::{Bound, Figure, Work};

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
    /// Reading about as many bytes (to the next power of two, at most 256 MiB): the 90th percentile of the readings.
    pub stream_gb_s: f64,
    /// What the measured silicon needs for the step.
    pub ceiling_ms: f64,
    /// Which of the silicon's limits that is.
    pub bound: Bound,
    /// Ceiling over the typical step.
    pub share: f64,
}

/// Steps at several depths and with several sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// By depth; for each the sequences of decode, then a chunk of a prompt.
    pub points: Vec<Point>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}
