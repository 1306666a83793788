//! What a regime runs, and what each part of the model must move and compute in it.
//!
//! A regime is a list of chunks: a prompt's, or the one token (of each sequence) of a decode step. A part is all nodes with one label, over all layers. Its
//! bytes are told apart: *streamed* ones (weights, caches, recurrent state, embedding rows) come from wherever the model lies and
//! set the ceiling of decoding; *activations* pass from node to node through the caches. Costs are those of `ops`.

use kernels::{
    RuntimeProfile,
    cpu::Outputs,
    program::{Node, Program, StepShape},
};
use ops::Cost;

use crate::report::{Demand, Regime};

/// One step of a regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Tokens in the caches before it.
    pub depth: usize,
    /// Tokens computed, of each sequence.
    pub tokens: usize,
    /// For which of them logits are.
    pub outputs: Outputs,
}

impl Chunk {
    fn shape(&self, profile: &RuntimeProfile) -> StepShape {
        let outputs = usize::from(self.outputs != Outputs::None);
        StepShape {
            tokens: self.tokens,
            depth: self.depth,
            outputs,
            kv_type: profile.kv_type,
            float_products: profile.float_products_here(),
        }
    }
}

/// All nodes with one label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartPlan {
    pub name: &'static str,
    pub nodes: Vec<usize>,
    /// Nodes to run when it is timed alone: its own, each behind its producer where it changes its input in place (repeated over
    /// its own results, an activation soon underflows, and denormal numbers are slow).
    pub alone: Vec<usize>,
    /// As `alone`, but the first of its nodes again and again: its weights are in the caches then, if they fit. Empty where the nodes do
    /// not all have the same work.
    pub warm: Vec<usize>,
    /// Per token of the regime.
    pub demand: Demand,
}

/// A regime, planned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub regime: Regime,
    /// That share its steps.
    pub sequences: usize,
    /// Of all sequences.
    pub tokens: usize,
    /// Tokens in the caches before the first of them.
    pub depth: usize,
    pub chunks: Vec<Chunk>,
    pub parts: Vec<PartPlan>,
    /// Part of each node.
    pub part_of: Vec<usize>,
    /// Per token.
    pub demand: Demand,
    /// Bytes that its largest step streams.
    pub stream_bytes: u64,
    /// Activations of one node, at most.
    pub cache_bytes: u64,
}

impl Plan {
    /// A prompt of `tokens` behind `depth` others, in the profile's chunks.
    pub fn prefill(
        program: &Program,
        profile: &RuntimeProfile,
        depth: usize,
        tokens: usize,
    ) -> Self {
        let chunk = profile.prefill_chunk.max(1);
        let chunks = (0..tokens).step_by(chunk).map(|done| {
            let now = chunk.min(tokens - done);
            let outputs = if done + now == tokens {
                Outputs::Last
            } else {
                Outputs::None
            };
            Chunk {
                depth: depth + done,
                tokens: now,
                outputs,
            }
        });
        Self::new(program, profile, Regime::Prefill, chunks.collect(), 1)
    }

    /// One token of each of `sequences`, behind `depth` others.
    pub fn decode(
        program: &Program,
        profile: &RuntimeProfile,
        depth: usize,
        sequences: usize,
    ) -> Self {
        let chunk = Chunk {
            depth,
            tokens: 1,
            outputs: Outputs::Last,
        };
        Self::new(program, profile, Regime::Decode, vec![chunk], sequences)
    }

    fn new(
        program: &Program,
        profile: &RuntimeProfile,
        regime: Regime,
        chunks: Vec<Chunk>,
        sequences: usize,
    ) -> Self {
        let tokens = sequences * chunks.iter().map(|c| c.tokens).sum::<usize>();
        let (mut parts, mut part_of): (Vec<PartPlan>, Vec<usize>) = (Vec::new(), Vec::new());
        let (mut streamed_by_chunk, mut cache_bytes) = (vec![0u64; chunks.len()], 0);
        let mut total = Demand::default();
        for (index, labelled) in program.nodes().iter().enumerate() {
            let at = parts
                .iter()
                .position(|p| p.name == labelled.label.part)
                .unwrap_or_else(|| {
                    let name = labelled.label.part;
                    parts.push(PartPlan {
                        name,
                        nodes: Vec::new(),
                        alone: Vec::new(),
                        warm: Vec::new(),
                        demand: Demand::default(),
                    });
                    parts.len() - 1
                });
            part_of.push(at);
            let part = &mut parts[at];
            part.nodes.push(index);
            if index > 0 && changes_its_input(&labelled.node) {
                part.alone.push(index - 1);
            }
            part.alone.push(index);
            for (chunk, streamed_sum) in chunks.iter().zip(&mut streamed_by_chunk) {
                let (shape, times) = chunk.shape(profile).of_sequences(&labelled.node, sequences);
                let one = program.cost(&labelled.node, shape);
                let streamed = streamed_bytes(program, &labelled.node, shape, &one) * times;
                let cost = one * times;
                let activations = cost.bytes().saturating_sub(streamed);
                *streamed_sum = streamed_sum.saturating_add(streamed);
                cache_bytes = cache_bytes.max(activations);
                for demand in [&mut part.demand, &mut total] {
                    add(demand, &cost, streamed, tokens);
                }
            }
        }
        for part in &mut parts {
            let shape = chunks.first().map(|chunk| chunk.shape(profile));
            let cost = |node: &usize| Some(program.cost(&program.nodes()[*node].node, shape?));
            if part
                .nodes
                .iter()
                .any(|node| cost(node) != cost(&part.nodes[0]))
            {
                continue;
            }
            let one = part.alone.iter().position(|&node| node == part.nodes[0]);
            let one = &part.alone[..=one.unwrap_or(0)];
            part.warm = one.repeat(part.nodes.len());
        }
        let stream_bytes = streamed_by_chunk.into_iter().max().unwrap_or(0);
        Self {
            regime,
            sequences,
            tokens,
            depth: chunks.first().map_or(0, |c| c.depth),
            chunks,
            parts,
            part_of,
            demand: total,
            stream_bytes,
            cache_bytes,
        }
    }

    /// Tokens of its largest step.
    pub fn chunk(&self) -> usize {
        self.chunks.iter().map(|c| c.tokens).max().unwrap_or(1)
    }
}

fn add(demand: &mut Demand, cost: &Cost, streamed: u64, tokens: usize) {
    let per_token = |amount: u64| amount as f64 / tokens.max(1) as f64;
    demand.streamed_bytes += per_token(streamed);
    demand.activation_bytes += per_token(cost.bytes().saturating_sub(streamed));
    demand.work.int8_ops += per_token(cost.int8_ops);
    demand.work.int16_ops += per_token(cost.int16_ops);
    demand.work.bf16_flops += per_token(cost.bf16_flops);
    demand.work.f32_flops += per_token(cost.f32_flops);
}

fn changes_its_input(node: &Node) -> bool {
    match node {
        Node::Glu { gate, out, .. } => gate == out,
        Node::Heads { .. }
        | Node::DeltaPrepare { .. }
        | Node::Wkv7Gates { .. }
        | Node::Wkv7Output { .. } => true,
        _ => false,
    }
}

pub(super) fn streamed_bytes(program: &Program, node: &Node, shape: StepShape, cost: &Cost) -> u64 {
    match node {
        Node::MatMul { input, projections } => {
            let extent = program.buffer(*input).extent;
            let rows = extent.rows(shape.tokens, shape.outputs);
            let weights = projections
                .iter()
                .map(|p| program.matrix(p.matrix).bytes() as u64);
            if rows == 0 { 0 } else { weights.sum() }
        }
        Node::HeadMatMul { matrix, .. } => program.matrix(*matrix).bytes() as u64,
        Node::Attention {
            gate,
            heads,
            head_dim,
            ..
        } => {
            let queries = 4 * (shape.tokens * heads * head_dim) as u64;
            let activations = if gate.is_some() { 2 * queries } else { queries };
            cost.read_bytes.saturating_sub(activations)
        }
        // f32, read and written.
        Node::GatedDelta { shape, .. } => {
            8 * (shape.value_heads * shape.key_dim * shape.value_dim) as u64
        }
        Node::Mamba2 { shape, .. } => 8 * shape.state_len() as u64,
        Node::Wkv7 { shape, .. } => 8 * shape.state_len() as u64,
        // One row.
        Node::TokenShift { input: row, .. } | Node::RgLru { out: row, .. } => {
            8 * program.buffer(*row).width as u64
        }
        Node::Embed { .. } => cost.read_bytes,
        Node::ExpertMatMul { .. } => program.expert_weight_bytes(node, shape.tokens),
        _ => 0,
    }
}
