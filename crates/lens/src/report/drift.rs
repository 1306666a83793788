//! How a machine's speed differs from run to run: what the readings of one run cannot show, and earlier runs of the same work can.
//!
//! A level's times in runs are taken as log-normal. s is the standard deviation of the logarithms over n earlier runs; between any two
//! others lies then, in 19 of 20 cases, a factor within exp(+-t s sqrt 2), t being Student's quantile for n - 1 degrees of freedom.
//! That is how far another run may be from this one though nothing was changed. This run is none of the n: what it does differently
//! would widen what it is held against.
//!
//! Only runs of the same build count: what a change of the program did is no drift.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Earlier, Layer, Range, Reading, Regime, Report};

/// Earlier runs from which drift is known.
const LEAST_RUNS: usize = 4;
/// The last runs count: a machine changes over the months.
const MOST_RUNS: usize = 20;
/// Of a two-sided interval of 95%.
const QUANTILE: f64 = 0.975;
/// Beyond a factor of a thousand nothing is known.
const MOST_LN: f64 = 7.0;

/// How a level's times differ among earlier runs of the same work by the same build on the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Regime of the level.
    pub regime: Regime,
    /// The level.
    pub layer: Layer,
    /// Earlier runs.
    pub runs: usize,
    /// Standard deviation of the times' logarithms: about a relative one.
    pub spread: f64,
}

impl Drift {
    /// Logarithm of the factor within which two runs are, in 19 of 20 cases; `None` for what no report of ours holds.
    #[must_use]
    pub fn between_two(&self) -> Option<f64> {
        if self.runs < LEAST_RUNS {
            return None;
        }
        let ln = quantile(self.runs) * self.spread * std::f64::consts::SQRT_2;
        (0.0..=MOST_LN).contains(&ln).then_some(ln)
    }
}

impl Report {
    /// Earlier runs that tell how runs of this build differ, at most the last 20.
    pub(super) fn runs_of_this_build(&self) -> Vec<&Earlier> {
        let all = self.history.iter();
        let same: Vec<_> = all
            .filter(|run| run.build.is_some() && run.build == self.build)
            .collect();
        same[same.len().saturating_sub(MOST_RUNS)..].to_vec()
    }

    /// Learns from its history how runs differ, and widens the ranges of its levels to where another run's figure is expected.
    pub fn know_drift(&mut self) {
        let mut found = Vec::new();
        for regime in [Regime::Prefill, Regime::Decode] {
            for level in &self.regime(regime).levels {
                let earlier = self.runs_of_this_build();
                let times = earlier
                    .iter()
                    .filter_map(|run| run.time(regime, level.layer));
                let times: Vec<f64> = times.collect();
                if let Some(spread) = spread(&times) {
                    found.push(Drift {
                        regime,
                        layer: level.layer,
                        runs: times.len(),
                        spread,
                    });
                }
            }
        }
        found.retain(|drift| self.widen(drift));
        self.drift = found;
    }

    /// Widens the range of the level; whether it has one.
    fn widen(&mut self, drift: &Drift) -> bool {
        let fall = match drift.regime {
            Regime::Prefill => &mut self.prefill,
            Regime::Decode => &mut self.decode,
        };
        let level = fall.levels.iter_mut().find(|l| l.layer == drift.layer);
        let Some(Reading::Known { figure }) = level.map(|level| &mut level.ms_per_token) else {
            return false;
        };
        let (Some(range), Some(ln)) = (&mut figure.range, drift.between_two()) else {
            return false;
        };
        *range = Range {
            low: range.low.min(figure.typical / ln.exp()),
            high: range.high.max(figure.typical * ln.exp()),
        };
        true
    }

    /// Of one level, the logarithm within which two runs are; `None` where it is not known.
    #[must_use]
    pub fn drift_of(&self, regime: Regime, layer: Layer) -> Option<f64> {
        let mut all = self.drift.iter();
        all.find(|drift| (drift.regime, drift.layer) == (regime, layer))?
            .between_two()
    }

    /// What its ranges know, in a sentence.
    #[must_use]
    pub fn ranges_in_words(&self) -> String {
        match self.drift.iter().map(|drift| drift.runs).max() {
            Some(runs) => format!(
                "Ranges hold this run's readings and how {runs} earlier runs of this work by this build differ."
            ),
            None => format!(
                "Ranges are those of this run's readings alone; after {LEAST_RUNS} runs of this work they know how runs differ, too."
            ),
        }
    }
}

/// Standard deviation of the logarithms; `None` where it is not known.
pub(super) fn spread(times: &[f64]) -> Option<f64> {
    if times.len() < LEAST_RUNS || !times.iter().all(|ms| ms.is_finite() && *ms > 0.0) {
        return None;
    }
    let logs = || times.iter().map(|ms| ms.ln());
    let n = times.len() as f64;
    let mean = logs().sum::<f64>() / n;
    Some((logs().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Student's, of so many runs; more than are ever taken count as that many.
pub(super) fn quantile(runs: usize) -> f64 {
    let dof = runs.clamp(2, MOST_RUNS) - 1;
    StudentsT::new(0.0, 1.0, dof as f64)
        .map_or(f64::INFINITY, |student| student.inverse_cdf(QUANTILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_known_from_four_runs_on() {
        assert_eq!(spread(&[1.0, 1.1, 0.9]), None);
        let s = spread(&[1.0, 1.1, 1.0, 1.1]).unwrap();
        assert!((s - 1.1_f64.ln() / 3.0_f64.sqrt()).abs() < 1e-12, "{s}");
        assert_eq!(spread(&[1.0, 1.1, 0.0, 1.1]), None);
        assert_eq!(spread(&[1.0, 1.1, f64::NAN, 1.1]), None);
        // Tables: 3.182 for 3 degrees of freedom, 2.093 for 19.
        assert!((quantile(4) - 3.182).abs() < 1e-3 && (quantile(20) - 2.093).abs() < 1e-3);
    }

    #[test]
    fn a_strangers_drift_is_known_or_not() {
        let of = |runs, spread| {
            Drift {
                regime: Regime::Decode,
                layer: Layer::Step,
                runs,
                spread,
            }
            .between_two()
        };
        assert!(of(usize::MAX, 0.01).is_some_and(|ln| (ln - 0.0296).abs() < 1e-3));
        for (runs, spread) in [(0, 0.1), (3, 0.1), (4, 1e308), (4, -0.1), (4, f64::NAN)] {
            assert_eq!(of(runs, spread), None, "{runs} {spread}");
        }
    }
}
