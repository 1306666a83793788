//! The levels: two that follow from ceilings, three that were timed.

use silicon::spec::{Claim, Spec};

use super::{Int8Unit, compute_ms, figure, ms_at};
use crate::{
    LensError,
    numbers::{amount, significant},
    report::{Bound, Ceilings, Demand, Figure, Layer, Level, Reading, Regime, Work},
    waterfall::{Plan, UserReading},
};

pub(super) fn timed(layer: Layer, figure: Figure, how: String) -> Level {
    let tokens_per_s = (figure.typical > 0.0).then(|| 1e3 / figure.typical);
    Level {
        layer,
        tokens_per_s,
        ms_per_token: Reading::Known { figure },
        bound: None,
        how,
        loss: None,
    }
}

pub(super) fn step_how(plan: &Plan) -> String {
    match plan.regime {
        Regime::Prefill => format!(
            "{} tokens in steps of {}, untraced",
            plan.tokens,
            plan.chunk()
        ),
        Regime::Decode if plan.sequences > 1 => format!(
            "one token of each of {} sequences, each behind {} others, untraced",
            plan.sequences, plan.depth
        ),
        Regime::Decode => format!("one token behind {} others, untraced", plan.depth),
    }
}

/// Which ceiling is the longer one.
pub(crate) fn limit(bandwidth_ms: f64, compute_ms: f64) -> (f64, Bound) {
    if compute_ms > bandwidth_ms {
        (compute_ms, Bound::Compute)
    } else {
        (bandwidth_ms, Bound::Bandwidth)
    }
}

pub(super) fn silicon_level(demand: &Demand, ceilings: &Ceilings) -> Level {
    let compute = compute_ms(&demand.work, ceilings);
    let (ms, bound) = limit(ms_at(demand.streamed_bytes, ceilings.stream_gb_s), compute);
    let how = match bound {
        Bound::Compute => format!(
            "{}; memory alone would take {} ms",
            work_how(&demand.work, ceilings),
            significant(ms_at(demand.streamed_bytes, ceilings.stream_gb_s)),
        ),
        _ => format!(
            "{} at {}, read from a working set of {}; arithmetic alone would take {} ms",
            amount(demand.streamed_bytes, "B"),
            amount(ceilings.stream_gb_s * 1e9, "B/s"),
            amount(ceilings.stream_bytes as f64, "B"),
            significant(compute),
        ),
    };
    // Of the bandwidth's readings only the ceiling counts; all of them stand beside it in the report.
    Level {
        bound: Some(bound),
        ..timed(Layer::Silicon, one(ms), how)
    }
}

/// Each kind of work with its ceiling.
fn work_how(work: &Work, ceilings: &Ceilings) -> String {
    let kinds = [
        (
            work.int8_ops,
            "OP",
            ceilings.int8_gop_s,
            &*ceilings.int8_instruction,
        ),
        (
            work.int16_ops,
            "OP",
            ceilings.int16_gop_s.unwrap_or(ceilings.f32_gflop_s),
            "int16",
        ),
        (
            work.bf16_flops,
            "FLOP",
            ceilings.bf16_gflop_s.unwrap_or(ceilings.f32_gflop_s),
            "bf16",
        ),
        (work.f32_flops, "FLOP", ceilings.f32_gflop_s, "f32"),
    ];
    let all = kinds.into_iter().filter(|(ops, ..)| *ops > 0.0);
    let told = all.map(|(ops, unit, giga_per_s, of)| {
        let rate = amount(giga_per_s * 1e9, &format!("{unit}/s"));
        format!("{} at {rate} ({of})", amount(ops, unit))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The claim of the resource that binds on the measured silicon must be known; the other is left out, and said so, where it is not.
pub(super) fn presented_level(
    demand: &Demand,
    spec: &Spec,
    unit: Int8Unit,
    measured_bound: Option<Bound>,
) -> Level {
    let int8 = int8_claim(spec, unit);
    let bandwidth = spec
        .memory_gb_s
        .value()
        .map(|gb_s| ms_at(demand.streamed_bytes, gb_s));
    let work = &demand.work;
    let kinds = [
        (work.int8_ops, int8),
        (work.int16_ops, &spec.int16_vector_gop_s),
        (work.bf16_flops, &spec.bf16_matrix_gflop_s),
        (work.f32_flops, &spec.f32_gflop_s),
    ];
    let needed = || kinds.iter().filter(|(ops, _)| *ops > 0.0);
    let compute = needed()
        .map(|(ops, claim)| claim.value().map(|giga_per_s| ms_at(*ops, giga_per_s)))
        .sum::<Option<f64>>();
    let (decisive, claim) = match measured_bound {
        Some(Bound::Compute) => {
            let unknown = needed().find(|(_, claim)| claim.value().is_none());
            (compute, unknown.map_or(int8, |(_, claim)| claim))
        }
        _ => (bandwidth, &spec.memory_gb_s),
    };
    let Some(decisive) = decisive else {
        let (reason, remedy) = match claim {
            Claim::Unknown { reason, remedy } => (reason.clone(), remedy.clone()),
            Claim::Presented { source, .. } => (source.clone(), String::new()),
        };
        let ms_per_token = Reading::Unknown {
            reason: reason.clone(),
            remedy,
        };
        return Level {
            layer: Layer::Presented,
            ms_per_token,
            tokens_per_s: None,
            bound: None,
            how: reason,
            loss: None,
        };
    };
    let (ms, bound) = match (bandwidth, compute) {
        (Some(bandwidth), Some(compute)) => limit(bandwidth, compute),
        _ => (decisive, measured_bound.unwrap_or(Bound::Bandwidth)),
    };
    // Of the kind of work that takes the longest.
    let longest = needed().filter_map(|&(ops, claim)| Some((ops / claim.value()?, claim)));
    let longest = longest.max_by(|a, b| a.0.total_cmp(&b.0));
    let claim = match (bound, longest) {
        (Bound::Compute, Some((_, claim))) => claim,
        (Bound::Compute, None) => int8,
        _ => &spec.memory_gb_s,
    };
    let mut how = match claim {
        Claim::Presented { value, source, .. } => {
            let unit = if bound == Bound::Compute {
                "OP/s"
            } else {
                "B/s"
            };
            format!("{}: {source}", amount(value * 1e9, unit))
        }
        Claim::Unknown { reason, .. } => reason.clone(),
    };
    if bandwidth.is_none() {
        how += "; the memory's bandwidth is not presented and is taken not to bind";
    } else if compute.is_none() {
        how += "; the arithmetic's peak is not presented and is taken not to bind";
    }
    Level {
        bound: Some(bound),
        ..timed(Layer::Presented, one(ms), how)
    }
}

/// A figure that was computed, not sampled.
fn one(ms: f64) -> Figure {
    Figure {
        typical: ms,
        median: ms,
        interval: None,
        range: None,
        samples: vec![ms],
    }
}

fn int8_claim(spec: &Spec, unit: Int8Unit) -> &Claim {
    match unit {
        Int8Unit::Matrix => &spec.int8_matrix_gop_s,
        Int8Unit::Vector => &spec.int8_vector_gop_s,
    }
}

pub(super) fn user_level(plan: &Plan, user: &[UserReading]) -> Result<Level, LensError> {
    if user.is_empty() {
        let reason = "the model ended its turn at once, whatever the seed".to_owned();
        let remedy = "time it at another --depth".to_owned();
        let (ms_per_token, how) = (
            Reading::Unknown {
                reason: reason.clone(),
                remedy,
            },
            reason,
        );
        return Ok(Level {
            layer: Layer::User,
            ms_per_token,
            tokens_per_s: None,
            bound: None,
            how,
            loss: None,
        });
    }
    let how = match plan.regime {
        Regime::Prefill => {
            "from the prompt's text to the choice of the first token, per token of the prompt"
        }
        Regime::Decode => "generation with sampling and text, per token",
    };
    let walls = user.iter().map(|u| u.wall_ms).collect();
    Ok(timed(
        Layer::User,
        figure("the generation", walls)?,
        how.to_owned(),
    ))
}
