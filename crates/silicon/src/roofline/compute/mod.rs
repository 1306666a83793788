//! Peak arithmetic: multiply-adds on operands that stay in registers.
//!
//! A pipe is full when as many independent chains are in flight as its latency has cycles, times the number of pipes: 2 x 4 for FMA
//! on current cores, so 16 accumulators have room to spare. Operands are hidden from the compiler, so that it can neither fold the
//! chains nor merge equal ones. A multiply-add counts as two operations.
//!
//! The list of kernels is fixed by detection; each function behind it may only run where its features were detected.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::hint::black_box;
use std::time::Duration;

use measure::Stopwatch;
use serde::{Deserialize, Serialize};

use super::{Depth, Rate, RooflineError, team};
use crate::Fact;

/// Number types of a peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// f32 times f32 into f32.
    F32,
    /// bf16 times bf16 into f32.
    Bf16,
    /// int8 times int8 into int32.
    Int8,
    /// int16 times int16 into int32.
    Int16,
}

/// Which part of the core does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Vector pipes.
    Vector,
    /// Matrix tiles.
    Matrix,
}

/// Peak of one kind of arithmetic, in 10^9 operations per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputePeak {
    /// Number types.
    pub precision: Precision,
    /// Part of the core.
    pub unit: Unit,
    /// Instruction that was run.
    pub instruction: String,
    /// One thread.
    pub one_thread_gop_s: Rate,
    /// All threads together.
    pub all_threads_gop_s: Rate,
}

/// A loop of multiply-adds.
pub(super) struct Kernel {
    precision: Precision,
    unit: Unit,
    pub(super) instruction: &'static str,
    /// Multiplications and additions of one iteration.
    ops_per_iteration: f64,
    /// Runs that many iterations. Only listed where the processor has what it needs.
    run: fn(u64),
}

/// The kernels that this processor can run: the widest vector form of each precision, then the matrix forms.
///
/// Not taken from a `Machine`, which may describe another one: whatever is listed was detected on this processor.
pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    kernels.extend(x86::kernels());
    for plain in [portable::F32, portable::INT8, portable::INT16] {
        if !kernels.iter().any(|k| k.precision == plain.precision) {
            kernels.push(plain);
        }
    }
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    kernels.extend(amx::kernels());
    kernels
}

impl Kernel {
    /// Measures one thread and all threads in rounds of a few milliseconds.
    pub(super) fn measure(
        &self,
        threads: usize,
        depth: Depth,
    ) -> Result<ComputePeak, RooflineError> {
        let (round_ns, rounds, budget_ms) = if depth == Depth::Quick {
            (3e6, 15, 120)
        } else {
            (6e6, 31, 500)
        };
        let budget = Duration::from_millis(budget_ms);
        let iterations = self.calibrate(round_ns);
        let run = |threads: usize| {
            // The first round warms up: wide units may first have to be powered, and the clock to settle.
            let walls = team::timed_rounds(vec![(); threads], rounds + 1, budget, |(), _| {
                (self.run)(iterations)
            });
            Rate::giga_per_s(
                self.ops_per_iteration * iterations as f64 * threads as f64,
                &walls[1..],
            )
        };
        Ok(ComputePeak {
            precision: self.precision,
            unit: self.unit,
            instruction: self.instruction.to_owned(),
            one_thread_gop_s: run(1)?,
            all_threads_gop_s: run(threads)?,
        })
    }

    /// Iterations that take about `round_ns`: doubled until the time is long enough to extrapolate from.
    fn calibrate(&self, round_ns: f64) -> u64 {
        let mut iterations = 1024u64;
        loop {
            let clock = Stopwatch::start();
            (self.run)(iterations);
            let elapsed_ns = clock.elapsed_ns().max(1.0);
            if elapsed_ns >= round_ns / 8.0 || iterations >= 1 << 40 {
                return ((iterations as f64 * round_ns / elapsed_ns) as u64).max(1);
            }
            iterations *= 2;
        }
    }
}

/// The clock of one busy core: a chain of rotations and exclusive-ors, each of which takes exactly one cycle on x86.
///
/// # Errors
/// [`RooflineError::Samples`] if the clock gives impossible samples.
pub(super) fn core_clock_ghz() -> Result<Fact<Rate>, RooflineError> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Fact::unknown(NO_CHAIN));
    }
    const SAMPLES: u64 = 16;
    // The first samples let the clock rise.
    let ghz: Vec<f64> = (0..SAMPLES).map(chain_ghz).skip(5).collect();
    Ok(Fact::known(
        Rate::new(ghz)?,
        "chain of rotate and exclusive-or, two cycles per step",
    ))
}

/// The clock of the calling thread's core now, in about a millisecond: the highest of a few short samples, since whatever comes between
/// can only make one longer. Call it while the cores are as busy as they are in what you watch: an idle core first has to wake up.
///
/// A virtual machine has no other way to see its clock.
#[must_use]
pub fn clock_now_ghz() -> Fact<f64> {
    if !cfg!(target_arch = "x86_64") {
        return Fact::unknown(NO_CHAIN);
    }
    const SAMPLES: u64 = 8;
    let highest = (0..SAMPLES).map(chain_ghz).fold(f64::MIN, f64::max);
    Fact::known(
        highest,
        "chain of rotate and exclusive-or, two cycles per step, the highest of 8 samples",
    )
}

const NO_CHAIN: &str = "no chain of known cycle count is implemented for this architecture";

fn chain_ghz(start: u64) -> f64 {
    const STEPS: u64 = 200_000;
    const CYCLES_PER_STEP: f64 = 2.0;
    let clock = Stopwatch::start();
    black_box(rotate_chain(black_box(start), STEPS));
    STEPS as f64 * CYCLES_PER_STEP / clock.elapsed_ns().max(1.0)
}

fn rotate_chain(mut x: u64, steps: u64) -> u64 {
    let key = black_box(0x9e37_79b9_7f4a_7c15u64);
    for _ in 0..steps / 8 {
        for _ in 0..8 {
            x = x.rotate_left(7) ^ key;
        }
    }
    x
}

#[cfg(test)]
mod tests;
