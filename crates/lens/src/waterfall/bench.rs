//! Running a plan: whole steps, and each part alone over all its layers in turn.
//!
//! Parts are run in the program's order, one pass over all of them at a time, so that a part's weights were last read a whole
//! model ago: they stream from where they stream in a real step (*cold*). Beside it the first node of each part is run as often as the
//! part has nodes (*warm*). The step itself runs at the plan's depths, over caches that
//! pretend to hold that much ([`Batch::pretend_depth`]: speed does not depend on what they hold). Each sequence is at another place of the
//! text, and each turn of decode too: which experts a token takes depends on it.

use kernels::cpu::{Member, Outputs, Span, Step, Trace};
use measure::Stopwatch;
use runtime::{Batch, Engine, RuntimeError};

use super::plan::{Chunk, PartPlan, Plan};
use crate::report::{Activity, Regime};

/// Tokens between two sequences' places in the text.
const APART: usize = 29;

/// What it takes to run plans, but for the sequences themselves.
pub(crate) struct Bench {
    trace: Trace,
    /// Natural text.
    text: Vec<u32>,
    /// Places that decode has gone on in the text.
    turn: usize,
}

/// One traced step, in milliseconds per token.
pub(crate) struct TracedStep {
    /// By chunk.
    pub wall_ms: Vec<f64>,
    /// By part.
    pub parts: Vec<Activity>,
    pub fork_join_ms: f64,
}

impl Bench {
    /// Over `text`, of at least one token.
    pub fn new(engine: &Engine, text: Vec<u32>) -> Self {
        // Twice: a part that changes its input in place is timed behind its producers.
        let nodes = 2 * engine.model().program.nodes().len();
        Self {
            trace: Trace::new(engine.pool().threads(), nodes),
            text,
            turn: 0,
        }
    }

    /// The whole step, as it is: by chunk, in milliseconds per token of the plan.
    pub fn step(&mut self, batch: &mut Batch<'_>, plan: &Plan) -> Result<Vec<f64>, RuntimeError> {
        let mut ms = Vec::with_capacity(plan.chunks.len());
        for chunk in &plan.chunks {
            let tokens = self.tokens(plan, chunk);
            pretend(batch, plan, chunk);
            let members = members(&tokens, chunk.outputs);
            let clock = Stopwatch::start();
            batch.step(&members, None)?;
            ms.push(clock.elapsed_ms() / plan.tokens as f64);
        }
        self.turn += 1;
        Ok(ms)
    }

    /// One chunk of the plan under the tracer: its wall time in milliseconds, and the spans of each thread.
    pub fn traced_chunk(
        &mut self,
        batch: &mut Batch<'_>,
        plan: &Plan,
        index: usize,
    ) -> Result<(f64, Vec<Vec<Span>>), RuntimeError> {
        let chunk = &plan.chunks[index];
        let tokens = self.tokens(plan, chunk);
        pretend(batch, plan, chunk);
        let members = members(&tokens, chunk.outputs);
        let clock = Stopwatch::start();
        batch.step(&members, Some(&mut self.trace))?;
        let ms = clock.elapsed_ms();
        Ok((ms, self.trace.spans()))
    }

    /// The whole step under the tracer.
    pub fn traced_step(
        &mut self,
        batch: &mut Batch<'_>,
        plan: &Plan,
    ) -> Result<TracedStep, RuntimeError> {
        let scale = 1.0 / plan.tokens as f64;
        let mut parts = vec![Activity::default(); plan.parts.len()];
        let (mut wall_ms, mut fork_join_ms) = (Vec::new(), 0.0);
        for index in 0..plan.chunks.len() {
            let (ms, spans) = self.traced_chunk(batch, plan, index)?;
            let inside_ms = sum_spans(&spans, scale, |node, activity| {
                if let Some(part) = plan.part_of.get(node).and_then(|&part| parts.get_mut(part)) {
                    *part = part.plus(activity);
                }
            });
            wall_ms.push(ms * scale);
            fork_join_ms += (ms * scale - inside_ms).max(0.0);
        }
        self.turn += 1;
        Ok(TracedStep {
            wall_ms,
            parts,
            fork_join_ms,
        })
    }

    /// Every part alone, one after another; by part, in milliseconds per token. `nodes` chooses those to run.
    pub fn alone(
        &mut self,
        batch: &mut Batch<'_>,
        plan: &Plan,
        nodes: fn(&PartPlan) -> &[usize],
    ) -> Result<Vec<Activity>, RuntimeError> {
        let scale = 1.0 / plan.tokens as f64;
        let mut all = Vec::with_capacity(plan.parts.len());
        for (index, part) in plan.parts.iter().enumerate() {
            let mut activity = Activity::default();
            for chunk in &plan.chunks {
                let tokens = self.tokens(plan, chunk);
                pretend(batch, plan, chunk);
                let members = members(&tokens, chunk.outputs);
                batch.run_nodes(nodes(part), &members, Some(&mut self.trace))?;
                sum_spans(&self.trace.spans(), scale, |node, here| {
                    if plan.part_of.get(node) == Some(&index) {
                        activity = activity.plus(here);
                    }
                });
            }
            all.push(activity);
        }
        Ok(all)
    }

    /// The first `tokens` tokens of the text, again from its beginning where it is shorter.
    pub fn prompt(&self, tokens: usize) -> Vec<u32> {
        self.from(0, tokens)
    }

    fn from(&self, place: usize, tokens: usize) -> Vec<u32> {
        let place = place % self.text.len().max(1);
        let endless = self.text.iter().cycle().skip(place);
        endless.take(tokens).copied().collect()
    }

    /// Of each sequence.
    fn tokens(&self, plan: &Plan, chunk: &Chunk) -> Vec<Vec<u32>> {
        let first = match plan.regime {
            Regime::Prefill => chunk.depth - plan.depth,
            Regime::Decode => self.turn,
        };
        let places = (0..plan.sequences).map(|sequence| first + APART * sequence);
        places.map(|place| self.from(place, chunk.tokens)).collect()
    }
}

fn members(tokens: &[Vec<u32>], outputs: Outputs) -> Vec<Member<'_>> {
    let steps = tokens.iter().map(|tokens| Step { tokens, outputs });
    steps
        .enumerate()
        .map(|(sequence, step)| Member { sequence, step })
        .collect()
}

fn pretend(batch: &mut Batch<'_>, plan: &Plan, chunk: &Chunk) {
    for sequence in 0..plan.sequences {
        batch.pretend_depth(sequence, chunk.depth);
    }
}

/// Hands each node with its activity to `to`: the mean over threads, in milliseconds times `scale`. Gives the time from a
/// thread's first start to the last end, likewise.
pub(crate) fn sum_spans(
    threads: &[Vec<Span>],
    scale: f64,
    mut to: impl FnMut(usize, Activity),
) -> f64 {
    let count = threads.iter().map(Vec::len).min().unwrap_or(0);
    let share = scale / 1e6 / threads.len().max(1) as f64;
    let mut inside = 0.0;
    for i in 0..count {
        let last_end = threads
            .iter()
            .map(|spans| spans[i].end_ns)
            .max()
            .unwrap_or(0);
        let mut here = Activity::default();
        for spans in threads {
            let span = &spans[i];
            let next_ns = if i + 1 < count {
                spans[i + 1].start_ns
            } else {
                last_end
            };
            here.busy_ms += span.end_ns.saturating_sub(span.start_ns) as f64 * share;
            here.uneven_ms += last_end.saturating_sub(span.end_ns) as f64 * share;
            here.barrier_ms += next_ns.saturating_sub(last_end) as f64 * share;
        }
        inside += here.wall_ms();
        to(threads[0][i].node, here);
    }
    inside
}

#[cfg(test)]
mod tests;
