//! The truth that a simulated judge sees through noise.
//!
//! Effects are in standard deviations of one reading and above 0 where they are improvements; they add up along the tip.

use super::{Plan, Shape};
use crate::event::Reading;
use crate::random::Random;
use crate::settings::Kind;

/// A score with a size, so that its relative floor is nowhere near its noise.
const SCORE: f64 = 10.0;
const REPEATS: u32 = 3;
/// Mean of p (1 - p) for p uniform from 0.1 to 0.9.
const CASE_VARIANCE: f64 = 0.196_67;

pub(crate) struct World {
    random: Random,
    kind: Kind,
    shape: Shape,
    shared: f64,
    block_spread: f64,
    effect: f64,
    share_of_true: f64,
    /// Chance of each case to be right, public ones first.
    cases: Vec<f64>,
    case_unit: f64,
    neighbour: f64,
    burst: bool,
    champion: f64,
    kept: Vec<f64>,
    proposed: f64,
    gained: f64,
    pub(crate) covered: bool,
}

/// What a merge truly holds.
pub(crate) struct Merged {
    pub(crate) gain: f64,
    pub(crate) improvements: u32,
}

impl World {
    pub(crate) fn new(plan: &Plan, seed: u64) -> Self {
        let mut random = Random(seed);
        let cases = match plan.settings.kind {
            Kind::Cases => (0..2 * plan.cases)
                .map(|_| 0.1 + 0.8 * random.uniform())
                .collect(),
            _ => Vec::new(),
        };
        Self {
            random,
            kind: plan.settings.kind,
            shape: plan.noise,
            shared: plan.shared.clamp(0.0, 1.0),
            block_spread: plan.block_spread,
            effect: plan.effect_sigma,
            share_of_true: plan.share_of_true,
            cases,
            case_unit: (2.0 * CASE_VARIANCE / f64::from(REPEATS) / f64::from(plan.cases.max(1)))
                .sqrt(),
            neighbour: 0.0,
            burst: false,
            champion: 0.0,
            kept: Vec::new(),
            proposed: 0.0,
            gained: 0.0,
            covered: false,
        }
    }

    /// One unit of effect in the metric's own units.
    pub(crate) fn unit(&self) -> f64 {
        match self.kind {
            Kind::Score => 1.0,
            Kind::Timing => self.block_spread,
            Kind::Cases => self.case_unit,
        }
    }

    fn noise(&mut self) -> f64 {
        match self.shape {
            Shape::Normal => self.random.normal(),
            Shape::Student3 => self.random.student3(),
            Shape::Drift => {
                let stay: f64 = if self.burst { 0.1 } else { 0.025 };
                if self.random.uniform() <= stay {
                    self.burst = !self.burst;
                }
                self.neighbour = 0.3 * self.neighbour + 0.91_f64.sqrt() * self.random.normal();
                // Four readings in five calm, one at twice their spread: variance 1 in all.
                let calm = 1.6_f64.sqrt().recip();
                self.neighbour * if self.burst { 2.0 * calm } else { calm }
            }
        }
    }

    /// A run of something that is better than the track's beginning by `worth`.
    fn reading(&mut self, worth: f64, over_champion: f64) -> Reading {
        match self.kind {
            Kind::Score => {
                let common = self.noise() * self.shared.sqrt();
                let own = (1.0 - self.shared).sqrt();
                Reading::Score {
                    public: SCORE - worth + common + own * self.noise(),
                    hidden: Some(SCORE - worth + common + own * self.noise()),
                }
            }
            Kind::Timing => Reading::Block {
                log_ratio: self.block_spread * (over_champion + self.noise()),
            },
            Kind::Cases => {
                let shift = worth * self.case_unit;
                let mut errors: Vec<f64> = Vec::with_capacity(self.cases.len());
                for chance in &self.cases {
                    let wrong = (0..REPEATS)
                        .filter(|_| chance + shift <= self.random.uniform())
                        .count();
                    errors.push(wrong as f64 / f64::from(REPEATS));
                }
                let hidden = errors.split_off(errors.len() / 2);
                Reading::Cases {
                    public: errors,
                    hidden,
                }
            }
        }
    }

    pub(crate) fn champion(&mut self) -> Reading {
        self.reading(self.champion, 0.0)
    }

    /// A run of the tip with a candidate of that effect on it.
    pub(crate) fn tip(&mut self, effect: f64) -> Reading {
        let over = self.kept.iter().sum::<f64>() + effect;
        self.reading(self.champion + over, over)
    }

    /// The true effect of a new candidate.
    pub(crate) fn propose(&mut self) -> f64 {
        let improves = self.random.uniform() <= self.share_of_true;
        self.proposed = if improves { self.effect } else { 0.0 };
        self.proposed
    }

    pub(crate) fn keep(&mut self) {
        self.kept.push(self.proposed);
    }

    pub(crate) fn drop_tip(&mut self) {
        self.kept.clear();
    }

    pub(crate) fn merge(&mut self) -> Merged {
        let gained: f64 = self.kept.iter().sum();
        self.gained = self.shown(self.champion + gained) - self.shown(self.champion);
        self.champion += gained;
        let improvements = self.kept.iter().filter(|effect| 0.0 < **effect).count() as u32;
        self.kept.clear();
        Merged {
            gain: self.gained,
            improvements,
        }
    }

    /// What `worth` is worth on the hidden cases: a case cannot be more than always right.
    fn shown(&self, worth: f64) -> f64 {
        if self.kind != Kind::Cases {
            return worth;
        }
        let hidden = &self.cases[self.cases.len() / 2..];
        let right = |chance: &f64| (chance + worth * self.case_unit).min(1.0);
        hidden.iter().map(right).sum::<f64>() / hidden.len().max(1) as f64 / self.case_unit
    }

    pub(crate) fn last_gain(&self) -> f64 {
        self.gained
    }

    /// The naive loop's score of the champion plus `effect`, in standard deviations: one run, lower is better.
    pub(crate) fn naive_score(&mut self, effect: f64) -> f64 {
        -self.champion - effect + self.noise()
    }
}
