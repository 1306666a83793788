//! The statistics of a noisy score: one number per run and split, runs differing by their seeds.
//!
//! 1. The champion's pool: runs made after its promotion (the baseline, for the first one). Nothing that helped it win is in it.
//! 2. A screen compares one public reading with the reference: the pool's public mean, or, where something stands on the tip, the
//!    last kept reading plus one sigma, because a kept reading is a lucky one.
//! 3. A race compares hidden readings of tip and pool by the mixture of `likelihood`, at the sigma known when it opened. Beside it
//!    the pool grows, one run whenever it is not larger than the race's arm: equal arms tell most per run.
//! 4. Won at odds of 1 / alpha; dropped when the difference is below half a sigma; ended when its runs are spent.
//! 5. The gain of a merge: see [`Former`].
//!
//! Everything in here is a cost: the lower, the better.

use crate::decision::{Decision, Evidence, Proof, Refusal};
use crate::event::Purpose;
use crate::likelihood::{ln_mixture, z_needed};
use crate::noise::{Arm, Noise, Pooled, Spread, student_quantile};
use crate::settings::Settings;
use crate::verdict::{POWER_80, Screened, Step, not_shown};

/// Sizes of effect over which the odds are averaged, in sigma.
const EFFECTS: [f64; 3] = [1.0, 2.0, 4.0];
/// A race is dropped below this difference, in plain sigma: to give up too early costs power, and no false merge is won by it.
const DROP: f64 = 0.5;

/// One run on both splits, as costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) public: f64,
    pub(crate) hidden: f64,
}

/// The challenger's arm.
#[derive(Clone, Debug, PartialEq)]
struct Race {
    public: Arm,
    hidden: Arm,
    spread: Spread,
    level: f64,
}

/// What a decision leaves behind so that its gain can be told without its own luck.
///
/// The old pool's mean P and the race's mean y both took part in the decision: given the win, P is too bad by chance and y too
/// good, and "P minus the new champion's fresh mean z" still carries half of that luck (simulated: 0.2 sigma too good at a true
/// effect of 1 sigma, 0.5 where the merge was false). But every look of the race was at a difference P - y, and the mean W of all
/// n0 + n runs is independent of those: each arm's mean has the covariance sigma^2 / (n0 + n) with W. As W estimates
/// (n0 old + n new) / (n0 + n), the gain old - new is estimated by (n0 + n) / n0 (W - z), without the race's luck.
///
/// What is left errs to the low side, by less than 0.1 sigma: a pool that has been through lost races is one that looked good.
#[derive(Clone, Debug, PartialEq)]
struct Former {
    race: u64,
    pool_runs: f64,
    race_runs: f64,
    together: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    promoted: bool,
    public: Arm,
    hidden: Arm,
    past_public: Pooled,
    past_hidden: Pooled,
    standing: Option<f64>,
    race: Option<Race>,
    former: Option<Former>,
}

impl Scores {
    pub(crate) fn wanted(&self, settings: &Settings) -> Option<Purpose> {
        let runs = self.hidden.runs;
        match &self.race {
            None if !self.promoted && runs < settings.baseline_runs => Some(Purpose::Baseline),
            None if self.promoted && runs < settings.pool_first => Some(Purpose::Pool),
            Some(race) if runs < settings.pool_most && runs <= race.hidden.runs => {
                Some(Purpose::Race)
            }
            _ => None,
        }
    }

    pub(crate) fn champion(&mut self, costs: Costs, settings: &Settings) -> Option<Decision> {
        self.public.push(costs.public);
        self.hidden.push(costs.hidden);
        let runs = self.hidden.runs;
        if runs != settings.pool_first && runs != settings.pool_most {
            return None;
        }
        let former = self.former.as_ref()?;
        let spread = self.hidden_spread(settings)?;
        let fresh = f64::from(runs);
        let all = former.pool_runs + former.race_runs;
        let factor = all / former.pool_runs;
        let estimate = factor * (former.together - self.hidden.mean);
        let half = student_quantile(0.975, spread.dof)
            * spread.sigma
            * factor
            * (1.0 / all + 1.0 / fresh).sqrt();
        let gain = Decision::Gain {
            of_race: former.race,
            estimate,
            low: estimate - half,
            high: estimate + half,
            fresh_runs: runs,
        };
        if settings.pool_most <= runs {
            self.former = None;
        }
        Some(gain)
    }

    fn public_spread(&self, settings: &Settings) -> Option<Spread> {
        self.past_public
            .with(&self.public)
            .spread(settings.rounding)
    }

    fn hidden_spread(&self, settings: &Settings) -> Option<Spread> {
        self.past_hidden
            .with(&self.hidden)
            .spread(settings.rounding)
    }

    pub(crate) fn noise(&self, settings: &Settings) -> Option<Noise> {
        Some(Noise {
            screen: self.public_spread(settings)?,
            race: self.hidden_spread(settings)?,
        })
    }

    /// The public cost that a candidate is compared with.
    pub(crate) fn reference(&self) -> Option<f64> {
        self.standing
            .or((0 < self.public.runs).then_some(self.public.mean))
    }

    pub(crate) fn standing(&self) -> Option<f64> {
        self.standing
    }

    pub(crate) fn stand(&mut self, on: Option<f64>) {
        self.standing = on;
    }

    pub(crate) fn screen(&mut self, public: f64, settings: &Settings) -> Screened {
        let needed_sigma = settings.screen_sigma;
        let refuse = |better_by_sigma| {
            Screened::Refuse(Refusal::NotBetter {
                better_by_sigma,
                needed_sigma,
            })
        };
        let (Some(reference), Some(spread)) = (self.reference(), self.public_spread(settings))
        else {
            return refuse(0.0);
        };
        let by = (reference - public) / spread.conservative;
        if needed_sigma < by {
            self.standing = Some(public + spread.conservative);
            Screened::Keep {
                by,
                strong: settings.strong_sigma < by,
            }
        } else {
            refuse(by)
        }
    }

    pub(crate) fn open(&mut self, level: f64, settings: &Settings) {
        self.race = self.hidden_spread(settings).map(|spread| Race {
            public: Arm::default(),
            hidden: Arm::default(),
            spread,
            level,
        });
    }

    pub(crate) fn run(&mut self, costs: Costs) {
        if let Some(race) = &mut self.race {
            race.public.push(costs.public);
            race.hidden.push(costs.hidden);
        }
    }

    /// Difference in sigma, its variance in sigma^2, and the log odds.
    fn odds(&self) -> Option<(f64, f64)> {
        let race = self.race.as_ref().filter(|race| 0 < race.hidden.runs)?;
        let z = (self.hidden.mean - race.hidden.mean) / race.spread.conservative;
        let v = 1.0 / f64::from(race.hidden.runs) + 1.0 / f64::from(self.hidden.runs.max(1));
        Some((z, ln_mixture(z, v, &EFFECTS)))
    }

    /// What the race says with the runs that it has.
    pub(crate) fn step(&self, settings: &Settings) -> Step {
        let (Some(race), Some((z, ln_e))) = (&self.race, self.odds()) else {
            return Step::More;
        };
        // The first run alone can be an outlier, and where each change is raced there are more of them.
        let enough = if settings.unit == 1 { 3 } else { 2 };
        let runs = race.hidden.runs;
        if DROP * race.spread.sigma / race.spread.conservative <= z {
            if (1.0 / race.level).ln() <= ln_e && enough <= runs {
                return Step::Won;
            }
            if runs < settings.race_runs {
                return Step::More;
            }
        }
        let per_effect = 4.0 * ((1.0 / race.level).ln() + (EFFECTS.len() as f64).ln());
        Step::Lost(not_shown(z, per_effect))
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let odds = self.odds();
        Evidence {
            runs: self.race.as_ref().map_or(0, |race| race.hidden.runs),
            champion_runs: self.hidden.runs,
            estimate: self
                .race
                .as_ref()
                .filter(|race| 0 < race.hidden.runs)
                .map(|race| self.hidden.mean - race.hidden.mean),
            in_sigma: odds.map(|(z, _)| z),
            low: None,
            proof: odds
                .zip(self.race.as_ref())
                .map(|((_, ln_e), race)| Proof::odds(ln_e, race.level)),
        }
    }

    /// Ends the race. After a win nothing that took part in it stays in the new champion's pool.
    pub(crate) fn close(&mut self, number: u64, won: bool) {
        self.standing = None;
        let Some(race) = self.race.take() else {
            return;
        };
        self.past_public.add(&race.public);
        self.past_hidden.add(&race.hidden);
        if !won {
            return;
        }
        let old = std::mem::take(&mut self.hidden);
        self.past_public.add(&std::mem::take(&mut self.public));
        self.past_hidden.add(&old);
        self.promoted = true;
        let (pool_runs, race_runs) = (f64::from(old.runs.max(1)), f64::from(race.hidden.runs));
        self.former = Some(Former {
            race: number,
            pool_runs,
            race_runs,
            together: (pool_runs * old.mean + race_runs * race.hidden.mean)
                / (pool_runs + race_runs),
        });
    }

    /// The smallest effect that a race at `level` finds with a power of 80%, in the metric's units.
    pub(crate) fn resolvable(&self, level: f64, settings: &Settings) -> Option<f64> {
        let spread = self.hidden_spread(settings)?;
        let champion = settings.pool_most.max(self.hidden.runs).max(1);
        let v = 1.0 / f64::from(settings.race_runs) + 1.0 / f64::from(champion);
        let z = z_needed((1.0 / level).ln(), v, &EFFECTS).max(DROP);
        Some(spread.conservative * (z + POWER_80 * v.sqrt()))
    }

    /// Runs in the champion's pool.
    #[cfg(test)]
    pub(crate) fn pool(&self) -> &Arm {
        &self.hidden
    }
}
