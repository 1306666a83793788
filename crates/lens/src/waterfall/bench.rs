//! Running a plan: whole steps, and each part alone over all its layers in turn.
//!
//! Parts are run in the program's order, one pass over all of them at a time, so that a part's weights were last read a whole
//! model ago: they stream from where they stream in a real step. The step itself runs at the plan's depths, over caches whose
//! pages were written before (memory that was never written is one shared page of zeros, which is always in the nearest cache).

use kernels::{
    cpu::{Outputs, Span, Trace},
    program::Node,
};
use measure::Stopwatch;
use runtime::{Engine, RuntimeError, Session};

use super::plan::Plan;
use crate::report::Activity;

/// A session with what it needs to be timed.
pub(crate) struct Bench<'e> {
    pub session: Session<'e>,
    trace: Trace,
    /// Natural text, at least as long as the longest prompt.
    prompt: Vec<u32>,
}

/// One traced step, in milliseconds per token.
pub(crate) struct TracedStep {
    /// By chunk.
    pub wall_ms: Vec<f64>,
    /// By part.
    pub parts: Vec<Activity>,
    pub fork_join_ms: f64,
}

impl<'e> Bench<'e> {
    pub fn new(engine: &'e Engine, context: usize, prompt: Vec<u32>) -> Result<Self, RuntimeError> {
        // Twice: a part that changes its input in place is timed behind its producers.
        let nodes = 2 * engine.model().program.nodes().len();
        let trace = Trace::new(engine.pool().threads(), nodes);
        Ok(Self {
            session: engine.session(Some(context))?,
            trace,
            prompt,
        })
    }

    /// Writes to all pages of the caches up to `depth`.
    pub fn fill_caches(&mut self, depth: usize) -> Result<(), RuntimeError> {
        let engine = self.session.engine();
        let is_writer = |node: &Node| matches!(node, Node::Heads { .. });
        let nodes = engine.model().program.nodes().iter().enumerate();
        let writers: Vec<usize> = nodes
            .filter(|(_, n)| is_writer(&n.node))
            .map(|(i, _)| i)
            .collect();
        let chunk = engine.profile().prefill_chunk.max(1);
        let tokens = vec![0; chunk];
        for start in (0..depth).step_by(chunk) {
            self.session.pretend_depth(start);
            self.session.run_nodes(
                &writers,
                &tokens[..chunk.min(depth - start)],
                Outputs::None,
                None,
            )?;
        }
        Ok(())
    }

    /// The whole step, as it is: by chunk, in milliseconds per token of the plan.
    pub fn step(&mut self, plan: &Plan) -> Result<Vec<f64>, RuntimeError> {
        let mut ms = Vec::with_capacity(plan.chunks.len());
        for chunk in &plan.chunks {
            self.session.pretend_depth(chunk.depth);
            let clock = Stopwatch::start();
            self.session
                .step(&self.prompt[chunk.range(plan.regime)], chunk.outputs, None)?;
            ms.push(clock.elapsed_ms() / plan.tokens as f64);
        }
        Ok(ms)
    }

    /// One chunk of the plan under the tracer: its wall time in milliseconds, and the spans of each thread.
    pub fn traced_chunk(
        &mut self,
        plan: &Plan,
        index: usize,
    ) -> Result<(f64, Vec<Vec<Span>>), RuntimeError> {
        let chunk = &plan.chunks[index];
        self.session.pretend_depth(chunk.depth);
        let clock = Stopwatch::start();
        self.session.step(
            &self.prompt[chunk.range(plan.regime)],
            chunk.outputs,
            Some(&mut self.trace),
        )?;
        let ms = clock.elapsed_ms();
        Ok((ms, self.trace.spans()))
    }

    /// The whole step under the tracer.
    pub fn traced_step(&mut self, plan: &Plan) -> Result<TracedStep, RuntimeError> {
        let scale = 1.0 / plan.tokens as f64;
        let mut parts = vec![Activity::default(); plan.parts.len()];
        let (mut wall_ms, mut fork_join_ms) = (Vec::new(), 0.0);
        for index in 0..plan.chunks.len() {
            let (ms, spans) = self.traced_chunk(plan, index)?;
            let inside_ms = sum_spans(&spans, scale, |node, activity| {
                if let Some(part) = plan.part_of.get(node).and_then(|&part| parts.get_mut(part)) {
                    *part = part.plus(activity);
                }
            });
            wall_ms.push(ms * scale);
            fork_join_ms += (ms * scale - inside_ms).max(0.0);
        }
        Ok(TracedStep {
            wall_ms,
            parts,
            fork_join_ms,
        })
    }

    /// Every part alone, one after another; by part, in milliseconds per token.
    pub fn alone(&mut self, plan: &Plan) -> Result<Vec<Activity>, RuntimeError> {
        let scale = 1.0 / plan.tokens as f64;
        let mut all = Vec::with_capacity(plan.parts.len());
        for (index, part) in plan.parts.iter().enumerate() {
            let mut activity = Activity::default();
            for chunk in &plan.chunks {
                self.session.pretend_depth(chunk.depth);
                let tokens = &self.prompt[chunk.range(plan.regime)];
                self.session.run_nodes(
                    &part.alone,
                    tokens,
                    chunk.outputs,
                    Some(&mut self.trace),
                )?;
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

    /// The prompt's first `tokens` tokens.
    pub fn prompt(&self, tokens: usize) -> &[u32] {
        &self.prompt[..tokens.min(self.prompt.len())]
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
