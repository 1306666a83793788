//! Earlier runs of the same work, as data, and how this one lies among them.

use serde::{Deserialize, Serialize};

use super::{Layer, Reading, Regime, Report, Waterfall};
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
        }
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
            // A run's readings differ among themselves: what lies within them is no difference between runs.
            let place = match fall.speeds() {
                Some((_, most)) if most < low => "slower, beyond the spread of its own readings",
                Some((least, _)) if least > high => "faster, beyond the spread of its own readings",
                _ => "no difference beyond the spread of its readings",
            };
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
