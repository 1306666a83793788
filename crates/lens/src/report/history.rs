//! Earlier runs of the same work, as data, and how this one lies among them.

use serde::{Deserialize, Serialize};

use super::{
    Layer, Reading, Regime, Report, Waterfall,
    drift::{quantile, spread},
};
use crate::numbers::significant;

/// A run that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// As `sprag lens log` lists it.
    pub id: String,
    /// When it was finished, RFC 3339 in UTC.
    pub date: String,
    /// Speed of the prompt, as the user saw it.
    pub prefill_tokens_per_s: Option<f64>,
    /// Speed of the answer, as the user saw it.
    pub decode_tokens_per_s: Option<f64>,
    /// Which build it was; `None` where that is not known.
    #[serde(default)]
    pub build: Option<String>,
    /// Of each level that was known.
    #[serde(default)]
    pub times: Vec<LevelTime>,
}

/// What a level took in an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelTime {
    /// Regime of the level.
    pub regime: Regime,
    /// The level.
    pub layer: Layer,
    /// What stood for it.
    pub ms_per_token: f64,
}

impl Earlier {
    /// Of a report that was kept under this name.
    #[must_use]
    pub fn of(id: String, report: &Report) -> Self {
        Self {
            id,
            date: report.date.clone(),
            prefill_tokens_per_s: report.prefill.speed(),
            decode_tokens_per_s: report.decode.speed(),
            build: report.build.clone(),
            times: [Regime::Prefill, Regime::Decode]
                .into_iter()
                .flat_map(|regime| {
                    let levels = report.regime(regime).levels.iter();
                    levels.filter_map(move |level| {
                        Some(LevelTime {
                            regime,
                            layer: level.layer,
                            ms_per_token: level.ms_per_token.value()?,
                        })
                    })
                })
                .collect(),
        }
    }

    pub(super) fn time(&self, regime: Regime, layer: Layer) -> Option<f64> {
        let mut times = self.times.iter();
        let found = times.find(|time| (time.regime, time.layer) == (regime, layer))?;
        Some(found.ms_per_token)
    }

    pub(crate) fn speed(&self, regime: Regime) -> Option<f64> {
        match regime {
            Regime::Prefill => self.prefill_tokens_per_s,
            Regime::Decode => self.decode_tokens_per_s,
        }
    }
}

impl Waterfall {
    /// Tokens per second as the user sees them, or else of the step.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        self.reached().and_then(|level| level.tokens_per_s)
    }

    /// The slowest and the fastest reading of it, in tokens per second.
    fn speeds(&self) -> Option<(f64, f64)> {
        let Reading::Known { figure } = &self.reached()?.ms_per_token else {
            return None;
        };
        let ms = || figure.samples.iter().copied().filter(|ms| *ms > 0.0);
        let (least, most) = (ms().min_by(f64::total_cmp)?, ms().max_by(f64::total_cmp)?);
        Some((1e3 / most, 1e3 / least))
    }

    /// The last level that is known.
    fn reached(&self) -> Option<&super::Level> {
        [Layer::User, Layer::Step].iter().find_map(|layer| {
            let level = self.levels.iter().find(|l| l.layer == *layer)?;
            level.ms_per_token.value().map(|_| level)
        })
    }
}

impl Report {
    /// Whether the other report is of the same work on the same machine.
    #[must_use]
    pub fn is_same_work(&self, other: &Self) -> bool {
        other.model.parameters == self.model.parameters
            && other.model.architecture == self.model.architecture
            && other.model.formats == self.model.formats
            && other.profile == self.profile
            && other.machine.cpu.name.value() == self.machine.cpu.name.value()
            && (other.prefill.tokens, other.decode.depth)
                == (self.prefill.tokens, self.decode.depth)
    }

    /// How its speeds lie among those of its history; `None` without one.
    #[must_use]
    pub fn among_earlier(&self) -> Option<String> {
        let mut words = Vec::new();
        for regime in [Regime::Prefill, Regime::Decode] {
            let (name, fall) = (regime.name(), self.regime(regime));
            let speeds = || self.history.iter().filter_map(|run| run.speed(regime));
            let low = speeds().min_by(f64::total_cmp);
            let high = speeds().max_by(f64::total_cmp);
            let (Some(now), Some(low), Some(high)) = (fall.speed(), low, high) else {
                continue;
            };
            let same = self.runs_of_this_build();
            let same: Vec<f64> = same.iter().filter_map(|run| run.speed(regime)).collect();
            let place = usual(now, &same).unwrap_or_else(|| by_readings(fall, low, high));
            let earlier = match (significant(low), significant(high)) {
                (low, high) if low == high => low,
                (low, high) => format!("{low} to {high}"),
            };
            words.push(format!(
                "{name} {earlier} tokens/s, now {}: {place}",
                significant(now)
            ));
        }
        if words.is_empty() {
            return None;
        }
        let runs = match self.history.len() {
            1 => "one earlier run of this".to_owned(),
            n => format!("{n} earlier runs of this"),
        };
        Some(format!("{runs}: {}", words.join("; ")))
    }
}

/// Whether a speed is what earlier ones of the same build lead to expect; `None` of too few.
fn usual(now: f64, earlier: &[f64]) -> Option<&'static str> {
    let n = earlier.len() as f64;
    let usual = quantile(earlier.len()) * spread(earlier)? * (1.0 + 1.0 / n).sqrt();
    let mean = earlier.iter().map(|speed| speed.ln()).sum::<f64>() / n;
    Some(match now.ln() - mean {
        by if by < -usual => "slower than runs of this build differ among themselves",
        by if by > usual => "faster than runs of this build differ among themselves",
        _ => "as runs of this build differ among themselves",
    })
}

/// Whether a speed is beyond the earlier ones, from `low` to `high`, by more than its own readings differ.
fn by_readings(fall: &Waterfall, low: f64, high: f64) -> &'static str {
    match fall.speeds() {
        Some((_, most)) if most < low => "slower, beyond the spread of its own readings",
        Some((least, _)) if least > high => "faster, beyond the spread of its own readings",
        _ => "no difference beyond the spread of its readings",
    }
}
