//! The report as data: schema `sprag.lens/1`.
//!
//! Every time is in milliseconds per token unless its name says otherwise; every figure keeps its raw samples. What is not known is
//! [`Reading::Unknown`] with the reason and what to do about it, never 0.

mod anatomy;
mod application;
mod demand;
mod drift;
mod history;
mod identity;
mod scaling;
mod sustained;

use std::borrow::Cow;

use measure::{Interval, SampleError, Samples, TimerCost};
use serde::{Deserialize, Serialize};
use silicon::{probe::Machine, roofline::Roofline, spec::Spec};

pub use anatomy::{Anatomy, FormatCost, OtherFormat, Traffic, Twin};
pub use application::{Application, Turn};
pub use demand::{Demand, Work};
pub use drift::Drift;
pub use history::{Earlier, LevelTime};
pub use identity::{Format, ModelIdentity, Profile, RoleProducts};
pub use scaling::{Point, Scaling, Split};
pub use sustained::{Energy, EnergyUse, Second, Sustained};

/// The schema's name and version.
pub const SCHEMA: &str = "sprag.lens/1";

/// A time or a rate with the samples behind it, in the unit of the field that holds it.
///
/// Load from elsewhere only ever adds to a time, and on a shared machine often: so what stands for a series of times is `typical`, taken
/// alike on every level. On a quiet machine it is hardly below the median.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean of the samples between the first and the third eighth, about the lower quartile.
    pub typical: f64,
    /// Median of the samples.
    pub median: f64,
    /// 95% interval of the median by the sign test; `None` below 6 samples.
    pub interval: Option<Interval>,
    /// Where 19 in 20 readings lie; on a level of which drift is known ([`Report::know_drift`]) wide enough for another run's figure. `None`
    /// for a figure that was computed, and in reports of an earlier version.
    #[serde(default)]
    pub range: Option<Range>,
    /// Every reading, in order.
    pub samples: Vec<f64>,
}

/// From the fastest reading, since load only ever adds to a time, to the 95th percentile; wider where drift is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Range {
    fn of(samples: &Samples) -> Option<Self> {
        if samples.raw().len() < 2 {
            return None;
        }
        Some(Self {
            low: samples.quantile(0.0).ok()?,
            high: samples.quantile(0.95).ok()?,
        })
    }
}

impl Figure {
    /// Of readings in the order in which they were taken.
    ///
    /// # Errors
    /// No readings, or one that is not finite.
    pub fn new(samples: Vec<f64>) -> Result<Self, SampleError> {
        let samples = Samples::new(samples)?;
        let typical = typical(&mut samples.raw().to_vec());
        let (median, interval) = (samples.median(), samples.median_interval(0.95).ok());
        Ok(Self {
            typical,
            median,
            interval,
            range: Range::of(&samples),
            samples: samples.into(),
        })
    }

    /// Median absolute deviation as a share of the median; 0 for a median of 0.
    #[must_use]
    pub fn spread(&self) -> f64 {
        let mad = Samples::new(self.samples.clone()).map_or(0.0, |s| s.mad());
        if self.median > 0.0 {
            mad / self.median
        } else {
            0.0
        }
    }
}

/// What stands for some times; sorts them.
pub(crate) fn typical(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let middle = &times[quiet(times.len())];
    middle.iter().sum::<f64>() / middle.len().max(1) as f64
}

/// Ranks, among `n` sorted samples, of those that count as typical: from the first to the third eighth, at least one.
pub(crate) fn quiet(n: usize) -> std::ops::Range<usize> {
    n / 8..(3 * n / 8 + 1).min(n.max(1))
}

/// A figure, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Reading {
    /// It is known.
    Known {
        /// The figure.
        #[serde(flatten)]
        figure: Figure,
    },
    /// It is not.
    Unknown {
        /// Why.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
}

impl Reading {
    /// What stands for it, where known.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Known { figure } => Some(figure.typical),
            Self::Unknown { .. } => None,
        }
    }
}

/// The two regimes, which are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regime {
    /// A prompt in chunks of many tokens.
    Prefill,
    /// One token at a time.
    Decode,
}

impl Regime {
    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }
}

/// Where in the stack a time was taken, from the transistor upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What the spec sheet allows.
    Presented,
    /// What the silicon allows as measured.
    Silicon,
    /// The kernels one part at a time.
    Kernels,
    /// The whole step.
    Step,
    /// What the user waits for.
    User,
}

impl Layer {
    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Presented => "presented",
            Self::Silicon => "measured silicon",
            Self::Kernels => "kernels alone",
            Self::Step => "whole step",
            Self::User => "user",
        }
    }
}

/// What holds a time down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Reading bytes.
    Bandwidth,
    /// Arithmetic.
    Compute,
    /// Fork-joins and barriers.
    Overhead,
}

impl Bound {
    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Compute => "compute",
            Self::Overhead => "overhead",
        }
    }
}

/// One reason why a level is slower than the one before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// In a few words.
    pub name: String,
    /// What it costs; below zero where it is a gain.
    pub ms: f64,
    /// (the level before + `ms`) / the level before.
    pub factor: f64,
    /// What it was read from.
    pub instrument: Cow<'static, str>,
}

/// The fall from the level before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// The nearest known level above.
    pub from: Layer,
    /// This level less that one; below zero where it is a gain.
    pub ms: f64,
    /// This level over that one.
    pub factor: f64,
    /// What it is made of, largest first.
    pub causes: Vec<Cause>,
    /// What the causes leave over, with its sign.
    pub unexplained_ms: f64,
}

/// One level of the waterfall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Which.
    pub layer: Layer,
    /// Time per token.
    pub ms_per_token: Reading,
    /// Its inverse.
    pub tokens_per_s: Option<f64>,
    /// What holds it down, where that is a ceiling.
    pub bound: Option<Bound>,
    /// How it was found, with its factors.
    pub how: String,
    /// The fall from the level before; `None` for the first known one.
    pub loss: Option<Loss>,
}

/// What a traced part's threads did, mean over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// In the kernel.
    pub busy_ms: f64,
    /// Done, while another thread was still in the kernel.
    pub uneven_ms: f64,
    /// From the last thread's end to the own next start: the barrier.
    pub barrier_ms: f64,
}

impl Activity {
    /// All of it: the wall time.
    #[must_use]
    pub fn wall_ms(&self) -> f64 {
        self.busy_ms + self.uneven_ms + self.barrier_ms
    }

    /// A share of it.
    #[must_use]
    pub fn times(self, share: f64) -> Self {
        Self {
            busy_ms: self.busy_ms * share,
            uneven_ms: self.uneven_ms * share,
            barrier_ms: self.barrier_ms * share,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            busy_ms: self.busy_ms + other.busy_ms,
            uneven_ms: self.uneven_ms + other.uneven_ms,
            barrier_ms: self.barrier_ms + other.barrier_ms,
        }
    }
}

/// One part of the model, over all layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its label in the program.
    pub name: Cow<'static, str>,
    /// Nodes that it has.
    pub nodes: usize,
    /// Bytes of weights, caches and state that it streams per token.
    pub streamed_bytes: f64,
    /// Bytes of activations that it reads and writes per token.
    pub activation_bytes: f64,
    /// Operations per token.
    #[serde(flatten)]
    pub work: Work,
    /// Its own ceiling on the measured silicon.
    pub ceiling_ms: f64,
    /// What is nearest to holding it down.
    pub bound: Bound,
    /// Alone, over all layers in turn; wall time.
    pub alone_ms: Figure,
    /// Its first node, as often as it has nodes: with its weights in the caches, if they fit. Reports of an earlier version have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_ms: Option<Figure>,
    /// What its threads did alone.
    pub alone: Activity,
    /// In the whole step; wall time.
    pub in_step_ms: Figure,
    /// What its threads did in the step.
    pub in_step: Activity,
    /// Share of all parts' time in the step.
    pub share: f64,
    /// Achieved alone: streamed and activation bytes over time.
    pub gb_s: f64,
    /// Achieved alone: operations of all kinds over time.
    pub gop_s: f64,
    /// Ceiling over time alone.
    pub roofline_share: f64,
}

/// One regime from the transistor to the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waterfall {
    /// Which.
    pub regime: Regime,
    /// Tokens of the prompt, or of all sequences that share the step.
    pub tokens: usize,
    /// Tokens of a step.
    pub chunk: usize,
    /// Steps.
    pub chunks: usize,
    /// Tokens already in the caches.
    pub depth: usize,
    /// Per token.
    pub demand: Demand,
    /// The ceilings that it is held against.
    pub ceilings: Ceilings,
    /// From presented to user.
    pub levels: Vec<Level>,
    /// In the program's order.
    pub parts: Vec<Part>,
    /// What the threads did in the whole step.
    pub step: StepActivity,
    /// The result in a sentence.
    pub verdict: String,
}

impl Waterfall {
    /// Whether what a fall's causes leave over is small: at most [`MOST_UNEXPLAINED`] of the whole step.
    #[must_use]
    pub fn is_explained(&self, loss: &Loss) -> bool {
        let step = self.levels.iter().find(|l| l.layer == Layer::Step);
        let step_ms = step.and_then(|l| l.ms_per_token.value());
        step_ms.is_none_or(|ms| loss.unexplained_ms.abs() <= MOST_UNEXPLAINED * ms)
    }
}

/// Share of a step that may stay without a cause.
pub const MOST_UNEXPLAINED: f64 = 0.05;

/// What the threads did in the whole step, mean over threads, and what the tracer cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepActivity {
    /// Inside nodes.
    pub nodes: Activity,
    /// Before the first node and after the last: the fork-join, and the step's checks.
    pub fork_join_ms: f64,
    /// Typical whole step under the tracer less the typical times of its parts and its fork-join: what a whole step meets and a
    /// part, being short, mostly escapes. Near 0 on a quiet machine.
    pub interruptions_ms: f64,
    /// Traced step over untraced step.
    pub tracer_factor: f64,
}

/// Measured ceilings of a regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Reading as many bytes as the step streams: the 90th percentile of the readings. A ceiling is what the machine gives when it is
    /// left alone; the best tenth is left out, which may be luck.
    pub stream_gb_s: f64,
    /// Bytes read for it.
    pub stream_bytes: u64,
    /// All readings.
    pub stream_readings_gb_s: Figure,
    /// Reading as many bytes as one node's activations at most, likewise.
    pub cache_gb_s: f64,
    /// Bytes read for it.
    pub cache_bytes: u64,
    /// All readings.
    pub cache_readings_gb_s: Figure,
    /// Best reading of the fastest 8-bit instruction that there is, all threads.
    pub int8_gop_s: f64,
    /// The instruction.
    pub int8_instruction: String,
    /// Best reading of the fastest 16-bit instruction that there is, all threads.
    #[serde(default)]
    pub int16_gop_s: Option<f64>,
    /// Best reading of the fastest bfloat16 instruction, all threads; where there is none BF16 weights are multiplied in f32.
    #[serde(default)]
    pub bf16_gflop_s: Option<f64>,
    /// Best reading of f32 multiply-adds, all threads.
    pub f32_gflop_s: f64,
    /// One barrier of the pool among all threads, best reading, in nanoseconds.
    pub barrier_ns: f64,
    /// One empty fork-join of the pool, best reading, in nanoseconds.
    pub fork_join_ns: f64,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: Cow<'static, str>,
    /// Version of Sprag.
    pub sprag: Cow<'static, str>,
    /// Which build of it, in whatever tells builds apart; `None` where nobody asked, and in reports of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// When it was finished, RFC 3339 in UTC.
    pub date: String,
    /// Seconds that it took.
    pub elapsed_s: f64,
    /// Rounds over all levels.
    pub rounds: usize,
    /// The model.
    pub model: ModelIdentity,
    /// How it ran.
    pub profile: Profile,
    /// The prompt's regime.
    pub prefill: Waterfall,
    /// The answer's regime.
    pub decode: Waterfall,
    /// What a token moves; reports of an earlier version have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anatomy: Option<Anatomy>,
    /// A conversation; `None` where the warnings say why, and in reports of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
    /// Other depths and several sequences, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// What decoding takes from the socket; `None` in quick runs and in reports of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// Decoding for minutes, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sustained: Option<Sustained>,
    /// Earlier runs of the same work on this machine, the oldest first; not in the files that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Earlier>,
    /// How runs of this work differ on this machine; empty as long as there are too few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// What limits the trust in the figures.
    pub warnings: Vec<String>,
    /// Cost of reading the clock.
    pub timer: TimerCost,
    /// What is presented.
    pub spec: Spec,
    /// What was measured of the silicon.
    pub roofline: Roofline,
    /// What the machine says that it is.
    pub machine: Machine,
}

impl Report {
    /// One of its two waterfalls.
    #[must_use]
    pub fn regime(&self, regime: Regime) -> &Waterfall {
        match regime {
            Regime::Prefill => &self.prefill,
            Regime::Decode => &self.decode,
        }
    }
}
