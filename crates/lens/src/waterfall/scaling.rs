//! The step at several depths and with several sequences, each against what the silicon allows for it.
//!
//! A step of natural text is timed as it is, for every point in turn, round after round. Depths are pretended (the caches hold zeros in pages
//! of their own): attention's time does not depend on what they hold. In each round memory is read too, at about
//! the sizes that the points read, since bandwidth depends on the size.

use std::{ops::RangeInclusive, time::Duration};

use kernels::{
    RuntimeProfile,
    cpu::{Member, Outputs, Step},
    program::{Program, StepShape},
};
use measure::Stopwatch;
use runtime::{Batch, Engine};
use silicon::roofline::Stream;

use super::plan::{add, streamed_bytes};
use crate::{
    LensError,
    attribution::{compute_ms, figure, limit, ms_at},
    numbers::amount,
    report::{Ceilings, Demand, Point, Scaling},
};

/// Tokens in the context.
const DEPTHS: [usize; 3] = [0, 4096, 16384];
/// Sequences in one step of decode.
const SEQUENCES: [usize; 4] = [1, 2, 4, 8];
/// Rounds over all points, at least.
const MIN_ROUNDS: usize = 3;
/// Rounds over all points, at most.
const MAX_ROUNDS: usize = 9;
/// Seconds after which no further round begins.
const BUDGET: Duration = Duration::from_secs(20);
/// Timed steps of decode in a round, so that one interruption is one of many readings.
const STEPS: usize = 4;
/// Tokens between two sequences' places in the text.
const APART: usize = 29;
/// Sizes at which memory is read: powers of two between these.
const READ: RangeInclusive<u64> = 1 << 20..=256 << 20;

/// A point before it is timed.
struct Planned {
    sequences: usize,
    /// Of each sequence.
    tokens: usize,
    depth: usize,
    demand: Demand,
    step_ms: Vec<f64>,
}

impl Planned {
    /// Bytes that are read to know how fast those of the step can be.
    fn read_bytes(&self) -> u64 {
        let streamed = self.demand.streamed_bytes as u64;
        streamed
            .checked_next_power_of_two()
            .unwrap_or(u64::MAX)
            .clamp(*READ.start(), *READ.end())
    }
}

/// Memory of one size, and how fast it was read.
struct Memory {
    bytes: u64,
    stream: Stream,
    gb_s: Vec<f64>,
}

/// Times all points that fit the model's context and `memory` bytes of keys and values.
pub(super) fn measure(
    engine: &Engine,
    ceilings: &Ceilings,
    text: &[u32],
    memory: Option<u64>,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Scaling, LensError> {
    let mut skipped = Vec::new();
    let mut points = plan(engine, memory, &mut skipped);
    let most = |of: fn(&Planned) -> usize| points.iter().map(of).max().unwrap_or(0);
    let (sequences, room) = (most(|p| p.sequences), most(|p| p.depth + p.tokens));
    // Each timed step of decode goes one further, and so does the first, which is not timed.
    let room = (room + STEPS + 1).min(engine.model().config.context);
    let mut batch = engine.batch(sequences.max(1), Some(room.max(1)))?;
    let mut memories: Vec<Memory> = Vec::new();
    for bytes in points.iter().map(Planned::read_bytes) {
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
        for (i, point) in points.iter_mut().enumerate() {
            let rounds = (round as f64 + i as f64 / count as f64) / MIN_ROUNDS as f64;
            progress(
                &format!("depth {}, {} sequences", point.depth, point.sequences),
                rounds.min(1.0) * 0.5 + spent.min(1.0) * 0.5,
            );
            pass(&mut batch, point, text)?;
        }
        round += 1;
    }
    let points = points.into_iter().map(|p| finished(p, ceilings, &memories));
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
        let decode = SEQUENCES.map(|sequences| (sequences, 1));
        for (sequences, tokens) in decode.into_iter().chain([(1, chunk)]) {
            let needed = depth + if tokens == 1 { STEPS + 1 } else { tokens };
            let what = if tokens > 1 {
                format!("depth {depth}, a prompt of {tokens}")
            } else {
                format!("depth {depth}, {sequences} sequences")
            };
            if needed > context {
                // Once for all that a depth leaves out.
                if tokens == 1 && sequences == 1 {
                    skipped.push(format!(
                        "depth {depth}: the model was made for {context} tokens"
                    ));
                } else if tokens > 1 && depth + STEPS < context {
                    skipped.push(format!("{what}: the model was made for {context} tokens"));
                }
                continue;
            }
            let mut then = filled;
            for positions in &mut then[..sequences] {
                *positions = needed.max(*positions);
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
            points.push(Planned {
                sequences,
                tokens,
                depth,
                demand: demand(&model.program, profile, sequences, tokens, depth),
                step_ms: Vec::new(),
            });
        }
    }
    points
}

/// Of a whole step.
fn demand(
    program: &Program,
    profile: &RuntimeProfile,
    sequences: usize,
    tokens: usize,
    depth: usize,
) -> Demand {
    let step = StepShape {
        tokens,
        depth,
        outputs: usize::from(tokens == 1),
        kv_type: profile.kv_type,
        float_products: profile.float_products_here(),
    };
    let mut demand = Demand::default();
    for labelled in program.nodes() {
        let node = &labelled.node;
        let (shape, times) = step.of_sequences(node, sequences);
        let cost = program.cost(node, shape);
        let streamed = streamed_bytes(program, node, shape, &cost);
        add(&mut demand, &(cost * times), streamed * times, 1);
    }
    demand
}

/// Some steps at the point's depth, each sequence at another place of the text: which experts a token takes depends on it.
fn pass(batch: &mut Batch<'_>, point: &mut Planned, text: &[u32]) -> Result<(), LensError> {
    let (steps, outputs) = if point.tokens == 1 {
        (STEPS, Outputs::Last)
    } else {
        (1, Outputs::None)
    };
    for sequence in 0..point.sequences {
        batch.pretend_depth(sequence, point.depth);
    }
    // A token's step follows another token's, which is not timed.
    let untimed = usize::from(point.tokens == 1);
    for step in 0..untimed + steps {
        let tokens_of = |sequence: usize| {
            let from = (APART * sequence + step) % text.len();
            text.iter()
                .cycle()
                .skip(from)
                .take(point.tokens)
                .copied()
                .collect()
        };
        let tokens: Vec<Vec<u32>> = (0..point.sequences).map(tokens_of).collect();
        let members: Vec<Member<'_>> = tokens
            .iter()
            .enumerate()
            .map(|(sequence, tokens)| Member {
                sequence,
                step: Step { tokens, outputs },
            })
            .collect();
        let clock = Stopwatch::start();
        batch.step(&members, None)?;
        if step >= untimed {
            point.step_ms.push(clock.elapsed_ms());
        }
    }
    Ok(())
}

fn finished(point: Planned, ceilings: &Ceilings, memories: &[Memory]) -> Result<Point, LensError> {
    let read = memories.iter().find(|m| m.bytes == point.read_bytes());
    let stream_gb_s = measure::Samples::new(read.map_or(Vec::new(), |m| m.gb_s.clone()))
        .and_then(|s| s.quantile(0.9))
        .map_err(|source| LensError::Samples {
            what: "the memory bandwidth",
            source,
        })?;
    let demand = &point.demand;
    let (ceiling_ms, bound) = limit(
        ms_at(demand.streamed_bytes, stream_gb_s),
        compute_ms(&demand.work, ceilings),
    );
    let step_ms = figure("a step", point.step_ms)?;
    let all = (point.sequences * point.tokens) as f64;
    Ok(Point {
        depth: point.depth,
        sequences: point.sequences,
        tokens: point.tokens,
        tokens_per_s: all * 1e3 / step_ms.typical,
        share: ceiling_ms / step_ms.typical,
        streamed_bytes: demand.streamed_bytes,
        work: demand.work,
        stream_gb_s,
        ceiling_ms,
        bound,
        step_ms,
    })
}
