//! The statistics of a timing track: log-ratios of ABBA blocks, each holding champion and candidate.
//!
//! 1. A session begins with A/A blocks, the champion against itself: they say what this machine makes out of nothing, today.
//! 2. One block screens a candidate. A race takes fresh blocks, and is dropped early where its mean is small, after `drop_runs` of them.
//! 3. The odds are those of a normal mean with d in {1/4, 1/2, 1, 2} of the block's spread, or, `strict`, of a bet of half the
//!    stake on each block's sign, which needs nothing but that a block of two equal programs falls to either side alike.
//! 4. Odds are not enough: the lower end of the mean must reach the least gain and what A/A blocks show. The blocks of a shared
//!    machine have heavy tails and drift, and a merge of 0.1% is worth nobody's trust.
//! 5. A won race takes fresh blocks that must confirm half of what it promised; what drift had won is mostly lost here.
//! 6. A confirmed one takes fresh blocks again, by which nothing is decided: they alone give the gain that is told.
//!
//! # How the spread is kept honest
//! Each block is divided by the conservative spread of its session's A/A blocks (about zero, where they belong: a bias of the
//! blocks widens it). If the race's own blocks scatter more than that, by the conservative size of their own scatter, it counts
//! instead: one wild block then spoils a race and does not win it. Nothing is won with fewer than 5 blocks.
//!
//! # Where this differs from the first specification
//! That wanted the lower end of the mean above the 95th percentile of single A/A blocks, which no number of blocks reaches unless
//! the effect is twice the spread of a block: at 3% a block, a true 3% is never found. The mean of n A/A blocks is what the mean
//! of n blocks has to be told from, so the percentile is divided by the root of n; what does not average out, a bias of the A/A
//! blocks to one side, has to be exceeded whole. Simulated at 3% a block, with 10% true changes:
//! by the first rule the power is 0.01 at an effect of 3% and 0.50 at 6%, by this one 0.41 and 0.90.

use crate::decision::{Decision, Evidence, Loss, Proof, Refusal};
use crate::likelihood::ln_mean_exp;
use crate::noise::{Arm, Noise, Spread, conservative_factor, deviation, student_quantile};
use crate::settings::Settings;
use crate::verdict::{POWER_80, Screened, Step, not_shown};

/// Sizes of effect over which the odds are averaged, in spreads of a block.
const EFFECTS: [f64; 4] = [0.25, 0.5, 1.0, 2.0];
/// Blocks below which their own scatter is hardly known, so that nothing is won.
const LEAST_BLOCKS: u32 = 5;
/// A race is dropped when its mean is below DROP (1 - 1/sqrt(n)) spreads after n blocks, `Settings::drop_runs` or more.
const DROP: f64 = 0.5;
/// What the blocks after a win must show of the race's estimate, which is a lucky one.
const CONFIRMED: f64 = 0.5;
/// A race is also dropped early and has to be confirmed: what a win of four in five costs beside the proof alone, by simulation.
const HURDLES: f64 = 1.5;
/// A clock cannot tell less than a millionth.
const FLOOR: f64 = 1e-6;

#[derive(Clone, Debug, PartialEq)]
struct Race {
    level: f64,
    /// Log-ratios.
    raw: Arm,
    /// Log-ratios in conservative spreads of the session that they come from.
    scaled: Arm,
    /// Logarithm of the strict bet's capital.
    ln_capital: f64,
    /// What the race knew when it was won; then come the fresh blocks.
    won: Option<Evidence>,
    confirming: Arm,
    /// Blocks that nothing is decided by: the gain.
    fresh: Arm,
    same_seen: Same,
}

/// What the A/A blocks of a session say.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Same {
    spread: Spread,
    /// 95th percentile of their sizes.
    p95: f64,
    /// Size of their mean: blocks that favour one side of two equal programs do so in a race, too.
    bias: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Blocks {
    same: Vec<f64>,
    /// From the last complete set of A/A blocks.
    known: Option<Same>,
    standing: Option<f64>,
    race: Option<Race>,
}

impl Same {
    fn of(blocks: &[f64], rounding: f64) -> Option<Self> {
        if blocks.is_empty() {
            return None;
        }
        let dof = blocks.len() as u32;
        let floor = FLOOR.max(rounding / 2.0);
        let sigma = (blocks.iter().map(|b| b * b).sum::<f64>() / f64::from(dof)).sqrt();
        let mut sizes: Vec<f64> = blocks.iter().map(|b| b.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let rank = (0.95 * f64::from(dof)).ceil() as usize;
        Some(Self {
            spread: Spread {
                sigma: sigma.max(floor),
                conservative: (sigma * conservative_factor(dof)).max(floor),
                dof,
                at_floor: sigma <= floor,
            },
            bias: (blocks.iter().sum::<f64>() / f64::from(dof)).abs(),
            p95: sizes.get(rank.max(1) - 1).copied().unwrap_or(floor),
        })
    }
}

impl Same {
    /// What the lower end of a mean of so many blocks has to reach.
    fn least(&self, blocks: u32, settings: &Settings) -> f64 {
        let of_nothing = self.p95 / f64::from(blocks.max(1)).sqrt();
        settings.least_gain.max(of_nothing).max(self.bias)
    }
}

impl Blocks {
    pub(crate) fn same_wanted(&self, settings: &Settings) -> bool {
        self.same.len() < settings.same_blocks as usize
    }

    pub(crate) fn session(&mut self) {
        self.same.clear();
    }

    pub(crate) fn same(&mut self, log_ratio: f64, settings: &Settings) {
        self.same.push(log_ratio);
        if !self.same_wanted(settings) {
            self.known = Same::of(&self.same, settings.rounding);
            if let (Some(race), Some(known)) = (&mut self.race, self.known) {
                race.same_seen = known;
            }
        }
    }

    pub(crate) fn noise(&self) -> Option<Noise> {
        let spread = self.known?.spread;
        Some(Noise {
            screen: spread,
            race: spread,
        })
    }

    pub(crate) fn standing(&self) -> Option<f64> {
        self.standing
    }

    pub(crate) fn stand(&mut self, on: Option<f64>) {
        self.standing = on;
    }

    pub(crate) fn screen(&mut self, log_ratio: f64, settings: &Settings) -> Screened {
        let refuse = |better_by_sigma, needed_sigma| {
            Screened::Refuse(Refusal::NotBetter {
                better_by_sigma,
                needed_sigma,
            })
        };
        let Some(known) = self.known else {
            return refuse(0.0, settings.screen_sigma);
        };
        let sigma = known.spread.conservative;
        // Where blocks are quiet, what is clearly below the least gain is not worth a race.
        let needed = if settings.screen_sigma < 0.0 {
            settings.screen_sigma
        } else {
            settings.screen_sigma.max(settings.least_gain / sigma - 2.0)
        };
        let by = (log_ratio - self.standing.unwrap_or(0.0)) / sigma;
        if needed < by {
            self.standing = Some(log_ratio - sigma);
            Screened::Keep {
                by,
                strong: settings.strong_sigma < by,
            }
        } else {
            refuse(by, needed)
        }
    }

    pub(crate) fn open(&mut self, level: f64) {
        self.race = self.known.map(|known| Race {
            level,
            raw: Arm::default(),
            scaled: Arm::default(),
            ln_capital: 0.0,
            won: None,
            confirming: Arm::default(),
            fresh: Arm::default(),
            same_seen: known,
        });
    }

    pub(crate) fn run(&mut self, log_ratio: f64, settings: &Settings) {
        let Some(race) = &mut self.race else {
            return;
        };
        if race.won.is_some() {
            if race.confirming.runs < settings.confirm_runs {
                race.confirming.push(log_ratio);
            } else {
                race.fresh.push(log_ratio);
            }
            return;
        }
        race.raw.push(log_ratio);
        race.scaled
            .push(log_ratio / race.same_seen.spread.conservative);
        if 0.0 < log_ratio {
            race.ln_capital += 1.5_f64.ln();
        } else if log_ratio < 0.0 {
            race.ln_capital += 0.5_f64.ln();
        }
    }

    /// What the race says with the blocks that it has; remembers a win until its fresh blocks are in.
    pub(crate) fn step(&mut self, settings: &Settings) -> Step {
        let Some(race) = &mut self.race else {
            return Step::More;
        };
        if race.won.is_none() {
            let step = race.judge(settings);
            if !matches!(step, Step::Won) {
                return step;
            }
            race.won = Some(race.evidence(settings));
        }
        let promised = race.raw.mean;
        if race.confirming.runs < settings.confirm_runs {
            return Step::More;
        }
        if CONFIRMED * promised <= race.confirming.mean {
            if race.fresh.runs < settings.gain_runs {
                Step::More
            } else {
                Step::Won
            }
        } else {
            Step::Lost(Loss::NotConfirmed {
                fresh_mean: race.confirming.mean,
            })
        }
    }

    pub(crate) fn evidence(&self, settings: &Settings) -> Evidence {
        match &self.race {
            None => Evidence::none(),
            Some(race) => race.won.clone().unwrap_or_else(|| race.evidence(settings)),
        }
    }

    /// Ends the race; the gain by its fresh blocks, after a win.
    pub(crate) fn close(&mut self, number: u64, won: bool) -> Option<Decision> {
        self.standing = None;
        let race = self.race.take()?;
        (won && 0 < race.fresh.runs).then(|| {
            let half = race.half_width(&race.fresh, 0.975);
            Decision::Gain {
                of_race: number,
                estimate: race.fresh.mean,
                low: race.fresh.mean - half,
                high: race.fresh.mean + half,
                fresh_runs: race.fresh.runs,
            }
        })
    }

    /// The smallest log-ratio that a race at `level` finds with a power of 80%.
    pub(crate) fn resolvable(&self, level: f64, settings: &Settings) -> Option<f64> {
        let known = self.known?;
        let root_n = f64::from(settings.race_runs).sqrt();
        let (sigma, s) = (known.spread.conservative, known.spread.sigma);
        let least = known.least(settings.race_runs, settings);
        let by_interval = least + student_quantile(0.95, settings.race_runs - 1) * s / root_n;
        // The mixture is within ln 4 of its best component, whose odds are n z^2 / 2.
        let ln_needed = (1.0 / level).ln() + (EFFECTS.len() as f64).ln();
        let by_odds = sigma * (2.0 * ln_needed).sqrt() / root_n;
        Some(HURDLES * (by_interval.max(by_odds) + POWER_80 * s / root_n))
    }
}

impl Race {
    /// Log odds, by the blocks so far.
    fn ln_e(&self, settings: &Settings) -> f64 {
        if settings.strict {
            return self.ln_capital;
        }
        let n = f64::from(self.raw.runs);
        let own = deviation(&self.scaled) * conservative_factor(self.raw.runs.saturating_sub(1));
        let z = self.scaled.mean / own.max(1.0);
        let terms: Vec<f64> = EFFECTS.iter().map(|d| n * (d * z - d * d / 2.0)).collect();
        ln_mean_exp(&terms)
    }

    /// Half an interval of the mean of `arm`: by its own scatter or that of the A/A blocks, whichever is wider.
    fn half_width(&self, arm: &Arm, quantile: f64) -> f64 {
        let scatter = deviation(arm).max(self.same_seen.spread.sigma);
        let dof = arm.runs.saturating_sub(1).max(self.same_seen.spread.dof);
        student_quantile(quantile, dof) * scatter / f64::from(arm.runs.max(1)).sqrt()
    }

    fn judge(&self, settings: &Settings) -> Step {
        let runs = self.raw.runs;
        if runs == 0 {
            return Step::More;
        }
        let half = self.half_width(&self.raw, 0.95);
        let proven = (1.0 / self.level).ln() <= self.ln_e(settings);
        let large = self.same_seen.least(runs, settings) <= self.raw.mean - half;
        if proven && large && LEAST_BLOCKS <= runs {
            return Step::Won;
        }
        let z = self.scaled.mean;
        // Not even the upper end reaches what would be worth it: more blocks would be spent on nothing.
        let hopeful = runs < settings.drop_runs
            || (settings.least_gain <= self.raw.mean + half
                && DROP * (1.0 - 1.0 / f64::from(runs).sqrt()) <= z);
        if hopeful && runs < settings.race_runs {
            return Step::More;
        }
        if proven {
            return Step::Lost(Loss::BelowLeast {
                least: self.same_seen.least(runs, settings),
            });
        }
        let per_effect = 2.0 * ((1.0 / self.level).ln() + (EFFECTS.len() as f64).ln());
        Step::Lost(not_shown(z, per_effect))
    }

    fn evidence(&self, settings: &Settings) -> Evidence {
        let seen = 0 < self.raw.runs;
        Evidence {
            runs: self.raw.runs,
            champion_runs: 0,
            estimate: seen.then_some(self.raw.mean),
            in_sigma: seen.then_some(self.scaled.mean),
            low: seen.then(|| self.raw.mean - self.half_width(&self.raw, 0.95)),
            proof: seen.then(|| Proof::odds(self.ln_e(settings), self.level)),
        }
    }
}
