//! What the machine takes while nothing of ours runs, to tell the energy of the work from that of being switched on.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Scope, Sources, Tally, Used};
use crate::Fact;

/// Sensors change at most this often.
const INTERVAL: Duration = Duration::from_millis(200);

/// Idle power of every scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Time that was measured.
    pub elapsed_s: f64,
    /// In the order of the sources.
    pub powers: Vec<IdlePower>,
}

/// Idle power of one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdlePower {
    /// What it covers.
    pub scope: Scope,
    /// Watts, or why they are not known.
    pub power_w: Fact<f64>,
}

impl Idle {
    /// Sleeps for `duration` and reads every 200 ms. Other programs' work counts as idle.
    #[must_use]
    pub fn measure(sources: &Sources, duration: Duration) -> Self {
        let began = Instant::now();
        let mut tally = Tally::start(sources);
        while !sources.is_empty() {
            let left = duration.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(INTERVAL));
            tally.tick(sources);
        }
        Self::of(tally.used())
    }

    /// From what was used while nothing ran.
    #[must_use]
    pub fn of(used: &[Used]) -> Self {
        let power = |used: &Used| match (&used.energy_j, used.power_w()) {
            (Fact::Known { source, .. }, Some(power_w)) => Fact::known(power_w, source.clone()),
            (Fact::Unknown { reason }, _) => Fact::unknown(reason.clone()),
            (Fact::Known { .. }, None) => Fact::unknown("no time passed between the readings"),
        };
        let powers = used.iter().map(|used| IdlePower {
            scope: used.scope.clone(),
            power_w: power(used),
        });
        Self {
            elapsed_s: used.first().map_or(0.0, |used| used.elapsed_s),
            powers: powers.collect(),
        }
    }

    /// Joules beyond what the scope would have taken idle. Below zero where the machine was less busy than when it was idle.
    #[must_use]
    pub fn net_j(&self, used: &Used) -> Fact<f64> {
        let Some(idle) = self.powers.iter().find(|idle| idle.scope == used.scope) else {
            return Fact::unknown(format!(
                "the idle power of {} was not measured",
                used.scope.name
            ));
        };
        match (&used.energy_j, &idle.power_w) {
            (Fact::Known { value, .. }, Fact::Known { value: idle_w, .. }) => Fact::known(
                value - idle_w * used.elapsed_s,
                format!(
                    "{value:.3} J less {idle_w:.3} W idle over {:.3} s",
                    used.elapsed_s
                ),
            ),
            (Fact::Unknown { reason }, _) | (_, Fact::Unknown { reason }) => {
                Fact::unknown(reason.clone())
            }
        }
    }
}
