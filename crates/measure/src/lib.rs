//! Clocks, sampling and robust statistics: how Sprag times anything at all.
//!
//! Times on a shared machine are skewed: a sample is never faster than the hardware allows, and now and then much slower.
//! So everything here is built on order statistics, and the raw samples are always kept.
//!
//! - [`clock`]: a monotonic stopwatch, and what reading it costs on this machine.
//! - [`samples`]: raw samples with median, quantiles, median absolute deviation and an interval of the median.
//! - [`paired`]: the ratio of the medians of two interleaved series, with its interval.
//! - [`unpaired`]: the same of two series of different times.
//! - [`sampler`]: run a piece of work until a budget is spent, and state how it was measured.
//!
//! Times are `f64` nanoseconds, the unit being last in every name (`_ns`, `_ms`). A variance is never stored in a `Duration`:
//! squares of times are not times, and integers of nanoseconds cannot hold them.
//!
//! This crate knows no hardware and no models.

pub mod clock;
pub mod paired;
pub mod sampler;
pub mod samples;
pub mod unpaired;

pub use clock::{Stopwatch, TimerCost};
pub use paired::{PairedRatio, Pairs};
pub use sampler::{Sampler, Series, WarmUp, repeat_until};
pub use samples::{Interval, SampleError, Samples};
