//! How far two runs of the same thing lie apart, and how far that estimate can be trusted.
//!
//! The spread is the pooled standard deviation within arms: each champion's pool and each race's candidate is an arm with its own
//! mean, so that a gain between them is not counted as noise.
//!
//! A spread of few runs is uncertain, and one that is too small makes false merges: with nu degrees of freedom the gate decides by
//! sigma sqrt(nu / chi2_{0.25, nu}), which the true spread exceeds in one of four cases only.
//!
//! A metric can also repeat to the last digit. Its spread is then floored, at half the step in which the metric is printed or at
//! one part in 10^9 of its size, so that nothing is divided by zero and a strict gain is an enormous number of sigmas.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

/// Readings beyond this have squares and sums that cannot be held; they are treated as not finite.
const LARGEST: f64 = 1e100;
/// A spread of a metric whose readings are all zero: its square is still far from underflow.
const SMALLEST_SPREAD: f64 = 1e-150;
/// Relative spread below which two readings differ by arithmetic and not by noise.
const RELATIVE_FLOOR: f64 = 1e-9;

/// Whether a reading can be calculated with.
pub(crate) fn usable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// One arm: mean and sum of squared deviations, by Welford's recurrence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arm {
    pub(crate) runs: u32,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Arm {
    pub(crate) fn push(&mut self, value: f64) {
        self.runs = self.runs.saturating_add(1);
        let step = value - self.mean;
        self.mean += step / f64::from(self.runs);
        self.squares += step * (value - self.mean);
    }
}

/// Within-arm squares of several arms.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pooled {
    squares: f64,
    dof: u32,
    largest: f64,
}

impl Pooled {
    pub(crate) fn add(&mut self, arm: &Arm) {
        self.squares += arm.squares.max(0.0);
        self.dof = self.dof.saturating_add(arm.runs.saturating_sub(1));
        self.largest = self.largest.max(arm.mean.abs());
    }

    pub(crate) fn with(&self, arm: &Arm) -> Self {
        let mut both = self.clone();
        both.add(arm);
        both
    }

    /// The spread, floored; `None` without a degree of freedom.
    pub(crate) fn spread(&self, rounding: f64) -> Option<Spread> {
        if self.dof == 0 {
            return None;
        }
        let floor = floor_of(self.largest, rounding);
        let sigma = (self.squares / f64::from(self.dof)).sqrt();
        Some(Spread {
            sigma: sigma.max(floor),
            conservative: (sigma * conservative_factor(self.dof)).max(floor),
            dof: self.dof,
            at_floor: sigma <= floor,
        })
    }
}

/// The smallest spread that is believed of readings of this size.
pub(crate) fn floor_of(largest: f64, rounding: f64) -> f64 {
    (rounding / 2.0)
        .max(RELATIVE_FLOOR * largest)
        .max(SMALLEST_SPREAD)
}

/// A standard deviation and how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Pooled within-arm standard deviation, floored by the metric's rounding.
    pub sigma: f64,
    /// The same, as the gate decides by: larger, the fewer runs it rests on.
    pub conservative: f64,
    /// Degrees of freedom.
    pub dof: u32,
    /// The metric repeats to its last digit: the spread is its rounding.
    pub at_floor: bool,
}

/// The noise of a track, in the metric's own units (log-ratio for timing).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Of one screening reading: the public split, or one block; for cases the difference of two means over public cases.
    pub screen: Spread,
    /// Of one race reading: the hidden split, or one block; for cases the difference of two means over hidden cases.
    pub race: Spread,
}

/// sqrt(nu / chi2_{0.25, nu}).
pub(crate) fn conservative_factor(dof: u32) -> f64 {
    let nu = f64::from(dof.max(1));
    let quantile = ChiSquared::new(nu).map_or(0.0, |chi2| chi2.inverse_cdf(0.25));
    let factor = (nu / quantile).sqrt();
    // The quantile of one degree of freedom gives 3.1; a library that fails must not give less than certainty would.
    if factor.is_finite() { factor } else { 4.0 }
}

/// The `p`-quantile of Student's t, for 1/2 < p < 1.
pub(crate) fn student_quantile(p: f64, dof: u32) -> f64 {
    let quantile = StudentsT::new(0.0, 1.0, f64::from(dof.max(1)))
        .map_or(f64::INFINITY, |student| student.inverse_cdf(p));
    if quantile.is_finite() {
        quantile
    } else {
        100.0
    }
}

/// Standard deviation of one arm about its mean; 0 below two runs.
pub(crate) fn deviation(arm: &Arm) -> f64 {
    if arm.runs < 2 {
        return 0.0;
    }
    (arm.squares.max(0.0) / f64::from(arm.runs - 1)).sqrt()
}

#[cfg(test)]
mod tests;
