//! The sums: from readings to levels, losses and causes. Plain arithmetic, no clocks.
//!
//! 1. *Presented* and *measured silicon*: the longer of bytes over bandwidth and operations over peak, for the whole step.
//! 2. *Kernels alone*: the sum over parts. Its fall is split into what the parts' own ceilings add up to beyond the whole step's (parts
//!    run one after another, and activations move too), each part's busy time above its own ceiling, uneven shares and barriers.
//! 3. *Whole step*: each part's busy time in the step against alone, uneven shares, barriers, the
//!    fork-join of the step, and interruptions.
//! 4. *User*: tokenising, sampling, text, and the model's part as the generation sees it against the step alone.
//!
//! A cause is what one instrument read, or the difference of what the same instrument read on both levels; it is never what
//! is left over. That is `unexplained_ms`.

mod causes;
mod levels;
mod parts;
#[cfg(test)]
pub(crate) mod tests;

use silicon::spec::Spec;

use crate::{
    LensError,
    numbers::significant,
    report::{Activity, Bound, Ceilings, Figure, Layer, Waterfall, Work},
    waterfall::{Plan, UserReading},
};
use causes::Sides;
pub(crate) use levels::limit;
use levels::{presented_level, silicon_level, step_how, timed, user_level};
use parts::{parts, step_activity};

/// What was read of one regime; one entry per pass, in milliseconds per token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    /// By pass, then by chunk.
    pub step_ms: Vec<Vec<f64>>,
    /// By pass, then by chunk.
    pub traced_ms: Vec<Vec<f64>>,
    pub fork_join_ms: Vec<f64>,
    /// By pass, then by part.
    pub in_step: Vec<Vec<Activity>>,
    /// By pass, then by part.
    pub alone: Vec<Vec<Activity>>,
    /// By pass, then by part; of fewer passes.
    pub warm: Vec<Vec<Activity>>,
    /// `None` where nobody generates: then there is no such level.
    pub user: Option<Vec<UserReading>>,
}

/// Which 8-bit claim to hold the regime against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Int8Unit {
    Vector,
    Matrix,
}

/// The whole waterfall of a regime.
pub(crate) fn waterfall(
    plan: &Plan,
    readings: &Readings,
    ceilings: Ceilings,
    spec: &Spec,
    unit: Int8Unit,
) -> Result<Waterfall, LensError> {
    let parts = parts(plan, readings, &ceilings)?;
    let step = step_activity(readings, &parts)?;
    let silicon = silicon_level(&plan.demand, &ceilings);
    let bound = silicon.bound;
    let mut levels = vec![presented_level(&plan.demand, spec, unit, bound), silicon];
    let how = "each part over all its layers in turn, in the program's order, so that weights stream as in a step; traced";
    // By part and by chunk: the shorter what is timed, the more of its readings are undisturbed.
    let alone = summed("the kernels alone", &walls(&readings.alone))?;
    levels.push(timed(Layer::Kernels, alone, how.to_owned()));
    levels.push(timed(
        Layer::Step,
        summed("the whole step", &readings.step_ms)?,
        step_how(plan),
    ));
    if let Some(user) = &readings.user {
        levels.push(user_level(plan, user)?);
    }
    let sides = Sides {
        plan,
        readings,
        parts: &parts,
        step: &step,
        spec,
        unit,
    };
    for index in 1..levels.len() {
        levels[index].loss = sides.loss(index, &levels)?;
    }
    let mut waterfall = Waterfall {
        regime: plan.regime,
        tokens: plan.tokens,
        chunk: plan.chunk(),
        chunks: plan.chunks.len(),
        depth: plan.depth,
        demand: plan.demand,
        ceilings,
        levels,
        parts,
        step,
        verdict: String::new(),
    };
    waterfall.verdict = verdict(&waterfall);
    Ok(waterfall)
}

pub(crate) fn figure(what: &'static str, samples: Vec<f64>) -> Result<Figure, LensError> {
    Figure::new(samples).map_err(|source| LensError::Samples { what, source })
}

fn walls(passes: &[Vec<Activity>]) -> Vec<Vec<f64>> {
    passes
        .iter()
        .map(|pass| pass.iter().map(Activity::wall_ms).collect())
        .collect()
}

/// Of passes over several pieces: typical is the sum of the pieces' typical times, all else is of whole passes.
fn summed(what: &'static str, passes: &[Vec<f64>]) -> Result<Figure, LensError> {
    let whole = figure(what, passes.iter().map(|pass| pass.iter().sum()).collect())?;
    let mut typical = 0.0;
    for piece in 0..passes.first().map_or(0, Vec::len) {
        let samples = passes.iter().filter_map(|pass| pass.get(piece).copied());
        typical += figure(what, samples.collect())?.typical;
    }
    Ok(Figure { typical, ..whole })
}

fn typical(samples: Vec<f64>) -> Result<f64, LensError> {
    figure("a cause", samples).map(|f| f.typical)
}

/// Milliseconds for an amount at 10^9 per second.
pub(crate) fn ms_at(amount: f64, giga_per_s: f64) -> f64 {
    amount / giga_per_s / 1e6
}

pub(crate) fn compute_ms(work: &Work, ceilings: &Ceilings) -> f64 {
    // A peak that was not measured is no faster than f32's.
    let f32 = ceilings.f32_gflop_s;
    ms_at(work.int8_ops, ceilings.int8_gop_s)
        + ms_at(work.int16_ops, ceilings.int16_gop_s.unwrap_or(f32))
        + ms_at(work.bf16_flops, ceilings.bf16_gflop_s.unwrap_or(f32))
        + ms_at(work.f32_flops, f32)
}

/// The share of what the silicon allows, the largest loss on the way, and the command that attacks it where there is one.
fn verdict(waterfall: &Waterfall) -> String {
    let at = |layer| {
        waterfall
            .levels
            .iter()
            .find(|l| l.layer == layer)
            .and_then(|l| Some((l, l.ms_per_token.value()?)))
    };
    let name = waterfall.regime.name();
    let reached = at(Layer::User).or_else(|| at(Layer::Step));
    let (Some((silicon, ceiling)), Some((level, ms))) = (at(Layer::Silicon), reached) else {
        return format!("{name}: not enough is known for a verdict");
    };
    let what = match silicon.bound {
        Some(Bound::Compute) => "arithmetic",
        _ => "memory",
    };
    let whose = if level.layer == Layer::User {
        "as the user sees it"
    } else {
        "in the whole step"
    };
    let mut text = format!(
        "{name} {whose} reaches {:.0}% of what this machine's {what} allows ({} of {} tokens/s)",
        100.0 * ceiling / ms,
        significant(1e3 / ms),
        significant(1e3 / ceiling),
    );
    let losses = waterfall
        .levels
        .iter()
        .filter(|l| l.layer > Layer::Silicon)
        .filter_map(|l| Some((l.layer, l.loss.as_ref()?)));
    let largest = losses
        .flat_map(|(layer, loss)| loss.causes.iter().map(move |cause| (layer, cause)))
        .max_by(|(_, a), (_, b)| a.ms.total_cmp(&b.ms))
        .filter(|(_, cause)| cause.ms > 0.0);
    if let Some((layer, cause)) = largest {
        text += &format!(
            "; the largest loss is {} ms per token: {}",
            significant(cause.ms),
            cause.name
        );
        // Threads, tiles, streams and barriers are what the profile chooses; what the user waits for besides is not.
        if layer < Layer::User {
            text += " (sprag ratchet run stack looks for a runtime profile that loses less)";
        }
    }
    text[..1].to_uppercase() + &text[1..] + "."
}
