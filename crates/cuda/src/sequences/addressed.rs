//! A plan's steps with the addresses of one sequence.

use kernels::program::{BufferId, VectorId};

use super::{Sequences, number};
use crate::{
    op::{ATTEND, At, Attend, Body, DELTA, Delta, EMBED, Embed, Op, PRODUCT, Product, Segment},
    plan::{AttendStep, DeltaStep, Input, Output, PANEL, ProductStep, capacity, parts_bytes},
};

impl Sequences {
    fn buffer(&self, id: BufferId) -> At {
        // The plan placed every buffer that one of its steps names.
        self.activations
            .at(self.weights.plan.buffers[id.index()].unwrap_or(0))
    }

    fn vector(&self, id: VectorId) -> At {
        self.weights.vector(id)
    }

    pub(super) fn embed(&self) -> Op {
        let embed = Embed {
            x: self.activations.at(0),
            turn: self.turn(),
            width: number(self.weights.plan.width),
        };
        Op::new(EMBED, Body { embed })
    }

    /// Cosines and sines of the position.
    fn turn(&self) -> At {
        self.activations.at(self.weights.plan.turn)
    }

    pub(super) fn product(&self, step: &ProductStep) -> Op {
        let stream = self.activations.at(0);
        let (x, weight, eps) = match step.input {
            Input::Norm { weight, eps } => (stream, self.vector(weight), eps),
            Input::Plain(buffer) => (self.buffer(buffer), 0, 0.0),
        };
        let one = |out, rows: usize| {
            let first = Segment {
                out,
                panels: number(step.panels),
                rows: number(rows),
            };
            [
                first,
                Segment::default(),
                Segment::default(),
                Segment::default(),
            ]
        };
        let all = step.panels * PANEL;
        let (output, segments) = match &step.output {
            Output::Store(stored) => {
                let mut segments = [Segment::default(); 4];
                for (segment, &(out, rows)) in segments.iter_mut().zip(stored) {
                    *segment = Segment {
                        out: self.buffer(out),
                        panels: number(rows.div_ceil(PANEL)),
                        rows: number(rows),
                    };
                }
                (0, segments)
            }
            Output::Add => (1, one(stream, all)),
            Output::Glu(out) => (2, one(self.buffer(*out), all)),
            Output::Logits => (3, one(self.logits_at(), self.weights.plan.vocabulary)),
        };
        let product = Product {
            weights: self.weights.matrices.at(step.offset),
            x,
            weight,
            segments,
            panels: number(step.panels),
            cols: number(step.chunks * step.format.columns()),
            width: number(step.width),
            by_panel: u32::from(step.by_panel),
            eps,
        };
        let input = u32::from(matches!(step.input, Input::Norm { .. }));
        Op {
            format: step.format.number(),
            input,
            output,
            ..Op::new(PRODUCT, Body { product })
        }
    }

    pub(super) fn delta(&self, step: &DeltaStep, state: At, recent: At) -> Op {
        let delta = Delta {
            qkv: self.buffer(step.qkv),
            a: self.buffer(step.a),
            b: self.buffer(step.b),
            z: self.buffer(step.z),
            taps: self.vector(step.taps),
            recent,
            decay_rate: self.vector(step.decay_rate),
            dt_bias: self.vector(step.dt_bias),
            weight: self.vector(step.weight),
            state,
            out: self.buffer(step.out),
            key_heads: number(step.key_heads),
            value_heads: number(step.value_heads),
            grouped: u32::from(step.grouped),
            eps: step.eps,
            norm_eps: step.norm_eps,
        };
        Op::new(DELTA, Body { delta })
    }

    pub(super) fn attend(&self, step: &AttendStep, cache: At) -> Op {
        let splits = self.weights.plan.splits(step.kv_heads);
        let attend = Attend {
            q: self.buffer(step.q),
            gate: self.buffer(step.gate),
            k: self.buffer(step.k),
            v: self.buffer(step.v),
            qn: self.vector(step.q_norm),
            kn: self.vector(step.k_norm),
            turn: self.turn(),
            cache,
            out: self.buffer(step.out),
            parts: self.parts.at(0),
            finished: self.parts.at(parts_bytes(step.kv_heads, splits)),
            heads: number(step.heads),
            kv_heads: number(step.kv_heads),
            capacity: number(capacity(self.capacity)),
            splits: number(splits),
            eps: step.eps,
            scale: step.scale,
        };
        Op::new(ATTEND, Body { attend })
    }

    fn logits_at(&self) -> At {
        self.activations.at(self.weights.plan.logits)
    }
}
