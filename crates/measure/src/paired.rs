//! The ratio of two interleaved series.
//!
//! Two variants that are timed one after the other on a shared machine are timed in two different machines. Run in turns
//! (a, b, a, b, ...), each pair sees the same machine; the statistic is the ratio of the two medians.
//!
//! Its interval is a percentile bootstrap over *pairs* (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13):
//! 1. draw n pairs with replacement, 2. take the ratio of the medians, 3. repeat, 4. read the quantiles.
//!
//! The generator is seeded from a constant, so that the same samples always give the same interval.

use serde::{Deserialize, Serialize};

use crate::samples::{Interval, SampleError, Samples, check_confidence, median_of};

/// Draws per interval: the 2.5% quantile then rests on 50 of them.
pub(crate) const DRAWS: usize = 2000;
pub(crate) const SEED: u64 = 0x5347_5241_5052_4151;
/// A bootstrap of fewer samples says more about the method than about the machine.
pub(crate) const MIN_PAIRS: usize = 5;

/// Two series measured in turns; `a[i]` and `b[i]` were neighbours in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    a: Samples,
    b: Samples,
}

/// Median of `a` over median of `b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedRatio {
    /// Ratio of the medians; below 1 when `a` is the faster one and the samples are times.
    pub ratio: f64,
    /// Percentile bootstrap interval of the ratio.
    pub interval: Interval,
    /// Number of pairs.
    pub pairs: usize,
}

impl Pairs {
    /// Takes two series of equal length.
    ///
    /// # Errors
    /// [`SampleError::NotPaired`]; [`SampleError::NotPositive`] where a sample of `b` is not above zero.
    pub fn new(a: Samples, b: Samples) -> Result<Self, SampleError> {
        if a.len() != b.len() {
            return Err(SampleError::NotPaired {
                a: a.len(),
                b: b.len(),
            });
        }
        // Samples are finite, so `<=` leaves no NaN behind.
        if b.min() <= 0.0 {
            return Err(SampleError::NotPositive { value: b.min() });
        }
        Ok(Self { a, b })
    }

    /// The first series.
    #[must_use]
    pub fn a(&self) -> &Samples {
        &self.a
    }

    /// The second series.
    #[must_use]
    pub fn b(&self) -> &Samples {
        &self.b
    }

    /// Ratio of the medians with its interval.
    ///
    /// # Errors
    /// [`SampleError::OutOfRange`] unless 0 < confidence < 1; [`SampleError::TooFew`] below 5 pairs.
    pub fn ratio_of_medians(&self, confidence: f64) -> Result<PairedRatio, SampleError> {
        check_confidence(confidence)?;
        let pairs = self.a.len();
        if pairs < MIN_PAIRS {
            return Err(SampleError::TooFew {
                have: pairs,
                need: MIN_PAIRS,
                confidence,
            });
        }
        let mut random = SplitMix64(SEED);
        let (mut drawn_a, mut drawn_b) = (vec![0.0; pairs], vec![0.0; pairs]);
        let mut ratios = Vec::with_capacity(DRAWS);
        for _ in 0..DRAWS {
            for slot in 0..pairs {
                let pick = random.below(pairs);
                drawn_a[slot] = self.a.raw()[pick];
                drawn_b[slot] = self.b.raw()[pick];
            }
            ratios.push(median_of(&mut drawn_a) / median_of(&mut drawn_b));
        }
        Ok(PairedRatio {
            ratio: self.a.median() / self.b.median(),
            interval: percentile_interval(ratios, confidence)?,
            pairs,
        })
    }
}

/// What lies between the tails of the drawn ratios.
pub(crate) fn percentile_interval(
    ratios: Vec<f64>,
    confidence: f64,
) -> Result<Interval, SampleError> {
    let ratios = Samples::new(ratios)?;
    let tail = (1.0 - confidence) / 2.0;
    Ok(Interval {
        low: ratios.quantile(tail)?,
        high: ratios.quantile(1.0 - tail)?,
        confidence,
    })
}

/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; the bias of at most bound / 2^64 is far below what a bootstrap can resolve.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
