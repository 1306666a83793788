//! Each part: its own ceiling, what holds it down, and what its threads did alone and in the step.

use super::{Readings, compute_ms, figure, levels::limit, ms_at, summed, typical};
use crate::{
    LensError,
    report::{Activity, Bound, Ceilings, Part, StepActivity, quiet},
    waterfall::{PartPlan, Plan},
};

pub(super) fn parts(
    plan: &Plan,
    readings: &Readings,
    ceilings: &Ceilings,
) -> Result<Vec<Part>, LensError> {
    let column = |passes: &[Vec<Activity>], part: usize| -> Vec<Activity> {
        passes
            .iter()
            .filter_map(|pass| pass.get(part).copied())
            .collect()
    };
    let mut parts = Vec::with_capacity(plan.parts.len());
    for (index, planned) in plan.parts.iter().enumerate() {
        let (alone, in_step) = (
            column(&readings.alone, index),
            column(&readings.in_step, index),
        );
        let warm = column(&readings.warm, index);
        parts.push(part(planned, plan, [&alone, &warm, &in_step], ceilings)?);
    }
    let all = sum(&parts, |p| &p.in_step).wall_ms();
    for part in &mut parts {
        part.share = if all > 0.0 {
            part.in_step.wall_ms() / all
        } else {
            0.0
        };
    }
    Ok(parts)
}

fn part(
    planned: &PartPlan,
    plan: &Plan,
    [alone, warm, in_step]: [&[Activity]; 3],
    ceilings: &Ceilings,
) -> Result<Part, LensError> {
    let walls =
        |passes: &[Activity]| figure("a part", passes.iter().map(Activity::wall_ms).collect());
    let (alone_ms, in_step_ms) = (walls(alone)?, walls(in_step)?);
    let warm_ms = if warm.is_empty() || planned.warm.is_empty() {
        None
    } else {
        Some(walls(warm)?)
    };
    let demand = &planned.demand;
    let memory = ms_at(demand.streamed_bytes, ceilings.stream_gb_s)
        + ms_at(demand.activation_bytes, ceilings.cache_gb_s);
    let compute = compute_ms(&demand.work, ceilings);
    let (ceiling_ms, mut bound) = limit(memory, compute);
    let barriers = (planned.nodes.len() * plan.chunks.len()) as f64 / plan.tokens as f64;
    if ms_at(barriers * ceilings.barrier_ns, 1.0) > ceiling_ms {
        bound = Bound::Overhead;
    }
    let time_ms = alone_ms.typical;
    let per_s = |amount: f64| {
        if time_ms > 0.0 {
            amount / time_ms / 1e6
        } else {
            0.0
        }
    };
    Ok(Part {
        name: planned.name.into(),
        nodes: planned.nodes.len(),
        streamed_bytes: demand.streamed_bytes,
        activation_bytes: demand.activation_bytes,
        work: demand.work,
        ceiling_ms,
        bound,
        alone: typical_activity(alone),
        in_step: typical_activity(in_step),
        share: 0.0,
        gb_s: per_s(demand.streamed_bytes + demand.activation_bytes),
        gop_s: per_s(demand.work.ops()),
        roofline_share: if time_ms > 0.0 {
            ceiling_ms / time_ms
        } else {
            0.0
        },
        alone_ms,
        warm_ms,
        in_step_ms,
    })
}

/// The mean over the passes whose wall times make the part's typical one, so that its three shares add up to it.
fn typical_activity(passes: &[Activity]) -> Activity {
    let mut sorted = passes.to_vec();
    sorted.sort_by(|a, b| a.wall_ms().total_cmp(&b.wall_ms()));
    let chosen = &sorted[quiet(sorted.len())];
    let share = 1.0 / chosen.len().max(1) as f64;
    chosen
        .iter()
        .fold(Activity::default(), |all, one| all.plus(one.times(share)))
}

pub(super) fn step_activity(
    readings: &Readings,
    parts: &[Part],
) -> Result<StepActivity, LensError> {
    let nodes = sum(parts, |p| &p.in_step);
    let step = summed("the whole step", &readings.step_ms)?.typical;
    let traced = summed("the traced step", &readings.traced_ms)?.typical;
    let fork_join_ms = typical(readings.fork_join_ms.clone())?;
    Ok(StepActivity {
        nodes,
        fork_join_ms,
        interruptions_ms: traced - nodes.wall_ms() - fork_join_ms,
        tracer_factor: if step > 0.0 { traced / step } else { 1.0 },
    })
}

pub(super) fn sum(parts: &[Part], of: fn(&Part) -> &Activity) -> Activity {
    parts
        .iter()
        .map(of)
        .fold(Activity::default(), |all, one| all.plus(*one))
}
