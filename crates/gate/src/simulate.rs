//! What the gate's rules do, told by simulation: many tracks of many experiments whose truth is known.
//!
//! 1. A world knows what each candidate is truly worth: most do nothing, a share of them is better by `effect_sigma`.
//! 2. The engine's loop drives the real [`Gate`] by its public interface: ask, measure (draw), apply.
//! 3. The same proposals are judged by the naive rule of published loops: "a new best score is a merge".
//! 4. A merge is false where the merged unit is truly no better than the champion.
//!
//! The unit of cost is a run (for timing a block), whatever it was made for: baselines, pools, A/A blocks and races count.
//! The same plan gives the same table: the generator is seeded.

mod naive;
mod table;
mod world;

use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::event::{Event, Want};
use crate::gate::Gate;
use crate::settings::{Better, Kind, Settings, SettingsError};

pub use table::{Row, Table};
use world::World;

/// The shape of the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Normal and independent.
    Normal,
    /// Student's t with 3 degrees of freedom: now and then a run far off.
    Student3,
    /// Neighbours in time are alike (correlation 0.3), and one reading in five lies in a burst of twice the spread.
    Drift,
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The gate's settings, its kind among them.
    pub settings: Settings,
    /// Tracks.
    pub runs: u32,
    /// Candidates per track.
    pub experiments: u32,
    /// What a true improvement is worth, in standard deviations of one reading (for cases: standard errors of the difference of
    /// two readings of all hidden cases).
    pub effect_sigma: f64,
    /// Share of the candidates that are true improvements.
    pub share_of_true: f64,
    /// Shape of the noise.
    pub noise: Shape,
    /// Part of a run's variance that its public and its hidden score have in common (the seed is the same).
    pub shared: f64,
    /// Standard deviation of one block's log-ratio, for timing.
    pub block_spread: f64,
    /// Hidden cases, and as many public ones, each run three times.
    pub cases: u32,
    /// Seed of everything.
    pub seed: u64,
}

impl Plan {
    /// 200 tracks of 100 candidates that do nothing (A/A), under the default settings of a kind.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        Self {
            settings: Settings::of(kind, Better::Lower),
            runs: 200,
            experiments: 100,
            effect_sigma: 0.0,
            share_of_true: 0.1,
            noise: Shape::Normal,
            shared: 0.5,
            block_spread: 0.03,
            cases: 200,
            seed: 1,
        }
    }

    /// Simulates both rules.
    ///
    /// # Errors
    /// [`SettingsError`] where the settings are none.
    pub fn simulate(&self) -> Result<Table, SettingsError> {
        let (mut naive, mut ours) = (Vec::new(), Vec::new());
        for run in 0..self.runs {
            let seed = self
                .seed
                .wrapping_mul(0x9e37_79b9)
                .wrapping_add(u64::from(run))
                << 20;
            naive.push(naive::track(self, World::new(self, seed)));
            ours.push(track(self, World::new(self, seed))?);
        }
        Ok(Table {
            plan: self.clone(),
            naive: Row::of(&naive),
            ours: Row::of(&ours),
        })
    }
}

/// What one track came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) experiments: u32,
    pub(crate) readings: u64,
    pub(crate) races: u32,
    pub(crate) merges: u32,
    pub(crate) false_merges: u32,
    pub(crate) true_proposed: u32,
    pub(crate) true_merged: u32,
    /// Estimated minus true gain, in standard deviations, of each merge whose gain was told.
    pub(crate) gain_errors: Vec<f64>,
    /// Whether the true gain lies in the interval told.
    pub(crate) gains_covered: u32,
}

/// One track under the real gate, driven as the engine does it.
fn track(plan: &Plan, mut world: World) -> Result<Tally, SettingsError> {
    let mut gate = Gate::new(plan.settings.clone())?;
    let mut tally = Tally::default();
    let step = |gate: &mut Gate, world: &mut World, tally: &mut Tally, event: Event| {
        // What was asked for is never out of turn; if it were, the track would stand still and its table show it.
        for decision in gate.apply(event).unwrap_or_default() {
            account(&decision, world, tally);
        }
    };
    step(&mut gate, &mut world, &mut tally, Event::Session);
    let most_readings = u64::from(plan.experiments) * 1000 + 1000;
    while tally.readings < most_readings {
        let event = match gate.next() {
            Want::End => break,
            Want::Proposal if plan.experiments <= tally.experiments => break,
            Want::Champion { .. } => Event::Champion(world.champion()),
            Want::Same => Event::Same(world.champion()),
            Want::Race { race, index } => Event::Race {
                race,
                index,
                reading: Some(world.tip(0.0)),
            },
            Want::Proposal => {
                let effect = world.propose();
                tally.experiments += 1;
                tally.true_proposed += u32::from(0.0 < effect);
                Event::Screen {
                    candidate: u64::from(tally.experiments),
                    reading: Some(world.tip(effect)),
                }
            }
        };
        tally.readings += 1;
        step(&mut gate, &mut world, &mut tally, event);
    }
    Ok(tally)
}

fn account(decision: &Decision, world: &mut World, tally: &mut Tally) {
    match decision {
        Decision::Kept { .. } => world.keep(),
        Decision::Refused { .. } => {}
        Decision::RaceOpened { .. } => tally.races += 1,
        Decision::RaceLost { .. } => world.drop_tip(),
        Decision::RaceWon { .. } => {
            let merged = world.merge();
            tally.merges += 1;
            tally.true_merged += merged.improvements;
            tally.false_merges += u32::from(merged.gain <= 0.0);
        }
        Decision::Gain {
            estimate,
            low,
            high,
            fresh_runs,
            ..
        } => {
            // The second, better estimate of the same merge replaces the first.
            let unit = world.unit();
            let truth = world.last_gain();
            if tally.gain_errors.len() as u32 == tally.merges {
                tally.gain_errors.pop();
                tally.gains_covered -= u32::from(world.covered);
            }
            world.covered = *low <= truth * unit && truth * unit <= *high && 0 < *fresh_runs;
            tally.gains_covered += u32::from(world.covered);
            tally.gain_errors.push(estimate / unit - truth);
        }
    }
}
