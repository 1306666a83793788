//! The causes of each fall, each from its own instrument.

use silicon::spec::Spec;

use super::{Int8Unit, Readings, parts::sum, typical};
use crate::{
    LensError,
    report::{Bound, Cause, Layer, Level, Loss, Part, StepActivity},
    waterfall::{Plan, UserReading},
};

/// Causes below this share of the step are summed up.
const SMALL_SHARE: f64 = 0.005;

/// Name, milliseconds per token, instrument.
type Causes = Vec<(String, f64, &'static str)>;

/// What was read on both sides of a boundary.
pub(super) struct Sides<'a> {
    pub plan: &'a Plan,
    pub readings: &'a Readings,
    pub parts: &'a [Part],
    pub step: &'a StepActivity,
    pub spec: &'a Spec,
    pub unit: Int8Unit,
}

impl Sides<'_> {
    /// The fall to level `index` from the nearest known one before it.
    pub fn loss(&self, index: usize, levels: &[Level]) -> Result<Option<Loss>, LensError> {
        let level = &levels[index];
        let before = levels[..index]
            .iter()
            .rev()
            .find_map(|l| Some((l.layer, l.ms_per_token.value()?)));
        let (Some(ms), Some((from, from_ms))) = (level.ms_per_token.value(), before) else {
            return Ok(None);
        };
        let causes = match level.layer {
            Layer::Presented => Vec::new(),
            Layer::Silicon => silicon_causes(&levels[0], level, self),
            Layer::Kernels => kernel_causes(ms, from_ms, self.parts),
            Layer::Step => step_causes(ms, self.parts, self.step),
            Layer::User => user_causes(self.readings, levels)?,
        };
        Ok(Some(finish(from, from_ms, ms, causes)))
    }
}

fn finish(from: Layer, from_ms: f64, ms: f64, causes: Vec<(String, f64, &'static str)>) -> Loss {
    let ratio = |x: f64| if from_ms > 0.0 { x / from_ms } else { 1.0 };
    let explained: f64 = causes.iter().map(|c| c.1).sum();
    let mut causes: Vec<Cause> = causes
        .into_iter()
        .map(|(name, ms, instrument)| Cause {
            name,
            ms,
            factor: ratio(from_ms + ms),
            instrument: instrument.into(),
        })
        .collect();
    causes.sort_by(|a, b| b.ms.abs().total_cmp(&a.ms.abs()));
    Loss {
        from,
        ms: ms - from_ms,
        factor: ratio(ms),
        causes,
        unexplained_ms: ms - from_ms - explained,
    }
}

fn silicon_causes(presented: &Level, silicon: &Level, sides: &Sides<'_>) -> Causes {
    let (Some(before), Some(after)) =
        (presented.ms_per_token.value(), silicon.ms_per_token.value())
    else {
        return Vec::new();
    };
    let direction = if after < before { "more" } else { "less" };
    match (presented.bound, silicon.bound) {
        (Some(Bound::Bandwidth), Some(Bound::Bandwidth)) => {
            let claim = sides.spec.memory_gb_s.value().unwrap_or(0.0);
            let measured = sides.plan.demand.streamed_bytes / after / 1e6;
            let name = format!(
                "memory gives {direction} than presented: {measured:.1} of {claim:.1} GB/s"
            );
            vec![(
                name,
                after - before,
                "reads of a working set of the step's size",
            )]
        }
        (Some(Bound::Compute), Some(Bound::Compute)) => {
            let unit = if sides.unit == Int8Unit::Matrix {
                "matrix units"
            } else {
                "vector units"
            };
            let name = format!("the {unit} give {direction} than presented");
            vec![(name, after - before, "multiply-adds on registers")]
        }
        _ => Vec::new(),
    }
}

fn kernel_causes(ms: f64, silicon_ms: f64, parts: &[Part]) -> Causes {
    let ceilings: f64 = parts.iter().map(|p| p.ceiling_ms).sum();
    let mut causes = vec![(
        "parts run one after another, and activations move too".to_owned(),
        ceilings - silicon_ms,
        "the parts' own ceilings, summed",
    )];
    let above = parts.iter().map(|p| (p, p.alone.busy_ms - p.ceiling_ms));
    let name = |p: &Part| {
        let share = if p.alone.busy_ms > 0.0 {
            p.ceiling_ms / p.alone.busy_ms * 100.0
        } else {
            0.0
        };
        format!("{} kernel at {share:.0}% of its own ceiling", p.name)
    };
    gather(
        &mut causes,
        ms,
        above,
        name,
        "the small parts' kernels, together",
        "tracer, alone: busy time against the roofline",
    );
    let alone = sum(parts, |p| &p.alone);
    causes.push((
        "uneven shares of the threads".into(),
        alone.uneven_ms,
        "tracer, alone: end to the last thread's end",
    ));
    causes.push((
        "barriers".into(),
        alone.barrier_ms,
        "tracer, alone: last end to the next start",
    ));
    causes
}

fn step_causes(ms: f64, parts: &[Part], step: &StepActivity) -> Causes {
    let mut causes = Vec::new();
    let change = parts
        .iter()
        .map(|p| (p, p.in_step.busy_ms - p.alone.busy_ms));
    let name = |p: &Part| {
        let word = if p.in_step.busy_ms > p.alone.busy_ms {
            "slower"
        } else {
            "faster"
        };
        format!("{} kernel {word} in the step than alone", p.name)
    };
    gather(
        &mut causes,
        ms,
        change,
        name,
        "the small parts' kernels in the step, together",
        "tracer, step against alone: busy time",
    );
    let alone = sum(parts, |p| &p.alone);
    let nodes = &step.nodes;
    causes.push((
        "more uneven shares".into(),
        nodes.uneven_ms - alone.uneven_ms,
        "tracer, step against alone",
    ));
    causes.push((
        "barriers".into(),
        nodes.barrier_ms - alone.barrier_ms,
        "tracer, step against alone",
    ));
    causes.push((
        "fork-join and checks of the step".into(),
        step.fork_join_ms,
        "tracer and clock: the call less its nodes",
    ));
    causes.push((
        "interruptions that a whole step meets and a part mostly escapes".into(),
        step.interruptions_ms,
        "tracer: typical whole steps against their parts' typical times",
    ));
    causes
}

fn gather<'p>(
    causes: &mut Causes,
    level_ms: f64,
    parts: impl Iterator<Item = (&'p Part, f64)>,
    name: impl Fn(&Part) -> String,
    rest: &str,
    instrument: &'static str,
) {
    let mut small = 0.0;
    for (part, ms) in parts {
        if ms.abs() >= SMALL_SHARE * level_ms {
            causes.push((name(part), ms, instrument));
        } else {
            small += ms;
        }
    }
    causes.push((rest.to_owned(), small, instrument));
}

fn user_causes(readings: &Readings, levels: &[Level]) -> Result<Causes, LensError> {
    let of = |field: fn(&UserReading) -> f64| {
        typical(readings.user.iter().flatten().map(field).collect())
    };
    let step = levels
        .iter()
        .find(|l| l.layer == Layer::Step)
        .and_then(|l| l.ms_per_token.value());
    let model = of(|u| u.model_ms)?;
    let mut causes = vec![
        (
            "tokenise".to_owned(),
            of(|u| u.tokenise_ms)?,
            "clock around the tokenizer",
        ),
        (
            "sample".to_owned(),
            of(|u| u.sample_ms)?,
            "the runtime's own clock",
        ),
        (
            "detokenise".to_owned(),
            of(|u| u.text_ms)?,
            "the runtime's own clock",
        ),
    ];
    causes.retain(|c| c.1 > 0.0);
    if let Some(step) = step {
        causes.push((
            "the model in generation against the step alone".into(),
            model - step,
            "the runtime's own clock",
        ));
    }
    Ok(causes)
}
