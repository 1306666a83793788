//! The ratio of two series that were not taken in turns: two runs of different days, or machines.
//!
//! As [`crate::paired`], but each series is drawn from by itself, so whatever changed between the two is in the ratio and not in its
//! interval: the interval speaks of these runs only.

use crate::paired::{DRAWS, MIN_PAIRS, SEED, SplitMix64, percentile_interval};
use crate::samples::{Interval, SampleError, Samples, check_confidence};

/// `statistic` of `a` over that of `b`, with a percentile bootstrap interval. `statistic` may sort what it is given.
///
/// # Errors
/// [`SampleError::OutOfRange`] unless 0 < confidence < 1; [`SampleError::TooFew`] below 5 samples of either;
/// [`SampleError::NotPositive`] where a sample of `b` is not above zero.
pub fn ratio_of(
    a: &Samples,
    b: &Samples,
    confidence: f64,
    statistic: impl Fn(&mut [f64]) -> f64,
) -> Result<(f64, Interval), SampleError> {
    check_confidence(confidence)?;
    let have = a.len().min(b.len());
    if have < MIN_PAIRS {
        return Err(SampleError::TooFew {
            have,
            need: MIN_PAIRS,
            confidence,
        });
    }
    if b.min() <= 0.0 {
        return Err(SampleError::NotPositive { value: b.min() });
    }
    let mut random = SplitMix64(SEED);
    let mut draw = |from: &Samples, into: &mut Vec<f64>| {
        into.clear();
        into.extend((0..from.len()).map(|_| from.raw()[random.below(from.len())]));
    };
    let (mut drawn_a, mut drawn_b) = (Vec::new(), Vec::new());
    let mut ratios = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        draw(a, &mut drawn_a);
        draw(b, &mut drawn_b);
        ratios.push(statistic(&mut drawn_a) / statistic(&mut drawn_b));
    }
    let interval = percentile_interval(ratios, confidence)?;
    let of = |samples: &Samples| statistic(&mut samples.raw().to_vec());
    Ok((of(a) / of(b), interval))
}
