//! Raw samples and the robust statistics of one series.
//!
//! - Quantiles interpolate linearly between order statistics: h = (n - 1) p, the definition 7 of Hyndman and Fan,
//!   "Sample Quantiles in Statistical Packages" (1996).
//! - The interval of the median is that of the sign test: with B ~ Binomial(n, 1/2), the interval from the k-th smallest to the
//!   k-th largest sample covers the true median with probability 1 - 2 P(B < k), whatever the distribution of the samples.
//!   The largest k that reaches the asked confidence is taken, and the coverage it really has is reported.
//! - The median absolute deviation is reported raw, without the factor 1.4826 that would assume a normal distribution.
//!
//! Invariant: a [`Samples`] holds at least one value and only finite ones, so that no statistic is ever NaN.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a statistic cannot be given.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SampleError {
    /// A series without a sample.
    #[error("expected at least one sample, got none: run the measurement at least once")]
    Empty,
    /// A sample that is NaN or infinite.
    #[error(
        "expected finite samples, got {value} at position {position}: discard the run that produced it"
    )]
    NotFinite {
        /// Index of the first such sample.
        position: usize,
        /// What stood there.
        value: f64,
    },
    /// A probability outside its range.
    #[error("expected {what} {range}, got {value}")]
    OutOfRange {
        /// Name of the argument.
        what: &'static str,
        /// Range in words.
        range: &'static str,
        /// What came.
        value: f64,
    },
    /// Too few samples for the confidence asked for.
    #[error(
        "{have} samples cannot give an interval at confidence {confidence}: at least {need} are needed"
    )]
    TooFew {
        /// Samples there are.
        have: usize,
        /// Samples that would be enough.
        need: usize,
        /// Confidence asked for.
        confidence: f64,
    },
    /// Two series that should be pairs differ in length.
    #[error("expected pairs, got {a} samples of one and {b} of the other: interleave the two runs")]
    NotPaired {
        /// Length of the first.
        a: usize,
        /// Length of the second.
        b: usize,
    },
    /// A ratio whose denominator can be zero.
    #[error(
        "expected samples above zero in the denominator, got {value}: the work is too short for this clock"
    )]
    NotPositive {
        /// The offending sample.
        value: f64,
    },
}

/// Two ends that hold a true value with a stated probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability of coverage that the method really has (at least what was asked for).
    pub confidence: f64,
}

impl Interval {
    /// Whether `value` lies within the ends.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// At least one finite sample, in the order of measurement. The unit is that of the field that holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Samples {
    in_order: Vec<f64>,
    sorted: Vec<f64>,
}

impl TryFrom<Vec<f64>> for Samples {
    type Error = SampleError;

    fn try_from(in_order: Vec<f64>) -> Result<Self, SampleError> {
        if in_order.is_empty() {
            return Err(SampleError::Empty);
        }
        if let Some(position) = in_order.iter().position(|value| !value.is_finite()) {
            return Err(SampleError::NotFinite {
                position,
                value: in_order[position],
            });
        }
        let mut sorted = in_order.clone();
        sorted.sort_by(f64::total_cmp);
        Ok(Self { in_order, sorted })
    }
}

impl From<Samples> for Vec<f64> {
    fn from(samples: Samples) -> Self {
        samples.in_order
    }
}

impl Samples {
    /// Takes the samples in the order of measurement.
    ///
    /// # Errors
    /// [`SampleError::Empty`] and [`SampleError::NotFinite`].
    pub fn new(in_order: Vec<f64>) -> Result<Self, SampleError> {
        Self::try_from(in_order)
    }

    /// The raw samples in the order of measurement.
    #[must_use]
    pub fn raw(&self) -> &[f64] {
        &self.in_order
    }

    /// Number of samples, at least 1.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "there is always at least one sample"
    )]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Smallest sample.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// Largest sample.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// Middle sample, or the mean of the two middle ones.
    #[must_use]
    pub fn median(&self) -> f64 {
        quantile_of_sorted(&self.sorted, 0.5)
    }

    /// The `p`-quantile, interpolated.
    ///
    /// # Errors
    /// [`SampleError::OutOfRange`] unless 0 <= p <= 1.
    pub fn quantile(&self, p: f64) -> Result<f64, SampleError> {
        if !(0.0..=1.0).contains(&p) {
            return Err(SampleError::OutOfRange {
                what: "a quantile",
                range: "from 0 to 1",
                value: p,
            });
        }
        Ok(quantile_of_sorted(&self.sorted, p))
    }

    /// Median absolute deviation from the median, in the samples' unit.
    #[must_use]
    pub fn mad(&self) -> f64 {
        let median = self.median();
        let mut deviations: Vec<f64> = self
            .sorted
            .iter()
            .map(|value| (value - median).abs())
            .collect();
        median_of(&mut deviations)
    }

    /// Distribution-free interval of the true median, by the sign test.
    ///
    /// # Errors
    /// [`SampleError::OutOfRange`] unless 0 < confidence < 1; [`SampleError::TooFew`] with the number that would do.
    pub fn median_interval(&self, confidence: f64) -> Result<Interval, SampleError> {
        check_confidence(confidence)?;
        let n = self.sorted.len();
        let Some((below, coverage)) = sign_test_rank(n, confidence) else {
            // The widest interval, from the smallest to the largest, covers with 1 - 2 / 2^n.
            let need = (1.0 - (1.0 - confidence).log2()).ceil() as usize;
            return Err(SampleError::TooFew {
                have: n,
                need: need.max(2),
                confidence,
            });
        };
        Ok(Interval {
            low: self.sorted[below],
            high: self.sorted[n - 1 - below],
            confidence: coverage,
        })
    }

    /// The same samples through a function that keeps them finite, for example from times to rates.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] where `f` gives NaN or an infinity.
    pub fn map(&self, f: impl FnMut(f64) -> f64) -> Result<Self, SampleError> {
        Self::new(self.in_order.iter().copied().map(f).collect())
    }
}

pub(crate) fn check_confidence(confidence: f64) -> Result<(), SampleError> {
    if confidence > 0.0 && confidence < 1.0 {
        Ok(())
    } else {
        Err(SampleError::OutOfRange {
            what: "a confidence",
            range: "between 0 and 1",
            value: confidence,
        })
    }
}

/// Number of samples outside each end of the tightest interval that reaches `confidence`, and its coverage.
fn sign_test_rank(n: usize, confidence: f64) -> Option<(usize, f64)> {
    // ln P(B = i), by P(i + 1) = P(i) (n - i) / (i + 1): logarithms, because 2^-n underflows beyond 1074 samples.
    let mut ln_p = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    let mut best = None;
    for outside in 0..n.div_ceil(2) {
        tail += ln_p.exp();
        let coverage = 1.0 - 2.0 * tail;
        if !(coverage >= confidence && outside < n - 1 - outside) {
            break;
        }
        best = Some((outside, coverage));
        ln_p += ((n - outside) as f64).ln() - ((outside + 1) as f64).ln();
    }
    best
}

/// Median of values without NaN; 0 for none. Sorts in place.
pub(crate) fn median_of(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        0.0
    } else {
        quantile_of_sorted(values, 0.5)
    }
}

fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    let position = (sorted.len() - 1) as f64 * p;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    let share = position - below as f64;
    // Weights instead of a difference: two huge samples of opposite sign must not overflow.
    let value = sorted[below] * (1.0 - share) + sorted[above] * share;
    value.clamp(sorted[below], sorted[above])
}
