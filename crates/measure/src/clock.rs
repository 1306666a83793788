//! The monotonic clock, and the cost of reading it.
//!
//! A measurement that does not state what its instrument costs cannot be told from the instrument. [`TimerCost::measure`]
//! reads the clock back to back many times; the median of the differences is what one timed section pays on top of its work,
//! and the smallest difference that is not zero is the finest step that the clock showed.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::samples::median_of;

/// Back-to-back reads per calibration: enough for a steady median, well under a millisecond in all.
const READS: usize = 2048;

/// A started monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn elapsed_ns(&self) -> f64 {
        ns(self.started.elapsed())
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> f64 {
        self.elapsed_ns() / 1e6
    }

    /// Whether `budget` has passed.
    #[must_use]
    pub fn has_passed(&self, budget: Duration) -> bool {
        self.started.elapsed() >= budget
    }
}

/// A duration as nanoseconds; exact below 2^53 ns (104 days).
#[must_use]
pub fn ns(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// What the instrument itself costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimerCost {
    /// Median time of one start-and-stop pair around nothing.
    pub cost_ns: f64,
    /// Smallest difference between two reads that was not zero.
    pub resolution_ns: f64,
}

impl TimerCost {
    /// Measures the clock on the calling thread; takes about 0.1 ms.
    #[must_use]
    pub fn measure() -> Self {
        let mut differences = Vec::with_capacity(READS);
        let mut resolution_ns = f64::MAX;
        // The first reads fault in the clock's page; the bound keeps a clock that stands still from looping for ever.
        for read in 0..READS * 2 {
            let difference = Stopwatch::start().elapsed_ns();
            if read >= READS {
                differences.push(difference);
            }
            if difference > 0.0 {
                resolution_ns = resolution_ns.min(difference);
            }
        }
        let cost_ns = median_of(&mut differences);
        Self {
            cost_ns,
            resolution_ns: if resolution_ns == f64::MAX {
                cost_ns.max(1.0)
            } else {
                resolution_ns
            },
        }
    }
}
