//! The step as a timeline: every node in every thread, in the format that Perfetto and Chrome's tracing page read ("Trace Event Format",
//! complete events: times in microseconds).
//!
//! Two processes, prefill and decode; their threads are those of the pool. Steps stand one behind the other, with the time between them
//! as it was. The first step of each, which warms up, is left out.

use kernels::program::Program;
use measure::Stopwatch;
use runtime::Engine;
use serde::Serialize;

use super::{Options, bench::Bench, fit, natural, plan::Plan, user};
use crate::{LensError, report::Regime};

/// Steps of decode that are shown.
const DECODE_STEPS: usize = 4;

/// A file for Perfetto.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    trace_events: Vec<Event>,
    display_time_unit: &'static str,
    other_data: About,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct About {
    sprag: &'static str,
    model: String,
    depth: usize,
    prompt: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Event {
    name: String,
    /// `X` is an event with a beginning and a length, `M` says what something is called.
    ph: &'static str,
    pid: usize,
    tid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    args: Arguments,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Arguments {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<usize>,
}

/// Runs a prompt and some tokens behind the depth, once each to warm up and then under the tracer.
///
/// # Errors
/// The model can't be run as asked.
pub fn timeline(engine: &Engine, options: &Options) -> Result<Timeline, LensError> {
    let (depth, tokens) = fit(engine, options, &mut Vec::new())?;
    let profile = engine.profile();
    let program = &engine.model().program;
    let prefill = Plan::prefill(program, profile, 0, tokens);
    let decode = Plan::decode(program, profile, depth, 1);
    let (_, prompt) = natural(engine, tokens)?;
    let mut session = engine.session(Some(depth.max(tokens) + user::ROOM))?;
    let mut bench = Bench::new(engine, prompt);
    let mut events = Vec::new();
    for (pid, plan, repeat) in [(1, &prefill, 1), (2, &decode, DECODE_STEPS)] {
        names(pid, plan.regime, engine.pool().threads(), &mut events);
        bench.step(session.as_batch(), plan)?;
        let clock = Stopwatch::start();
        for _ in 0..repeat {
            for index in 0..plan.chunks.len() {
                let began_us = clock.elapsed_ns() / 1e3;
                let (_, threads) = bench.traced_chunk(session.as_batch(), plan, index)?;
                let chunk = &plan.chunks[index];
                for (tid, spans) in threads.iter().enumerate() {
                    events.extend(spans.iter().filter_map(|span| {
                        let (name, layer) = label(program, span.node)?;
                        Some(Event {
                            name: name.to_owned(),
                            ph: "X",
                            pid,
                            tid,
                            ts: Some(began_us + span.start_ns as f64 / 1e3),
                            dur: Some(span.end_ns.saturating_sub(span.start_ns) as f64 / 1e3),
                            args: Arguments {
                                layer,
                                tokens: Some(chunk.tokens),
                                depth: Some(chunk.depth),
                                ..Arguments::default()
                            },
                        })
                    }));
                }
            }
        }
    }
    Ok(Timeline {
        trace_events: events,
        display_time_unit: "ns",
        other_data: About {
            sprag: env!("CARGO_PKG_VERSION"),
            model: super::identity::model(engine).name,
            depth,
            prompt: tokens,
        },
    })
}

fn label(program: &Program, node: usize) -> Option<(&'static str, Option<usize>)> {
    let label = program.nodes().get(node)?.label;
    Some((label.part, label.layer))
}

/// What the process and its threads are called.
fn names(pid: usize, regime: Regime, threads: usize, events: &mut Vec<Event>) {
    let mut name = |what: &str, tid: usize, name: String| {
        events.push(Event {
            name: what.to_owned(),
            ph: "M",
            pid,
            tid,
            ts: None,
            dur: None,
            args: Arguments {
                name: Some(name),
                ..Arguments::default()
            },
        });
    };
    name("process_name", 0, regime.name().to_owned());
    for thread in 0..threads {
        name("thread_name", thread, format!("thread {thread}"));
    }
}
