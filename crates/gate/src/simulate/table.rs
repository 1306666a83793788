//! What a simulation says, in numbers and as a table for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{Plan, Tally};

/// Both rules on the same plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What was simulated.
    pub plan: Plan,
    /// "A new best score is a merge".
    pub naive: Row,
    /// This gate.
    pub ours: Row,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Tracks.
    pub tracks: u32,
    /// Runs (blocks) per experiment, everything included.
    pub runs_per_experiment: f64,
    /// Races per track.
    pub races: f64,
    /// Merges per track that are truly no better.
    pub false_merges: f64,
    /// Its 95% interval (exact, of a Poisson count).
    pub false_merges_95: (f64, f64),
    /// Share of the tracks with any false merge.
    pub any_false: f64,
    /// Mean over tracks of the share of false ones among the merges; 0 for a track without merges.
    pub false_discovery_rate: f64,
    /// Share of the true improvements proposed that were merged; `None` where none was proposed.
    pub power: Option<f64>,
    /// Runs per true improvement merged; `None` where none was.
    pub runs_per_true_change: Option<f64>,
    /// Mean of told minus true gain per merge, in standard deviations of one reading; `None` without a merge.
    pub gain_bias_sigma: Option<f64>,
    /// Share of the told intervals that hold the truth; `None` where none was told.
    pub gains_covered: Option<f64>,
}

impl Row {
    pub(crate) fn of(tallies: &[Tally]) -> Self {
        let tracks = tallies.len().max(1) as f64;
        let sum = |of: fn(&Tally) -> f64| tallies.iter().map(of).sum::<f64>();
        let readings = sum(|t| t.readings as f64);
        let false_merges = sum(|t| f64::from(t.false_merges));
        let proposed = sum(|t| f64::from(t.true_proposed));
        let found = sum(|t| f64::from(t.true_merged));
        let told = sum(|t| t.gain_errors.len() as f64);
        let errors = sum(|t| t.gain_errors.iter().sum());
        let some = |count: f64, value: f64| (0.0 < count).then_some(value);
        let (low, high) = poisson_95(false_merges);
        Self {
            tracks: tallies.len() as u32,
            runs_per_experiment: readings / sum(|t| f64::from(t.experiments)).max(1.0),
            races: sum(|t| f64::from(t.races)) / tracks,
            false_merges: false_merges / tracks,
            false_merges_95: (low / tracks, high / tracks),
            any_false: sum(|t| f64::from(t.false_merges.min(1))) / tracks,
            false_discovery_rate: sum(|t| f64::from(t.false_merges) / f64::from(t.merges.max(1)))
                / tracks,
            power: some(proposed, found / proposed),
            runs_per_true_change: some(found, readings / found),
            gain_bias_sigma: some(told, errors / told),
            gains_covered: some(told, sum(|t| f64::from(t.gains_covered)) / told),
        }
    }
}

/// Garwood's exact interval of a Poisson mean, for a count.
fn poisson_95(count: f64) -> (f64, f64) {
    let quantile = |p: f64, dof: f64| ChiSquared::new(dof).map_or(0.0, |c| c.inverse_cdf(p) / 2.0);
    let low = if count <= 0.0 {
        0.0
    } else {
        quantile(0.025, 2.0 * count)
    };
    (low, quantile(0.975, 2.0 * count + 2.0))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        writeln!(
            f,
            "{} tracks of {} experiments, {:?} readings, {:?} noise; {} of the candidates truly better by {} sigma",
            plan.runs,
            plan.experiments,
            plan.settings.kind,
            plan.noise,
            plan.share_of_true,
            plan.effect_sigma
        )?;
        writeln!(
            f,
            "{:<6} {:>8} {:>6} {:>25} {:>10} {:>6} {:>6} {:>15} {:>10} {:>8}",
            "rule",
            "runs/exp",
            "races",
            "false merges per track",
            "any false",
            "FDR",
            "power",
            "runs/true change",
            "gain bias",
            "covered"
        )?;
        for (name, row) in [("naive", &self.naive), ("gate", &self.ours)] {
            let (low, high) = row.false_merges_95;
            writeln!(
                f,
                "{name:<6} {:>8.2} {:>6.1} {:>25} {:>10.3} {:>6.3} {:>6} {:>15} {:>10} {:>8}",
                row.runs_per_experiment,
                row.races,
                format!("{:.3} ({low:.3} to {high:.3})", row.false_merges),
                row.any_false,
                row.false_discovery_rate,
                shown(row.power, 2),
                shown(row.runs_per_true_change, 0),
                shown(row.gain_bias_sigma, 2),
                shown(row.gains_covered.filter(|_| name == "gate"), 2),
            )?;
        }
        Ok(())
    }
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}
