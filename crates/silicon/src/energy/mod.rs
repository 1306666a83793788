//! Energy used, from whatever counter or power sensor this machine lets us read.
//!
//! 1. [`Sources::open`] looks for them: the processor's counters (Linux powercap, "RAPL"), counters and power sensors of drivers (hwmon),
//!    a discharging battery, and NVIDIA's GPUs. What exists but cannot be read is kept with its reason and a remedy.
//! 2. [`Sources::read`] takes all of them at one moment; [`Sources::between`] turns two readings into joules for each [`Scope`]. A
//!    counter's difference is exact, one wrap corrected. A power sensor's energy is the mean of both readings times the time between
//!    them, so that it needs a reading every second or so; [`Tally`] adds such intervals up.
//! 3. [`Idle`] is what the same scopes take while nothing runs, so that a report can state energy with and without it.
//! 4. Scopes may contain each other: a battery feeds the package too. [`totals`] never adds such a pair.
//!
//! Counters move in steps: RAPL's every millisecond, an H200's every 0.1 s, so that 4 ms of it once showed 8 J. Measure for seconds.
//! A package at 500 W wraps after about 9 minutes at the usual range, and two wraps look like one: read at least every few minutes.

mod battery;
mod hwmon;
mod idle;
mod powercap;
mod totals;

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Fact;
use crate::nvidia::Gpus;
use crate::probe::{cpuid, files::Files};
pub use idle::{Idle, IdlePower};
pub use totals::{Sum, Totals, totals};

/// Something cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("energy is unavailable: {reason}; {remedy}")]
pub struct Unavailable {
    /// Why.
    pub reason: String,
    /// What the user can do.
    pub remedy: String,
}

/// A source that exists, or should, and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// What it would cover.
    pub scope: String,
    /// Why not, and what to do.
    pub why: Unavailable,
}

/// What a source covers, as far as others may contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covers {
    /// A processor's package: cores, caches, its own graphics. Not the memory modules.
    Package,
    /// Memory modules.
    Dram,
    /// A graphics card, with its memory.
    Gpu,
    /// The whole machine.
    System,
    /// A rail or a device whose place among the others is not known.
    Device,
}

/// How joules come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The difference of an energy counter.
    Counter,
    /// Power sensed at the ends of an interval, its mean times the time: what happens between is not seen.
    IntegratedPower,
}

/// What a source covers and how it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Its name, for example `package-0` or `amdgpu PPT (hwmon2)`; no two sources of a machine share one.
    pub name: String,
    /// What it covers.
    pub covers: Covers,
    /// How it counts.
    pub how: How,
}

/// Everything that can be read, fixed when it was opened.
#[derive(Clone, Debug)]
pub struct Sources {
    files: Files,
    gpus: Option<Gpus>,
    sources: Vec<Source>,
    unreadable: Vec<Unreadable>,
}

#[derive(Clone, Debug)]
struct Source {
    scope: Scope,
    instrument: Instrument,
}

/// Where a value is read.
#[derive(Clone, Debug)]
enum Instrument {
    /// A file of microjoules, and where it starts over, if that is stated.
    Microjoules { path: String, range_uj: Option<u64> },
    /// A file of microwatts.
    Microwatts { path: String },
    /// A folder of a battery.
    Battery { folder: String },
    /// Millijoules of a GPU, by its index.
    GpuEnergy { index: u32 },
    /// Milliwatts of a GPU, by its index.
    GpuPower { index: u32 },
}

/// What an instrument shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Microjoules(u64),
    Watts(f64),
}

/// All sources at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    at: Instant,
    values: Vec<Result<Value, String>>,
}

/// Energy of one scope over a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// What it covers.
    pub scope: Scope,
    /// Time between the readings.
    pub elapsed_s: f64,
    /// Joules, or why they are not known for this time.
    pub energy_j: Fact<f64>,
}

impl Used {
    /// Mean power over the time.
    #[must_use]
    pub fn power_w(&self) -> Option<f64> {
        let power = self.energy_j.value()? / self.elapsed_s;
        power.is_finite().then_some(power)
    }
}

impl Sources {
    /// Finds the sources of this machine.
    #[must_use]
    pub fn open() -> Self {
        let (gpus, refused) = match Gpus::open() {
            Ok(gpus) => (gpus, None),
            Err(why) => (None, Some(why)),
        };
        let mut sources = Self::find(Path::new("/"), gpus, cpuid::hypervisor().as_deref());
        sources.unreadable.extend(refused.map(|why| Unreadable {
            scope: "NVIDIA GPUs".to_owned(),
            why,
        }));
        sources
    }

    /// Finds the sources of the machine whose files lie under `root`; GPUs that need a library are not among them.
    #[must_use]
    pub fn open_under(root: &Path) -> Self {
        Self::find(root, None, None)
    }

    fn find(root: &Path, gpus: Option<Gpus>, hypervisor: Option<&str>) -> Self {
        let files = Files::under(root);
        let mut found = Found::default();
        powercap::find(&files, hypervisor, &mut found);
        hwmon::find(&files, &mut found);
        battery::find(&files, &mut found);
        if let Some(gpus) = &gpus {
            gpus.find(&mut found);
        }
        Self {
            files,
            gpus,
            sources: found.sources,
            unreadable: found.unreadable,
        }
    }

    /// What can be read.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.sources.iter().map(|source| &source.scope)
    }

    /// What cannot, each with its reason and a remedy. The processor's counters are always either here or among the scopes.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Whether nothing can be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Reads every source.
    #[must_use]
    pub fn read(&self) -> Reading {
        let at = Instant::now();
        let values = self.sources.iter().map(|source| self.value(source));
        Reading {
            at,
            values: values.collect(),
        }
    }

    fn value(&self, source: &Source) -> Result<Value, String> {
        let gpus = || self.gpus.as_ref().ok_or("the GPUs are gone");
        match &source.instrument {
            Instrument::Microjoules { path, .. } => self.files.number(path).map(Value::Microjoules),
            Instrument::Microwatts { path } => microwatts(&self.files, path).map(Value::Watts),
            Instrument::Battery { folder } => {
                battery::power_w(&self.files, folder).map(Value::Watts)
            }
            Instrument::GpuEnergy { index } => gpus()?
                .energy_mj(*index)
                .map(|mj| Value::Microjoules(mj.saturating_mul(1000))),
            Instrument::GpuPower { index } => gpus()?.power_w(*index).map(Value::Watts),
        }
    }

    /// Energy of every scope between two readings of these sources.
    #[must_use]
    pub fn between(&self, earlier: &Reading, later: &Reading) -> Vec<Used> {
        let elapsed_s = later.at.saturating_duration_since(earlier.at).as_secs_f64();
        let values = earlier.values.iter().zip(&later.values);
        self.sources
            .iter()
            .zip(values)
            .map(|(source, (before, after))| Used {
                scope: source.scope.clone(),
                elapsed_s,
                energy_j: energy(source, before, after, elapsed_s),
            })
            .collect()
    }
}

/// Joules from the two ends of an interval.
fn energy(
    source: &Source,
    before: &Result<Value, String>,
    after: &Result<Value, String>,
    elapsed_s: f64,
) -> Fact<f64> {
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (*before, *after),
        (Err(reason), _) | (_, Err(reason)) => return Fact::unknown(reason.clone()),
    };
    match (before, after) {
        (Value::Watts(before), Value::Watts(after)) => Fact::known(
            (before + after) / 2.0 * elapsed_s,
            "mean power of both readings, times the time between them",
        ),
        (Value::Microjoules(before), Value::Microjoules(after)) => {
            let range_uj = match source.instrument {
                Instrument::Microjoules { range_uj, .. } => range_uj,
                _ => None,
            };
            match difference(before, after, range_uj) {
                Some(uj) => Fact::known(uj as f64 / 1e6, "difference of an energy counter"),
                None => Fact::unknown(format!(
                    "{} went back from {before} to {after} uJ, which no wrap explains: read again",
                    source.scope.name
                )),
            }
        }
        _ => Fact::unknown("readings of different sources"),
    }
}

/// What a counter has counted, one wrap corrected.
fn difference(before: u64, after: u64, range: Option<u64>) -> Option<u64> {
    match after.checked_sub(before) {
        Some(plain) => Some(plain),
        None => range?.checked_sub(before)?.checked_add(after),
    }
}

/// Watts in a file of microwatts. The kernel's number is an integer; no machine of ours takes a megawatt.
fn microwatts(files: &Files, path: &str) -> Result<f64, String> {
    const MOST_UW: u64 = 1_000_000_000_000;
    match files.number::<u64>(path)? {
        uw if uw <= MOST_UW => Ok(uw as f64 / 1e6),
        uw => Err(format!("{path}: expected microwatts, got {uw}")),
    }
}

/// What the searches have found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    sources: Vec<Source>,
    unreadable: Vec<Unreadable>,
}

impl Found {
    fn source(&mut self, name: String, covers: Covers, instrument: Instrument) {
        let how = match instrument {
            Instrument::Microjoules { .. } | Instrument::GpuEnergy { .. } => How::Counter,
            Instrument::Microwatts { .. }
            | Instrument::Battery { .. }
            | Instrument::GpuPower { .. } => How::IntegratedPower,
        };
        self.sources.push(Source {
            scope: Scope { name, covers, how },
            instrument,
        });
    }

    pub(crate) fn gpu_counter(&mut self, name: String, index: u32) {
        self.source(name, Covers::Gpu, Instrument::GpuEnergy { index });
    }

    pub(crate) fn gpu_power(&mut self, name: String, index: u32) {
        self.source(name, Covers::Gpu, Instrument::GpuPower { index });
    }

    pub(crate) fn unreadable(
        &mut self,
        scope: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.unreadable.push(Unreadable {
            scope: scope.into(),
            why: Unavailable {
                reason: reason.into(),
                remedy: remedy.into(),
            },
        });
    }
}

/// Energy added up over many readings, so that power sensors are integrated and counters may wrap more than once in all.
#[derive(Clone, Debug)]
pub struct Tally {
    last: Reading,
    used: Vec<Used>,
}

impl Tally {
    /// Starts now.
    #[must_use]
    pub fn start(sources: &Sources) -> Self {
        let last = sources.read();
        let used = sources.between(&last, &last);
        Self { last, used }
    }

    /// Reads again, adds what was used since the last time, and gives it. A scope that fails once stays unknown: its sum would be short.
    pub fn tick(&mut self, sources: &Sources) -> Vec<Used> {
        let now = sources.read();
        let since = sources.between(&self.last, &now);
        for (sum, more) in self.used.iter_mut().zip(&since) {
            sum.elapsed_s += more.elapsed_s;
            match (&mut sum.energy_j, more.energy_j.clone()) {
                (Fact::Known { value, .. }, Fact::Known { value: more, .. }) => *value += more,
                (known, unknown @ Fact::Unknown { .. }) => *known = unknown,
                (Fact::Unknown { .. }, _) => {}
            }
        }
        self.last = now;
        since
    }

    /// What was used between the start and the last tick.
    #[must_use]
    pub fn used(&self) -> &[Used] {
        &self.used
    }
}

#[cfg(test)]
mod tests;
