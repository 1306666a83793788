//! A run of minutes, second by second, and its energy, as data.

use serde::{Deserialize, Serialize};
use silicon::{
    Fact,
    energy::{Idle, Scope, Totals, Unreadable},
};

/// One second or so of a sustained run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the run began, at this second's end.
    pub at_s: f64,
    /// Tokens decoded in it.
    pub tokens: usize,
    /// Their number over the time that the steps took; reading the sensors is not counted.
    pub tokens_per_s: f64,
    /// Clock of the calling thread's core, measured at its end.
    pub clock_ghz: Option<f64>,
    /// The hottest sensor.
    pub celsius: Option<f64>,
    /// Mean power of the parts that have a source: packages, memory, graphics cards.
    pub power_w: Option<f64>,
}

/// Energy of one scope over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnergyUse {
    /// What it covers, and how it counts.
    pub scope: Scope,
    /// All of it.
    pub gross_j: Fact<f64>,
    /// Beyond what the machine takes idle.
    pub net_j: Fact<f64>,
}

/// What decoding took from the socket or the battery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Tokens decoded meanwhile.
    pub tokens: usize,
    /// Seconds.
    pub elapsed_s: f64,
    /// What the machine took before, with nothing running.
    pub idle: Option<Idle>,
    /// By source; scopes may contain each other.
    pub used: Vec<EnergyUse>,
    /// Sums of scopes that do not contain each other.
    pub totals: Totals,
    /// What cannot be read, with the remedy.
    pub unreadable: Vec<Unreadable>,
}

/// Decoding at one depth for minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sustained {
    /// Seconds asked for.
    pub asked_s: f64,
    /// Seconds that it ran: fewer where it was interrupted.
    pub elapsed_s: f64,
    /// Tokens in the context.
    pub depth: usize,
    /// In order.
    pub seconds: Vec<Second>,
    /// Tokens per second of the best ten seconds in a row.
    pub best_tokens_per_s: f64,
    /// Seconds of that stretch: ten, or the whole of a shorter run.
    pub best_s: f64,
    /// Tokens per second of the last stretch.
    pub last_tokens_per_s: f64,
    /// Seconds of that stretch: a minute, or half of a run of less than two.
    pub last_s: f64,
    /// How often cores and packages were throttled meanwhile, the largest count of any.
    pub throttled: Fact<u64>,
    /// What could not be sensed, with the reason.
    pub unknown: Vec<String>,
    /// What it took.
    pub energy: Energy,
}
