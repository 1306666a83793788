//! Fork-join: the time from handing empty work to a team of threads until all have finished.
//!
//! A model of 30 layers with 8 nodes each pays this 240 times per token, so that microseconds matter. The standard library's threads
//! are measured here as the baseline; a pool is measured by passing a closure that runs one empty piece of work on all its threads.

use std::time::Duration;

use measure::{SampleError, Series, repeat_until};
use serde::{Deserialize, Serialize};

const BUDGET: Duration = Duration::from_millis(30);
const MIN_SAMPLES: usize = 30;

/// Cost of one fork and join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForkJoin {
    /// What was measured, for example `std::thread::scope`.
    pub implementation: String,
    /// Threads of the team.
    pub threads: usize,
    /// Nanoseconds per fork-join, and how they were taken.
    pub series: Series,
}

/// Measures `fork_join`, which must hand empty work to `threads` threads and wait for all of them.
///
/// # Errors
/// [`SampleError`] if the clock gives impossible samples.
pub fn of(
    implementation: impl Into<String>,
    threads: usize,
    fork_join: impl FnMut(),
) -> Result<ForkJoin, SampleError> {
    let series = repeat_until(BUDGET, MIN_SAMPLES, fork_join)?;
    Ok(ForkJoin {
        implementation: implementation.into(),
        threads,
        series,
    })
}

/// Measures starting and joining the standard library's threads, the caller being one of the team.
///
/// # Errors
/// [`SampleError`] if the clock gives impossible samples.
pub fn of_std_threads(threads: usize) -> Result<ForkJoin, SampleError> {
    of("std::thread::scope", threads, || {
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| std::hint::black_box(()));
            }
        });
    })
}
