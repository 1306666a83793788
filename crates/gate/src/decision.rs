//! What the gate decides, with its evidence: written to the ledger and shown to people.
//!
//! Every number of a decision can be calculated again from the events before it. The words are in `words`.

use serde::{Deserialize, Serialize};

/// What an event led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A candidate stands on the tip, provisionally: not a merge.
    Kept {
        /// Which.
        candidate: u64,
        /// How much better than its reference, in (conservative) sigma of the public split.
        better_by_sigma: f64,
        /// Keeps that stand on the tip now.
        standing: u32,
    },
    /// A candidate is not kept.
    Refused {
        /// Which.
        candidate: u64,
        /// Why.
        why: Refusal,
    },
    /// The tip is raced against the champion.
    RaceOpened {
        /// Number of the race, from 1.
        race: u64,
        /// What is raced, oldest first.
        members: Vec<u64>,
        /// alpha_k: the race is won at evidence 1 / level.
        level: f64,
        /// Why now.
        why: Opening,
    },
    /// The tip is the champion.
    RaceWon {
        /// Number of the race.
        race: u64,
        /// What is merged, oldest first.
        members: Vec<u64>,
        /// On what.
        evidence: Evidence,
    },
    /// The tip is dropped; the champion stays.
    RaceLost {
        /// Number of the race.
        race: u64,
        /// What was raced.
        members: Vec<u64>,
        /// What was known at the end.
        evidence: Evidence,
        /// Why.
        why: Loss,
    },
    /// What a merge has really brought, by runs that had no part in the decision. Told when the new champion's pool may be used,
    /// and once more, better, when it is full.
    Gain {
        /// Which merge.
        of_race: u64,
        /// In the metric's own units (log-ratio for timing), above 0 where the new champion is better.
        estimate: f64,
        /// Lower end of the 95% interval.
        low: f64,
        /// Upper end of the 95% interval.
        high: f64,
        /// Fresh runs that it rests on.
        fresh_runs: u32,
    },
}

/// Why a candidate is not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No reading: a crash, a timeout, a broken constraint.
    NoReading,
    /// A reading that is not a finite number.
    NotFinite,
    /// One reading that is not promising enough.
    NotBetter {
        /// How much better than its reference, in sigma; below 0 it was worse.
        better_by_sigma: f64,
        /// What it takes to be kept.
        needed_sigma: f64,
    },
    /// Another number of cases than the champion's.
    OtherCases {
        /// Public and hidden cases of the champion.
        expected: (usize, usize),
        /// Those of the candidate.
        came: (usize, usize),
    },
    /// Kept at first, and found invalid later.
    Withdrawn {
        /// In the engine's words.
        why: String,
    },
    /// Built on a candidate that was withdrawn.
    BuiltOn {
        /// On which.
        candidate: u64,
    },
}

/// Why a race opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// Enough keeps stand.
    Unit,
    /// One reading was better by far.
    Strong,
    /// Nothing was kept for long.
    Patience,
}

/// Why a race is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// A run gave no reading: a crash is a loss.
    NoReading,
    /// A run gave a reading that is not a finite number.
    NotFinite,
    /// Another number of cases than the champion's.
    OtherCases,
    /// The fresh runs do not show what the screens had promised.
    NotBetter {
        /// Estimate of the race in sigma.
        effect_in_sigma: f64,
    },
    /// Perhaps better, and not to be told at this noise with the runs that a race may have.
    NotResolvable {
        /// Estimate of the race in sigma.
        effect_in_sigma: f64,
        /// Runs an arm that an effect of this size would need.
        runs_needed: u64,
    },
    /// Perhaps better, and not to be told with this many cases.
    TooFewCases {
        /// Mean difference of the race in its standard error over cases.
        effect_in_sigma: f64,
        /// Hidden cases that an effect of this size would need.
        cases_needed: u64,
    },
    /// Better, and not proven to be better by the least gain.
    BelowLeast {
        /// What the lower end had to reach.
        least: f64,
    },
    /// Won, and contradicted by the fresh blocks after it.
    NotConfirmed {
        /// Mean of the fresh blocks.
        fresh_mean: f64,
    },
    /// A member was found invalid during the race.
    Withdrawn,
}

/// What a race knew when it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Runs (blocks) of the race that were counted.
    pub runs: u32,
    /// Runs of the champion that they were compared with; 0 for timing, whose blocks hold both.
    pub champion_runs: u32,
    /// Difference of the means in the metric's own units (log-ratio for timing), above 0 where the tip is better. It decided the
    /// race, so after a win it is too good; `Gain` is the honest one.
    pub estimate: Option<f64>,
    /// The same in sigma.
    pub in_sigma: Option<f64>,
    /// Lower end of what the race allows (one-sided 95%), where the gate asks for it.
    pub low: Option<f64>,
    /// What was compared with the level.
    pub proof: Option<Proof>,
}

/// Evidence on its own scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// An e-value: betting odds against "no better".
    Odds {
        /// Its natural logarithm.
        ln_e: f64,
        /// ln(1 / level).
        ln_needed: f64,
    },
    /// A permutation test.
    Chance {
        /// Probability of such a difference without an effect.
        p: f64,
        /// The level.
        level: f64,
    },
}

impl Evidence {
    /// Nothing was measured.
    pub(crate) fn none() -> Self {
        Self {
            runs: 0,
            champion_runs: 0,
            estimate: None,
            in_sigma: None,
            low: None,
            proof: None,
        }
    }
}
