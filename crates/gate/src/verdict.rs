//! What the three kinds of statistics answer to the gate, in one vocabulary.

use crate::decision::{Loss, Proof, Refusal};

/// The normal quantile of a power of 80%.
pub(crate) const POWER_80: f64 = 0.8416;
/// Below this an estimate promises nothing worth naming a number of runs for.
const NOTHING: f64 = 0.1;
/// Odds beyond this are not told apart.
const LN_ODDS_MOST: f64 = 1e6;

/// What one reading says about a candidate.
pub(crate) enum Screened {
    /// Promising; `by` in sigma.
    Keep {
        by: f64,
        strong: bool,
    },
    Refuse(Refusal),
}

/// What a race says with what it has.
pub(crate) enum Step {
    More,
    Won,
    Lost(Loss),
}

/// Why a race that was not won is lost: nothing there, or too little for its runs. `per_effect` times 1 / effect^2 runs would do.
pub(crate) fn not_shown(effect_in_sigma: f64, per_effect: f64) -> Loss {
    if NOTHING <= effect_in_sigma {
        Loss::NotResolvable {
            effect_in_sigma,
            runs_needed: (per_effect / effect_in_sigma.powi(2)).ceil() as u64,
        }
    } else {
        Loss::NotBetter { effect_in_sigma }
    }
}

impl Proof {
    pub(crate) fn odds(ln_e: f64, level: f64) -> Self {
        Self::Odds {
            ln_e: ln_e.clamp(-LN_ODDS_MOST, LN_ODDS_MOST),
            ln_needed: (1.0 / level).ln(),
        }
    }
}
