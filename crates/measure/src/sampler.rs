//! Run work until a budget is spent, and say how it was measured.
//!
//! 1. Warm up (by default 1 call and at least 2 ms): caches, page tables, branch predictors, clock frequency.
//! 2. Measure the cost of the timer itself.
//! 3. If one call is shorter than 200 timer costs, put several calls into one sample, so that the timer is at most about 0.5%
//!    of it. A sample is then the mean of a batch, and [`Series::calls_per_sample`] says so.
//! 4. Take samples until the budget is spent *and* `min_samples` were taken, or `max_samples` is reached.
//!
//! Nothing is subtracted from a sample and no sample is dropped: [`Series::overhead_share`] states the instrument's part.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Stopwatch, TimerCost};
use crate::paired::Pairs;
use crate::samples::{SampleError, Samples};

/// A sample of this many timer costs has a timer share of 0.5%.
const TIMER_COSTS_PER_SAMPLE: f64 = 200.0;

/// What is run, and not counted, before the first sample. Both conditions must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUp {
    /// At least this many calls; 0 counts as 1, because the first call also sizes the batches.
    pub calls: u32,
    /// At least this long.
    pub at_least_ms: u32,
}

impl Default for WarmUp {
    fn default() -> Self {
        Self {
            calls: 1,
            at_least_ms: 2,
        }
    }
}

/// How to sample. Build one with [`Sampler::new`] and change the fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Time to spend on samples; the warm-up comes on top.
    pub budget: Duration,
    /// Samples taken even beyond the budget; 0 counts as 1.
    pub min_samples: usize,
    /// Upper bound on samples, so that the memory is bounded too.
    pub max_samples: usize,
    /// Calls before the first sample.
    pub warm_up: WarmUp,
}

/// Samples together with how they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Nanoseconds per call.
    pub per_call_ns: Samples,
    /// Calls in each sample.
    pub calls_per_sample: u64,
    /// Cost of the timer, measured right before the samples.
    pub timer: TimerCost,
    /// Warm-up policy that was followed.
    pub warm_up: WarmUp,
    /// Calls that the warm-up really took.
    pub warm_up_calls: u64,
}

impl Series {
    /// Part of the median sample that is the timer's own, from 0 upwards.
    #[must_use]
    pub fn overhead_share(&self) -> f64 {
        let sample_ns = self.per_call_ns.median() * self.calls_per_sample as f64;
        if sample_ns > 0.0 {
            self.timer.cost_ns / sample_ns
        } else {
            1.0
        }
    }
}

impl Sampler {
    /// A sampler with the default warm-up and at most 100,000 samples.
    #[must_use]
    pub fn new(budget: Duration, min_samples: usize) -> Self {
        Self {
            budget,
            min_samples,
            max_samples: 100_000,
            warm_up: WarmUp::default(),
        }
    }

    /// Samples `f`. Keep its result alive with `std::hint::black_box`, or the compiler may remove the work.
    ///
    /// # Errors
    /// None of the clock's readings can make the samples invalid; the type says so for the sake of the caller's `?`.
    pub fn run(&self, mut f: impl FnMut()) -> Result<Series, SampleError> {
        let (call_ns, warm_up_calls) = self.warm(&mut f);
        let timer = TimerCost::measure();
        let calls_per_sample = batch_for(call_ns, timer);
        let mut per_call_ns = Vec::new();
        let clock = Stopwatch::start();
        while self.wants_more(per_call_ns.len(), &clock) {
            per_call_ns.push(time_batch(&mut f, calls_per_sample));
        }
        let per_call_ns = Samples::new(per_call_ns)?;
        Ok(Series {
            per_call_ns,
            calls_per_sample,
            timer,
            warm_up: self.warm_up,
            warm_up_calls,
        })
    }

    /// Samples `a` and `b` in turns, a before b in even pairs and b before a in odd ones, so that neither always runs
    /// in the other's wake. The budget is for both together; `min_samples` counts pairs.
    ///
    /// # Errors
    /// [`SampleError::NotPositive`] if `b` is too short for the clock.
    pub fn interleave(
        &self,
        mut a: impl FnMut(),
        mut b: impl FnMut(),
    ) -> Result<Pairs, SampleError> {
        let (a_ns, _) = self.warm(&mut a);
        let (b_ns, _) = self.warm(&mut b);
        let timer = TimerCost::measure();
        let (a_calls, b_calls) = (batch_for(a_ns, timer), batch_for(b_ns, timer));
        let (mut a_samples, mut b_samples) = (Vec::new(), Vec::new());
        let clock = Stopwatch::start();
        while self.wants_more(a_samples.len(), &clock) {
            if a_samples.len().is_multiple_of(2) {
                a_samples.push(time_batch(&mut a, a_calls));
                b_samples.push(time_batch(&mut b, b_calls));
            } else {
                b_samples.push(time_batch(&mut b, b_calls));
                a_samples.push(time_batch(&mut a, a_calls));
            }
        }
        Pairs::new(Samples::new(a_samples)?, Samples::new(b_samples)?)
    }

    fn wants_more(&self, taken: usize, clock: &Stopwatch) -> bool {
        if taken >= self.max_samples.max(1) {
            return false;
        }
        taken < self.min_samples.max(1) || !clock.has_passed(self.budget)
    }

    /// Runs the warm-up; gives the time of its fastest call and the number of calls.
    fn warm(&self, f: &mut impl FnMut()) -> (f64, u64) {
        let at_least = Duration::from_millis(self.warm_up.at_least_ms.into());
        let wanted = u64::from(self.warm_up.calls.max(1));
        let clock = Stopwatch::start();
        let (mut fastest_ns, mut calls) = (f64::MAX, 0);
        while calls < wanted || !clock.has_passed(at_least) {
            fastest_ns = fastest_ns.min(time_batch(f, 1));
            calls += 1;
        }
        (fastest_ns, calls)
    }
}

/// Samples `f` until `budget` is spent and at least `min_samples` were taken, with the default warm-up.
///
/// # Errors
/// As [`Sampler::run`].
pub fn repeat_until(
    budget: Duration,
    min_samples: usize,
    f: impl FnMut(),
) -> Result<Series, SampleError> {
    Sampler::new(budget, min_samples).run(f)
}

fn batch_for(call_ns: f64, timer: TimerCost) -> u64 {
    let wanted_ns = timer.cost_ns.max(timer.resolution_ns) * TIMER_COSTS_PER_SAMPLE;
    // A call below the resolution may read 0: one nanosecond is the least that is believed.
    (wanted_ns / call_ns.max(1.0)).ceil().max(1.0) as u64
}

/// Mean time of one call over a batch.
fn time_batch(f: &mut impl FnMut(), calls: u64) -> f64 {
    let clock = Stopwatch::start();
    for _ in 0..calls {
        f();
    }
    clock.elapsed_ns() / calls as f64
}
