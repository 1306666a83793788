//! The statistics of a per-case metric: the same cases in both arms, each a number such as right or wrong.
//!
//! 1. The champion's pool is the mean of its readings, case by case.
//! 2. A screen compares the public cases: the mean difference in its own standard error over cases. After a keep the reference is
//!    the kept reading with one standard error of slack, as for scores.
//! 3. A race takes all its readings, averages them by case and makes one sign-flip test over the hidden cases. Between readings it
//!    is only ever dropped, so that the test is made once.
//! 4. The gain comes from the new champion's fresh readings, with the race's luck taken out as in `scores`, and a bootstrap by case.
//!
//! p-values, unlike e-values, keep the false discovery rate only where the races' p do not oppose each other; without any true
//! improvement the chance of any merge is at most the sum of the levels, whatever their dependence.
//!
//! Everything in here is a cost: the lower, the better.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::decision::{Decision, Evidence, Loss, Proof, Refusal};
use crate::event::Purpose;
use crate::noise::{Arm, Noise, Spread, deviation, floor_of};
use crate::permutation::{bootstrap_95, sign_flip_p};
use crate::settings::Settings;
use crate::verdict::{POWER_80, Screened, Step};

const SEED: u64 = 0x5370_7261_6720_4761;
/// Below this difference, in standard errors, a loss does not name a number of cases that would do.
const NOTHING: f64 = 0.1;

/// Sums of readings, case by case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    public: Vec<f64>,
    hidden: Vec<f64>,
    runs: u32,
}

impl Table {
    fn add(&mut self, public: &[f64], hidden: &[f64]) {
        if self.runs == 0 {
            self.public = vec![0.0; public.len()];
            self.hidden = vec![0.0; hidden.len()];
        }
        for (sum, value) in self.public.iter_mut().zip(public) {
            *sum += value;
        }
        for (sum, value) in self.hidden.iter_mut().zip(hidden) {
            *sum += value;
        }
        self.runs = self.runs.saturating_add(1);
    }
}

fn means(sums: &[f64], runs: u32) -> Vec<f64> {
    sums.iter()
        .map(|sum| sum / f64::from(runs.max(1)))
        .collect()
}

fn differences(old: &[f64], new: &[f64]) -> Vec<f64> {
    old.iter().zip(new).map(|(old, new)| old - new).collect()
}

#[derive(Clone, Debug, PartialEq)]
struct Race {
    number: u64,
    level: f64,
    table: Table,
}

#[derive(Clone, Debug, PartialEq)]
struct Former {
    race: u64,
    pool_runs: f64,
    race_runs: f64,
    together: Vec<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CaseTable {
    promoted: bool,
    pool: Table,
    /// Standard deviation of the case differences of screens and of races: the noise of this set of cases.
    public_scatter: Option<f64>,
    hidden_scatter: Option<f64>,
    standing: Option<Vec<f64>>,
    race: Option<Race>,
    former: Option<Former>,
}

/// Mean of the differences and its standard error over cases, floored.
struct Compared {
    mean: f64,
    error: f64,
    deviation: f64,
}

fn compare(differences: &[f64], size: f64, settings: &Settings) -> Compared {
    let mut arm = Arm::default();
    differences.iter().for_each(|d| arm.push(*d));
    let deviation = deviation(&arm);
    let floor = floor_of(size, settings.rounding);
    Compared {
        mean: arm.mean,
        error: (deviation / f64::from(arm.runs.max(1)).sqrt()).max(floor),
        deviation,
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| most.max(v.abs()))
}

impl CaseTable {
    /// Numbers of public and hidden cases, once the champion was judged.
    pub(crate) fn counts(&self) -> Option<(usize, usize)> {
        // Between a win and its first fresh reading the old sums are still there, for their number only.
        let (public, hidden) = (self.pool.public.len(), self.pool.hidden.len());
        (0 < public).then_some((public, hidden))
    }

    pub(crate) fn wanted(&self, settings: &Settings) -> Option<Purpose> {
        let runs = self.pool.runs;
        match &self.race {
            None if !self.promoted && runs < settings.baseline_runs => Some(Purpose::Baseline),
            None if self.promoted && runs < settings.pool_first => Some(Purpose::Pool),
            Some(race) if runs < settings.pool_most && runs <= race.table.runs => {
                Some(Purpose::Race)
            }
            _ => None,
        }
    }

    pub(crate) fn champion(
        &mut self,
        public: &[f64],
        hidden: &[f64],
        settings: &Settings,
    ) -> Option<Decision> {
        self.pool.add(public, hidden);
        let runs = self.pool.runs;
        if runs != settings.pool_first && runs != settings.pool_most {
            return None;
        }
        let former = self.former.as_ref()?;
        let factor = (former.pool_runs + former.race_runs) / former.pool_runs;
        let gains: Vec<f64> = differences(&former.together, &means(&self.pool.hidden, runs))
            .into_iter()
            .map(|gain| factor * gain)
            .collect();
        let mut arm = Arm::default();
        gains.iter().for_each(|gain| arm.push(*gain));
        let (low, high) = bootstrap_95(&gains, SEED ^ former.race);
        let gain = Decision::Gain {
            of_race: former.race,
            estimate: arm.mean,
            low,
            high,
            fresh_runs: runs,
        };
        if settings.pool_most <= runs {
            self.former = None;
        }
        Some(gain)
    }

    /// The mean public cost of what a candidate is compared with.
    pub(crate) fn reference(&self) -> Option<f64> {
        let values = match &self.standing {
            Some(standing) => standing.clone(),
            None if 0 < self.pool.runs => means(&self.pool.public, self.pool.runs),
            None => return None,
        };
        Some(values.iter().sum::<f64>() / values.len().max(1) as f64)
    }

    pub(crate) fn standing(&self) -> Option<Vec<f64>> {
        self.standing.clone()
    }

    pub(crate) fn stand(&mut self, on: Option<Vec<f64>>) {
        self.standing = on;
    }

    pub(crate) fn screen(&mut self, public: &[f64], settings: &Settings) -> Screened {
        let slack = if self.standing.is_some() { 1.0 } else { 0.0 };
        let reference = self
            .standing
            .clone()
            .unwrap_or_else(|| means(&self.pool.public, self.pool.runs));
        let compared = compare(
            &differences(&reference, public),
            largest(&reference),
            settings,
        );
        scatter(&mut self.public_scatter, compared.deviation);
        let by = compared.mean / compared.error + slack;
        if settings.screen_sigma < by {
            self.standing = Some(public.to_vec());
            Screened::Keep {
                by,
                strong: settings.strong_sigma < by,
            }
        } else {
            Screened::Refuse(Refusal::NotBetter {
                better_by_sigma: by,
                needed_sigma: settings.screen_sigma,
            })
        }
    }

    pub(crate) fn open(&mut self, number: u64, level: f64) {
        self.race = Some(Race {
            number,
            level,
            table: Table::default(),
        });
    }

    pub(crate) fn run(&mut self, public: &[f64], hidden: &[f64]) {
        if let Some(race) = &mut self.race {
            race.table.add(public, hidden);
        }
    }

    fn hidden_differences(&self) -> Option<Vec<f64>> {
        let race = self.race.as_ref().filter(|race| 0 < race.table.runs)?;
        Some(differences(
            &means(&self.pool.hidden, self.pool.runs),
            &means(&race.table.hidden, race.table.runs),
        ))
    }

    fn compared(&self, settings: &Settings) -> Option<Compared> {
        let size = largest(&means(&self.pool.hidden, self.pool.runs));
        Some(compare(&self.hidden_differences()?, size, settings))
    }

    /// The test, once all readings are in.
    fn p(&self, settings: &Settings) -> Option<f64> {
        let race = self.race.as_ref()?;
        if race.table.runs < settings.race_runs {
            return None;
        }
        let differences = self.hidden_differences()?;
        Some(sign_flip_p(&differences, race.level, SEED ^ race.number))
    }

    pub(crate) fn step(&self, settings: &Settings) -> Step {
        let (Some(race), Some(compared)) = (&self.race, self.compared(settings)) else {
            return Step::More;
        };
        let effect_in_sigma = compared.mean / compared.error;
        let Some(p) = self.p(settings) else {
            return if 0.0 < compared.mean {
                Step::More
            } else {
                Step::Lost(Loss::NotBetter { effect_in_sigma })
            };
        };
        if p <= race.level && 0.0 < compared.mean {
            return Step::Won;
        }
        Step::Lost(if NOTHING <= effect_in_sigma {
            let cases = self.pool.hidden.len() as f64;
            let needed = (level_quantile(race.level) + POWER_80) / effect_in_sigma;
            Loss::TooFewCases {
                effect_in_sigma,
                cases_needed: (cases * needed.powi(2).max(1.0)).ceil() as u64,
            }
        } else {
            Loss::NotBetter { effect_in_sigma }
        })
    }

    pub(crate) fn evidence(&self, settings: &Settings) -> Evidence {
        let (Some(race), Some(compared)) = (&self.race, self.compared(settings)) else {
            return Evidence::none();
        };
        Evidence {
            runs: race.table.runs,
            champion_runs: self.pool.runs,
            estimate: Some(compared.mean),
            in_sigma: Some(compared.mean / compared.error),
            low: None,
            proof: self.p(settings).map(|p| Proof::Chance {
                p,
                level: race.level,
            }),
        }
    }

    pub(crate) fn close(&mut self, won: bool, settings: &Settings) {
        if let Some(compared) = self.compared(settings) {
            scatter(&mut self.hidden_scatter, compared.deviation);
        }
        self.standing = None;
        let Some(race) = self.race.take() else {
            return;
        };
        if !won {
            return;
        }
        let (pool_runs, race_runs) = (f64::from(self.pool.runs.max(1)), f64::from(race.table.runs));
        let together = self
            .pool
            .hidden
            .iter()
            .zip(&race.table.hidden)
            .map(|(old, new)| (old + new) / (pool_runs + race_runs))
            .collect();
        self.former = Some(Former {
            race: race.number,
            pool_runs,
            race_runs,
            together,
        });
        self.promoted = true;
        // The sums go, the numbers of cases stay.
        self.pool.runs = 0;
    }

    /// Of the difference of two means over the cases, from the differences seen so far.
    pub(crate) fn noise(&self, settings: &Settings) -> Option<Noise> {
        let (public, hidden) = self.counts()?;
        let screen = self.public_scatter?;
        let race = self.hidden_scatter.unwrap_or(screen);
        let spread = |deviation: f64, cases: usize| {
            let sigma = deviation / (cases.max(1) as f64).sqrt();
            let floor = floor_of(largest(&self.pool.hidden), settings.rounding);
            Spread {
                sigma: sigma.max(floor),
                conservative: sigma.max(floor),
                dof: cases.saturating_sub(1) as u32,
                at_floor: sigma <= floor,
            }
        };
        Some(Noise {
            screen: spread(screen, public),
            race: spread(race, hidden),
        })
    }

    pub(crate) fn resolvable(&self, level: f64, settings: &Settings) -> Option<f64> {
        let spread = self.noise(settings)?.race;
        Some(spread.sigma * (level_quantile(level) + POWER_80))
    }
}

/// A running mean of the variance: one pair of equal readings must not promise that everything can be told.
fn scatter(known: &mut Option<f64>, seen: f64) {
    *known = Some(match *known {
        None => seen,
        Some(known) => ((9.0 * known * known + seen * seen) / 10.0).sqrt(),
    });
}

/// The normal quantile that a one-sided test at `level` has to reach.
fn level_quantile(level: f64) -> f64 {
    let quantile = Normal::new(0.0, 1.0).map_or(10.0, |normal| {
        normal.inverse_cdf(1.0 - level.clamp(1e-15, 0.5))
    });
    if quantile.is_finite() { quantile } else { 10.0 }
}
