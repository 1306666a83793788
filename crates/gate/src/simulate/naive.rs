//! The rule of published loops: a new best score is a merge, and becomes the record.

use super::world::World;
use super::{Plan, Tally};

pub(crate) fn track(plan: &Plan, mut world: World) -> Tally {
    let mut tally = Tally {
        readings: 1,
        ..Tally::default()
    };
    let mut best = world.naive_score(0.0);
    for _ in 0..plan.experiments {
        let effect = world.propose();
        tally.experiments += 1;
        tally.readings += 1;
        tally.true_proposed += u32::from(0.0 < effect);
        let start = world.naive_score(effect);
        if start < best {
            tally.gain_errors.push(best - start - effect);
            best = start;
            world.keep();
            let merged = world.merge();
            tally.merges += 1;
            tally.true_merged += merged.improvements;
            tally.false_merges += u32::from(merged.gain <= 0.0);
        }
    }
    tally
}
