//! What the machine really does: the ceilings that every kernel and every step is held against.
//!
//! 1. **Arithmetic** ([`compute`]): multiply-adds on registers only, enough independent chains to fill the pipes.
//! 2. **Bandwidth** ([`bandwidth`]): reading a working set far beyond the last cache, and STREAM's triad there; in a full run, every
//!    size from L1 upwards too, and the cliffs between them in the curve of reading ([`cliff`]).
//! 3. **Latency** ([`latency`]): dependent loads at addresses that no prefetcher guesses.
//! 4. **Fork-join** ([`fork_join`]): what it costs to hand work to threads and wait.
//! 5. **Form** ([`formulation`]): what the layout of one and the same product changes; in a full run only.
//!
//! Threads are started once per measurement and released together by a barrier; a round's time runs from the first thread's start to
//! the last one's end (`team`). Every figure is the median of short repetitions, whose samples are kept. Threads are not pinned:
//! nor are those of an ordinary program.
//!
//! The machine is rarely alone: on a shared host the figures are what was left for us, and vary from run to run.

pub mod bandwidth;
pub mod cliff;
pub mod compute;
pub mod fork_join;
pub mod formulation;
pub mod latency;
mod team;
mod working_set;

use measure::{Interval, SampleError, Samples, Stopwatch};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Fact;
use crate::probe::Machine;
pub use bandwidth::{Bandwidth, BandwidthPoint, ByThreads, Dram, Pattern, Stores, Stream};
pub use cliff::Cliff;
pub use compute::{ComputePeak, Precision, clock_now_ghz};
pub use fork_join::ForkJoin;
pub use formulation::{Form, Formulation};
pub use latency::LatencyPoint;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Memory and arithmetic only; about 3 seconds.
    Quick,
    /// Every cache level too; about 20 seconds.
    Full,
}

/// A step of the measurement, reported before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is measured now.
    pub step: String,
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub of: usize,
}

/// The measurement cannot be made.
#[derive(Debug, Error)]
pub enum RooflineError {
    /// No thread to measure with.
    #[error("expected from 1 to {max} threads, got {threads}")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// The most that is accepted.
        max: usize,
    },
    /// A size that the working set does not hold.
    #[error(
        "expected from {min} to {max} bytes for each thread, got {bytes}: choose another size, or fewer threads"
    )]
    Size {
        /// What was asked for.
        bytes: usize,
        /// The least.
        min: usize,
        /// What the working set holds for each thread.
        max: usize,
    },
    /// Too little memory for a working set beyond the caches.
    #[error(
        "expected at least {need_bytes} bytes of available memory for the working set, got {available_bytes}: close other programs"
    )]
    Memory {
        /// Needed.
        need_bytes: u64,
        /// Available.
        available_bytes: u64,
    },
    /// The system refuses the memory.
    #[error(
        "the system refuses a working set of {bytes} bytes: close other programs, or raise the memory limit"
    )]
    Map {
        /// Asked for.
        bytes: usize,
        /// The system's own words.
        #[source]
        source: std::io::Error,
    },
    /// The clock gave samples that cannot be true.
    #[error(
        "the measurements make no sense; the clock may have been set or the machine suspended: run again"
    )]
    Samples(#[from] SampleError),
}

/// A median with the samples behind it, in the unit of the field that holds it.
///
/// On a quiet machine the samples agree. On a busy one the median is what was left for us, and the extreme sample of a figure of
/// arithmetic is the better ceiling; of a figure of memory it is not, since a lucky round may have read from a cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Median of the samples.
    pub median: f64,
    /// 95% interval of the median; `None` below 6 samples.
    pub interval: Option<Interval>,
    /// Every repetition, in order.
    pub samples: Samples,
}

impl Rate {
    fn new(samples: Vec<f64>) -> Result<Self, SampleError> {
        let samples = Samples::new(samples)?;
        Ok(Self {
            median: samples.median(),
            interval: samples.median_interval(0.95).ok(),
            samples,
        })
    }

    /// From wall times and the amount of work in each: amount / ns, that is 10^9 per second.
    fn giga_per_s(amount: f64, wall_ns: &[f64]) -> Result<Self, SampleError> {
        Self::new(wall_ns.iter().map(|ns| amount / ns).collect())
    }
}

/// The measured ceilings of this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// Version of this structure's serialised form.
    pub schema: u32,
    /// How much was measured.
    pub depth: Depth,
    /// Threads of every all-threads figure.
    pub threads: usize,
    /// Clock that one busy core ran at.
    pub core_clock_ghz: Fact<Rate>,
    /// Peaks of arithmetic, the vector units before the matrix units.
    pub compute: Vec<ComputePeak>,
    /// Reading from memory.
    pub dram: Dram,
    /// Reading working sets of rising size; empty in a quick run.
    pub by_size: Vec<BandwidthPoint>,
    /// Steep falls of one thread's bandwidth along `by_size`.
    pub cliffs: Vec<Cliff>,
    /// Load latency; only the memory's in a quick run.
    pub latency: Vec<LatencyPoint>,
    /// Fork-join of the standard library's threads.
    pub fork_join: ForkJoin,
    /// One product expressed in two ways; empty in a quick run, and in reports of earlier versions.
    #[serde(default)]
    pub formulations: Vec<Formulation>,
    /// Time that the whole measurement took.
    pub elapsed_ms: f64,
    /// What limits the trust in the figures.
    pub warnings: Vec<String>,
}

/// Beyond this many threads the barrier itself would be what is measured.
const MAX_THREADS: usize = 1024;

/// Measures the machine with `threads` threads; `progress` hears of each step before it starts.
///
/// # Errors
/// [`RooflineError`] when the working set cannot be had or the clock misbehaves.
pub fn measure(
    machine: &Machine,
    threads: usize,
    depth: Depth,
    mut progress: impl FnMut(Progress),
) -> Result<Roofline, RooflineError> {
    check_threads(threads)?;
    let clock = Stopwatch::start();
    let kernels = compute::kernels();
    let of = kernels.len() + if depth == Depth::Full { 10 } else { 5 };
    let mut done = 0;
    let mut step = |name: &str| {
        progress(Progress {
            step: name.to_owned(),
            done,
            of,
        });
        done += 1;
    };

    step("core clock");
    let core_clock_ghz = compute::core_clock_ghz()?;
    let mut compute = Vec::with_capacity(kernels.len());
    for kernel in &kernels {
        step(kernel.instruction);
        compute.push(kernel.measure(threads, depth)?);
    }
    step("fork-join");
    let fork_join = fork_join::of_std_threads(threads)?;
    let mut formulations = Vec::new();
    if depth == Depth::Full {
        step("one product in two forms");
        formulations = formulation::measure()?;
    }

    step("touching the working set");
    let mut bandwidth = Bandwidth::prepare(machine, threads, depth)?;
    step("memory bandwidth");
    let mut dram = bandwidth.dram(threads, depth)?;
    let (mut by_size, mut latency) = (Vec::new(), Vec::new());
    if depth == Depth::Full {
        step("bandwidth by working set");
        by_size = bandwidth.by_size(threads)?;
        step("cache latency");
        latency = latency::of_caches(machine)?;
    }
    step("memory latency");
    latency.push(latency::of(bandwidth.bytes(), depth)?);
    // Only now, since the walk of the latency wants zeros and the triad writes.
    if depth == Depth::Full {
        step("triad in memory");
        bandwidth.add_dram_triad(&mut dram, threads)?;
        step("triad by working set");
        bandwidth.add_triad(&mut by_size, threads)?;
    }

    let warnings = warnings(machine, threads, &dram, &compute);
    let cliffs = cliff::find(&by_size, machine);
    let elapsed_ms = clock.elapsed_ms();
    Ok(Roofline {
        schema: 1,
        depth,
        threads,
        core_clock_ghz,
        compute,
        dram,
        by_size,
        cliffs,
        latency,
        fork_join,
        formulations,
        elapsed_ms,
        warnings,
    })
}

fn check_threads(threads: usize) -> Result<(), RooflineError> {
    if (1..=MAX_THREADS).contains(&threads) {
        Ok(())
    } else {
        Err(RooflineError::Threads {
            threads,
            max: MAX_THREADS,
        })
    }
}

fn warnings(
    machine: &Machine,
    threads: usize,
    dram: &Dram,
    compute: &[ComputePeak],
) -> Vec<String> {
    let mut warnings = Vec::new();
    let usable = machine.cores.usable;
    if threads > usable {
        warnings.push(format!("{threads} threads share {usable} usable processors: the all-threads figures are too low"));
    }
    if threads < usable {
        warnings.push(format!(
            "only {threads} of {usable} usable processors were measured"
        ));
    }
    if machine.is_virtual() == Some(true) {
        warnings.push(
            "this is a virtual machine: other guests share the memory and the last cache".into(),
        );
    }
    if dram.working_set_bytes < dram.wanted_bytes {
        warnings.push(format!(
            "the working set is {} MiB instead of {} MiB ({}): part of it may have been read from the last cache",
            dram.working_set_bytes >> 20,
            dram.wanted_bytes >> 20,
            dram.why
        ));
    }
    let spread = |rate: &Rate| rate.samples.mad() / rate.median;
    if spread(&dram.all_threads_gb_s) > 0.1 {
        warnings.push("the memory bandwidth varied by more than 10% between repetitions: the machine was busy".into());
    }
    let peaks = compute
        .iter()
        .flat_map(|peak| [&peak.one_thread_gop_s, &peak.all_threads_gop_s]);
    if peaks
        .into_iter()
        .any(|rate| rate.samples.max() > 1.2 * rate.median)
    {
        warnings.push(
            "an arithmetic peak's best repetition is more than 20% above its median: the machine was busy, and the best is the better ceiling"
                .into(),
        );
    }
    warnings
}
