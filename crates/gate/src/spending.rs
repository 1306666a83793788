//! How much error a race may make, and what is left for later races: e-LOND.
//!
//! A track runs races for as long as it lives, and each of them can be won by luck. Race k is won at evidence 1 / alpha_k with
//!
//!   alpha_k = q gamma_k (R + 1)
//!
//! where R counts the merges before it and the gammas sum to at most 1. If each evidence is an e-value, the false discovery rate
//! is at most q under any dependence between the races, which matters because races share a champion's pool
//! (Xu and Ramdas, "Online multiple testing with e-values", 2024, theorem 1).
//!
//! Gamma is spent in epochs of H races: gamma_k = w_e / H with w_e = 6 / (pi e)^2 in epoch e, which sums to 1 over all epochs. A
//! track that is declared to end with its first epoch may spend w_1 = 1.
//!
//! Invariant: a level is spent when its race opens, whatever becomes of the race; nothing here gives a level back.

use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// What has been spent, and what the next race would get.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Races opened.
    pub races: u64,
    /// Races won.
    pub merges: u64,
    /// Sum of the levels of all races opened.
    pub alpha: f64,
    /// Level of the next race; `None` where the track has ended with its first epoch.
    pub next_level: Option<f64>,
}

/// The account, a fold over the races.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spending {
    q: f64,
    epoch_races: u64,
    single_epoch: bool,
    races: u64,
    merges: u64,
    alpha: f64,
}

impl Spending {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            q: settings.q,
            epoch_races: u64::from(settings.epoch_races.max(1)),
            single_epoch: settings.ends_with_first_epoch,
            races: 0,
            merges: 0,
            alpha: 0.0,
        }
    }

    /// Whether nothing may be raced any more.
    pub(crate) fn ended(&self) -> bool {
        self.single_epoch && self.epoch_races <= self.races
    }

    /// alpha_k of the race that would open now; 0 after the end.
    pub(crate) fn next_level(&self) -> f64 {
        if self.ended() {
            return 0.0;
        }
        let epoch = (self.races / self.epoch_races + 1) as f64;
        let share = if self.single_epoch {
            1.0
        } else {
            6.0 / (std::f64::consts::PI * epoch).powi(2)
        };
        self.q * share / self.epoch_races as f64 * (self.merges + 1) as f64
    }

    /// Spends the next level. Its race's number and the level.
    pub(crate) fn open(&mut self) -> (u64, f64) {
        let level = self.next_level();
        self.races += 1;
        self.alpha += level;
        (self.races, level)
    }

    pub(crate) fn won(&mut self) {
        self.merges += 1;
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent {
            races: self.races,
            merges: self.merges,
            alpha: self.alpha,
            next_level: (!self.ended()).then(|| self.next_level()),
        }
    }
}

#[cfg(test)]
mod tests;
