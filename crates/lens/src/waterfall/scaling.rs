//! The step at several depths and with several sequences, each as a waterfall of its own from the silicon to the whole step.
//!
//! Every point is a plan like the two that a report begins with, and is read in the same way, in turn, round after round. In each round
//! memory is read too, at about the sizes that the points read, since bandwidth depends on the size.

use std::{ops::RangeInclusive, time::Duration};

use measure::Stopwatch;
use runtime::Engine;
use silicon::roofline::Stream;

use super::{Bench, Plan, Silicon, pass};
use crate::{
    LensError,
    attribution::{Readings, figure, waterfall},
    numbers::amount,
    report::{Bound, Ceilings, Layer, Point, Regime, Scaling},
};

/// Tokens in the context.
const DEPTHS: [usize; 3] = [0, 4096, 16384];
/// Sequences in one step of decode.
const SEQUENCES: [usize; 4] = [1, 2, 4, 8];
/// Rounds over all points, at least.
const MIN_ROUNDS: usize = 2;
/// Rounds over all points, at most.
const MAX_ROUNDS: usize = 9;
/// Seconds after which no further round begins.
const BUDGET: Duration = Duration::from_secs(30);
/// Passes over a point of decode in a round, so that one interruption is one of many readings.
const DECODE_PASSES: usize = 2;
/// Sizes at which memory is read, where the caches are small: beyond these, more of the same memory is read.
const READ: RangeInclusive<u64> = 1 << 20..=256 << 20;
/// Times our part of the last cache, where that is large.
const CACHES: u64 = 4;

/// A point before it is timed.
struct Planned {
    plan: Plan,
    readings: Readings,
}

impl Planned {
    /// Bytes that are read to know how fast those of the step can be: its own to an eighth, at most `most`.
    fn read_bytes(&self, most: u64) -> u64 {
        let bytes = self.plan.stream_bytes.clamp(*READ.start(), most);
        bytes.next_multiple_of(1 << (bytes.ilog2() - 3))
    }

    /// Positions that each of its sequences needs.
    fn positions(&self) -> usize {
        self.plan.depth + self.plan.chunk()
    }
}

/// Memory of one size, and how fast it was read.
struct Memory {
    bytes: u64,
    stream: Stream,
    gb_s: Vec<f64>,
}

/// Times all points that fit the model's context and, with their keys and values, half of the available memory. `ceilings` are those of prefill and decode, of
/// which all but the memory's bandwidth hold for every depth.
pub(super) fn measure(
    engine: &Engine,
    bench: &mut Bench,
    silicon: &Silicon,
    ceilings: [&Ceilings; 2],
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Scaling, LensError> {
    let mut skipped = Vec::new();
    let available = silicon.machine.memory.available_bytes.value();
    let mut points = plan(engine, available.map(|bytes| bytes / 2), &mut skipped);
    let most = |of: fn(&Planned) -> usize| points.iter().map(of).max().unwrap_or(1);
    let (sequences, room) = (most(|p| p.plan.sequences), most(Planned::positions));
    let mut batch = engine.batch(sequences, Some(room))?;
    let cache = silicon.machine.last_cache_share_bytes().unwrap_or(0);
    let largest = cache.saturating_mul(CACHES).max(*READ.end());
    let mut memories: Vec<Memory> = Vec::new();
    for bytes in points.iter().map(|p| p.read_bytes(largest)) {
        if memories.iter().all(|m| m.bytes != bytes) {
            memories.push(Memory {
                bytes,
                stream: Stream::new(bytes, engine.pool().threads())?,
                gb_s: Vec::new(),
            });
        }
    }
    let (clock, count) = (Stopwatch::start(), points.len());
    let mut round = 0;
    while round < MIN_ROUNDS || (round < MAX_ROUNDS && !clock.has_passed(BUDGET)) {
        let spent = clock.elapsed_ms() / 1e3 / BUDGET.as_secs_f64();
        for memory in &mut memories {
            memory.gb_s.extend(memory.stream.sample());
        }
        for (i, Planned { plan, readings }) in points.iter_mut().enumerate() {
            let rounds = (round as f64 + i as f64 / count as f64) / MIN_ROUNDS as f64;
            progress(
                &format!("depth {}, {} sequences", plan.depth, plan.sequences),
                rounds.min(1.0) * 0.5 + spent.min(1.0) * 0.5,
            );
            let passes = match plan.regime {
                Regime::Prefill => 1,
                Regime::Decode => DECODE_PASSES,
            };
            for _ in 0..passes {
                pass(bench, &mut batch, plan, readings, false)?;
            }
        }
        round += 1;
    }
    let points = points.into_iter().map(|p| {
        let bytes = p.read_bytes(largest);
        let memory = memories.iter().find(|m| m.bytes == bytes);
        finished(p, silicon, ceilings, memory)
    });
    Ok(Scaling {
        points: points.collect::<Result<_, _>>()?,
        skipped,
    })
}

/// For each depth the sequences of decode, then one chunk of a prompt. What a sequence was once filled with stays its memory, so a point
/// counts with those before it.
fn plan(engine: &Engine, memory: Option<u64>, skipped: &mut Vec<String>) -> Vec<Planned> {
    let (model, profile) = (engine.model(), engine.profile());
    let context = model.config.context;
    let chunk = profile.prefill_chunk.max(1);
    let mut points = Vec::new();
    // Positions of each sequence.
    let mut filled = [0usize; SEQUENCES[SEQUENCES.len() - 1]];
    for depth in DEPTHS {
        if depth + 1 > context {
            skipped.push(format!(
                "depth {depth}: the model was made for {context} tokens"
            ));
            continue;
        }
        let decode =
            SEQUENCES.map(|sequences| Plan::decode(&model.program, profile, depth, sequences));
        let prompt = Plan::prefill(&model.program, profile, depth, chunk);
        for plan in decode.into_iter().chain([prompt]) {
            let what = match plan.regime {
                Regime::Prefill => format!("depth {depth}, a prompt of {chunk}"),
                Regime::Decode => format!("depth {depth}, {} sequences", plan.sequences),
            };
            let point = Planned {
                plan,
                readings: Readings::default(),
            };
            if point.positions() > context {
                skipped.push(format!("{what}: the model was made for {context} tokens"));
                continue;
            }
            let mut then = filled;
            for positions in &mut then[..point.plan.sequences] {
                *positions = point.positions().max(*positions);
            }
            let bytes = then.iter().try_fold(0u64, |all, &positions| {
                let one = model.footprint(positions, profile.kv_type)?.kv_bytes;
                all.checked_add(one)
            });
            let most = memory.unwrap_or(u64::MAX);
            if bytes.is_none_or(|bytes| bytes > most) {
                let needs = bytes.map_or("more than can be addressed".to_owned(), |b| {
                    amount(b as f64, "B")
                });
                let has = memory.map_or(String::new(), |m| {
                    format!(
                        ", half of the available memory is {}",
                        amount(m as f64, "B")
                    )
                });
                skipped.push(format!("{what}: keys and values take {needs}{has}"));
                continue;
            }
            filled = then;
            points.push(point);
        }
    }
    points
}

fn finished(
    point: Planned,
    silicon: &Silicon,
    [prefill, decode]: [&Ceilings; 2],
    memory: Option<&Memory>,
) -> Result<Point, LensError> {
    let what = "the memory bandwidth";
    let readings = figure(what, memory.map_or(Vec::new(), |m| m.gb_s.clone()))?;
    let Planned {
        plan,
        readings: timed,
    } = point;
    let ceilings = Ceilings {
        stream_gb_s: measure::Samples::new(readings.samples.clone())
            .and_then(|s| s.quantile(0.9))
            .map_err(|source| LensError::Samples { what, source })?,
        stream_bytes: memory.map_or(0, |m| m.bytes),
        stream_readings_gb_s: readings,
        ..match plan.regime {
            Regime::Prefill => prefill.clone(),
            Regime::Decode => decode.clone(),
        }
    };
    let stream_gb_s = ceilings.stream_gb_s;
    let fall = waterfall(&plan, &timed, ceilings, &silicon.spec, silicon.unit)?;
    let tokens = plan.tokens as f64;
    let level = |layer| fall.levels.iter().find(|l| l.layer == layer);
    let ceiling = level(Layer::Silicon);
    let ceiling_ms = tokens * ceiling.and_then(|l| l.ms_per_token.value()).unwrap_or(0.0);
    let steps = timed
        .step_ms
        .iter()
        .map(|pass| tokens * pass.iter().sum::<f64>());
    let step_ms = figure("a step", steps.collect())?;
    Ok(Point {
        depth: plan.depth,
        sequences: plan.sequences,
        tokens: plan.chunk(),
        tokens_per_s: tokens * 1e3 / step_ms.typical,
        share: ceiling_ms / step_ms.typical,
        streamed_bytes: tokens * plan.demand.streamed_bytes,
        work: plan.demand.work.times(tokens),
        stream_gb_s,
        ceiling_ms,
        bound: ceiling.and_then(|l| l.bound).unwrap_or(Bound::Bandwidth),
        step_ms,
        fall: Some(fall),
    })
}
