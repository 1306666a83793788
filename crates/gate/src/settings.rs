//! What a track may decide about its gate, and what it gets when it decides nothing.
//!
//! The defaults differ by the kind of reading and come from the simulation (`simulate`): a score costs minutes, so four keeps
//! share one race; a timing block costs seconds, so each change is judged alone.
//!
//! A configuration file names only what it changes ([`SettingsFile`]); a ledger holds all of it ([`Settings`]), so that a later
//! version with other defaults replays to the same verdicts.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Losses, times, errors.
    Lower,
    /// Accuracies, rates.
    Higher,
}

impl Better {
    /// The value as a cost: of two costs the lower one is better. Its own inverse.
    #[must_use]
    pub fn cost(self, value: f64) -> f64 {
        match self {
            Self::Lower => value,
            Self::Higher => -value,
        }
    }
}

/// What kind of readings the judge gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One number per run and split, such as a validation loss; runs differ by their seeds.
    Score,
    /// Log-ratios of interleaved ABBA blocks of champion and candidate.
    Timing,
    /// One number per case of a fixed set, such as exact match.
    Cases,
}

/// Everything that the gate may be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Kind of the readings.
    pub kind: Kind,
    /// Which way is better.
    pub better: Better,
    /// The false discovery rate that the track allows over its whole life.
    pub q: f64,
    /// Provisional keeps that make a race (J).
    pub unit: u32,
    /// Experiments without a keep after which a tip that holds something is raced as it is.
    pub patience: u32,
    /// Runs of the first champion, from which the noise is known.
    pub baseline_runs: u32,
    /// Fresh runs of a new champion before the next screen.
    pub pool_first: u32,
    /// Runs to which a champion's pool grows beside its races.
    pub pool_most: u32,
    /// Runs (blocks) of a race, at most; all of them, for cases.
    pub race_runs: u32,
    /// Fresh blocks of a timing race after it was decided: they have to confirm the win.
    pub confirm_runs: u32,
    /// Fresh blocks after those, from which alone the gain is told: the ones that had to confirm are lucky ones, too.
    pub gain_runs: u32,
    /// Blocks before which a timing race is not dropped for its mean. A ledger that does not name it dropped from the first on.
    #[serde(default = "first_block")]
    pub drop_runs: u32,
    /// Races among which an epoch's share of the error is divided (H).
    pub epoch_races: u32,
    /// The track stops after its first epoch, which then may spend everything.
    pub ends_with_first_epoch: bool,
    /// A/A blocks at the start of a session, for timing.
    pub same_blocks: u32,
    /// The smallest gain worth a merge, for timing: a log-ratio, 0.01 being 1%.
    pub least_gain: f64,
    /// How much better than its reference a reading must be to be kept provisionally, in sigma. Far below 0 everything is kept
    /// that gives a reading at all: for A/A runs that have to reach the race.
    pub screen_sigma: f64,
    /// How much better one reading must be to be raced at once, in sigma.
    pub strong_sigma: f64,
    /// The step in which the metric is printed; noise below half of it is not believed. 0 where it is not known.
    pub rounding: f64,
    /// Timing by the signs of the blocks alone: needs no scale of the noise, and many more blocks.
    pub strict: bool,
}

/// The same, every field optional: what stands in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each field is that of `Settings`")]
pub struct SettingsFile {
    pub q: Option<f64>,
    pub unit: Option<u32>,
    pub patience: Option<u32>,
    pub baseline_runs: Option<u32>,
    pub pool_first: Option<u32>,
    pub pool_most: Option<u32>,
    pub race_runs: Option<u32>,
    pub confirm_runs: Option<u32>,
    pub gain_runs: Option<u32>,
    pub drop_runs: Option<u32>,
    pub epoch_races: Option<u32>,
    pub ends_with_first_epoch: Option<bool>,
    pub same_blocks: Option<u32>,
    pub least_gain: Option<f64>,
    pub screen_sigma: Option<f64>,
    pub strong_sigma: Option<f64>,
    pub rounding: Option<f64>,
    pub strict: Option<bool>,
}

/// A setting that the gate cannot work with.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SettingsError {
    /// A value outside its range.
    #[error("gate setting `{name}`: expected {expected}, got {came}")]
    OutOfRange {
        /// Name of the field.
        name: &'static str,
        /// Range in words.
        expected: &'static str,
        /// What came.
        came: f64,
    },
    /// A race too short to reach even its first level.
    #[error(
        "gate setting `race_runs`: {came} blocks cannot win a strict race, whose first level needs {needed} blocks that all point one way"
    )]
    RaceTooShort {
        /// Blocks that would do.
        needed: u32,
        /// Blocks there are.
        came: u32,
    },
}

fn first_block() -> u32 {
    1
}

impl SettingsFile {
    /// The defaults of `kind`, with what this file says put over them.
    ///
    /// # Errors
    /// [`SettingsError`], as [`Settings::check`].
    pub fn over(&self, kind: Kind, better: Better) -> Result<Settings, SettingsError> {
        let unit = self.unit.unwrap_or(Settings::of(kind, better).unit);
        let base = Settings::with_unit(kind, better, unit);
        let strict = self.strict.unwrap_or(base.strict);
        let settings = Settings {
            kind,
            better,
            q: self.q.unwrap_or(base.q),
            unit,
            patience: self.patience.unwrap_or(base.patience),
            baseline_runs: self.baseline_runs.unwrap_or(base.baseline_runs),
            pool_first: self.pool_first.unwrap_or(base.pool_first),
            pool_most: self.pool_most.unwrap_or(base.pool_most),
            race_runs: self.race_runs.unwrap_or(base.race_runs),
            confirm_runs: self.confirm_runs.unwrap_or(base.confirm_runs),
            gain_runs: self.gain_runs.unwrap_or(base.gain_runs),
            drop_runs: self.drop_runs.unwrap_or(base.drop_runs),
            epoch_races: self.epoch_races.unwrap_or(base.epoch_races),
            ends_with_first_epoch: self
                .ends_with_first_epoch
                .unwrap_or(base.ends_with_first_epoch),
            same_blocks: self.same_blocks.unwrap_or(base.same_blocks),
            least_gain: self.least_gain.unwrap_or(base.least_gain),
            screen_sigma: self.screen_sigma.unwrap_or(base.screen_sigma),
            strong_sigma: self.strong_sigma.unwrap_or(base.strong_sigma),
            rounding: self.rounding.unwrap_or(base.rounding),
            strict,
        };
        settings.check()?;
        Ok(settings)
    }
}

impl Settings {
    /// The defaults of a kind of reading.
    #[must_use]
    pub fn of(kind: Kind, better: Better) -> Self {
        let unit = match kind {
            Kind::Score => 4,
            Kind::Timing | Kind::Cases => 1,
        };
        Self::with_unit(kind, better, unit)
    }

    /// The defaults of a kind of reading where `unit` keeps make a race: the epoch is longer where each change is raced alone.
    #[must_use]
    pub fn with_unit(kind: Kind, better: Better, unit: u32) -> Self {
        let (baseline_runs, pool_first, pool_most, race_runs) = match kind {
            Kind::Score => (6, 3, 8, 8),
            Kind::Timing => (0, 0, 0, 40),
            Kind::Cases => (2, 2, 2, 1),
        };
        Self {
            kind,
            better,
            q: 0.1,
            unit,
            patience: 15,
            baseline_runs,
            pool_first,
            pool_most,
            race_runs,
            confirm_runs: 6,
            gain_runs: 6,
            drop_runs: 3,
            epoch_races: if unit == 1 { 24 } else { 12 },
            ends_with_first_epoch: false,
            same_blocks: 8,
            least_gain: 0.01,
            screen_sigma: if kind == Kind::Cases { 1.0 } else { 0.5 },
            strong_sigma: 3.0,
            rounding: 0.0,
            strict: false,
        }
    }

    /// Whether the gate can work with these.
    ///
    /// # Errors
    /// [`SettingsError`] names the field, what it may be and what it is.
    pub fn check(&self) -> Result<(), SettingsError> {
        let counted = |name, expected, value: u32, least: u32| {
            // More runs than this in one place are a typing error, and sums over them would take long.
            if least <= value && value <= 100_000 {
                Ok(())
            } else {
                Err(SettingsError::OutOfRange {
                    name,
                    expected,
                    came: f64::from(value),
                })
            }
        };
        let within = |name, expected, value: f64, low: f64, high: f64| {
            if low <= value && value <= high {
                Ok(())
            } else {
                Err(SettingsError::OutOfRange {
                    name,
                    expected,
                    came: value,
                })
            }
        };
        within("q", "from 0.0001 to 0.5", self.q, 1e-4, 0.5)?;
        counted("unit", "at least 1", self.unit, 1)?;
        counted("patience", "at least 1", self.patience, 1)?;
        counted("epoch_races", "at least 1", self.epoch_races, 1)?;
        let (runs, runs_words) = match self.kind {
            Kind::Score => (3, "at least 3 for scores"),
            Kind::Timing => (5, "at least 5 for timing"),
            Kind::Cases => (1, "at least 1 for cases"),
        };
        counted("race_runs", runs_words, self.race_runs, runs)?;
        match self.kind {
            Kind::Score => {
                counted("baseline_runs", "at least 3", self.baseline_runs, 3)?;
                counted("pool_first", "at least 2", self.pool_first, 2)?;
            }
            Kind::Cases => {
                counted("baseline_runs", "at least 1", self.baseline_runs, 1)?;
                counted("pool_first", "at least 1", self.pool_first, 1)?;
            }
            Kind::Timing => {
                counted("same_blocks", "at least 4", self.same_blocks, 4)?;
                counted("confirm_runs", "at least 2", self.confirm_runs, 2)?;
                counted("gain_runs", "at least 2", self.gain_runs, 2)?;
                counted("drop_runs", "at least 1", self.drop_runs, 1)?;
            }
        }
        if self.kind != Kind::Timing {
            counted(
                "pool_most",
                "at least pool_first",
                self.pool_most,
                self.pool_first,
            )?;
        }
        within("least_gain", "from 0 to 1", self.least_gain, 0.0, 1.0)?;
        within(
            "screen_sigma",
            "from -1000 to 5",
            self.screen_sigma,
            -1000.0,
            5.0,
        )?;
        within(
            "strong_sigma",
            "from 1 to 100",
            self.strong_sigma,
            1.0,
            100.0,
        )?;
        within("rounding", "from 0 to 1e100", self.rounding, 0.0, 1e100)?;
        self.check_strict()
    }

    /// A bet of half the stake gains a factor 3/2 per block at best.
    fn check_strict(&self) -> Result<(), SettingsError> {
        if self.kind != Kind::Timing || !self.strict {
            return Ok(());
        }
        let first = crate::spending::Spending::new(self).next_level();
        let needed = (first.recip().ln() / 1.5_f64.ln()).ceil() as u32;
        if needed <= self.race_runs {
            Ok(())
        } else {
            Err(SettingsError::RaceTooShort {
                needed,
                came: self.race_runs,
            })
        }
    }
}

#[cfg(test)]
mod tests;
