//! Which rows a node's buffers have: what is written per token fits no row per output.

use super::{Extent, Node, ProgramBuilder, ProgramError, rwkv7::wkv7_buffers};
use crate::program::BufferId;

impl ProgramBuilder {
    /// Buffers of a node have as many rows as each other.
    pub(super) fn check_rows(&self, node: &Node) -> Result<(), ProgramError> {
        let extent = |id: &BufferId| self.buffers[id.0].extent;
        let per_token = |ids: &[BufferId]| ids.iter().all(|id| extent(id) == Extent::Tokens);
        let alike = |ids: &[BufferId]| ids.iter().all(|id| extent(id) == extent(&ids[0]));
        let holds = match node {
            Node::Embed { out, .. } | Node::RopeTable { out, .. } => per_token(&[*out]),
            Node::RmsNorm {
                input, out, gate, ..
            } => alike(&[*input, *out, gate.unwrap_or(*out)]),
            Node::LayerNorm { input, out, .. } => alike(&[*input, *out]),
            Node::Quantise { .. } => true,
            Node::MatMul { input, projections } => {
                projections.iter().all(|p| alike(&[*input, p.out]))
            }
            Node::Route { logits, out, .. } => per_token(&[*logits, *out]),
            Node::ExpertMatMul {
                input,
                chosen,
                projections,
                ..
            } => {
                let slots = Extent::Slots(*chosen);
                let input = extent(input);
                (input == Extent::Tokens || input == slots)
                    && projections.iter().all(|p| extent(&p.out) == slots)
            }
            Node::Mix {
                input,
                routes,
                shared,
                out,
                chosen,
                ..
            } => {
                let (s, gate) = shared.map_or((*out, *out), |(s, gate)| (s, gate.unwrap_or(s)));
                extent(input) == Extent::Slots(*chosen) && per_token(&[*routes, *out, s, gate])
            }
            Node::Heads { q, k, v, table, .. } => {
                per_token(&[q.buffer, k.buffer, *v, table.map_or(*v, |(id, _)| id)])
            }
            Node::Attention { q, out, gate, .. } => per_token(&[*q, *out, gate.unwrap_or(*out)]),
            Node::Glu { gate, up, out, .. } => alike(&[*gate, *up, *out]),
            Node::CausalConv { input, out, .. } => per_token(&[*input, *out]),
            Node::DeltaPrepare { qkv, a, b, .. } => per_token(&[*qkv, *a, *b]),
            Node::GatedDelta {
                qkv,
                alpha,
                beta,
                out,
                ..
            } => per_token(&[*qkv, *alpha, *beta, *out]),
            Node::TimeSteps { dt, out, .. } => per_token(&[*dt, *out]),
            Node::Mamba2 {
                xbc, steps, out, ..
            } => per_token(&[*xbc, *steps, *out]),
            Node::TokenShift { input, outs, .. } => {
                per_token(&[*input]) && outs.iter().all(|o| per_token(&[o.out]))
            }
            Node::Wkv7Gates { .. } | Node::Wkv7 { .. } | Node::Wkv7Output { .. } => {
                wkv7_buffers(node)
                    .iter()
                    .flatten()
                    .all(|id| per_token(&[*id]))
            }
            Node::SelectOutputs { input, .. } => per_token(&[*input]),
        };
        self.expect(holds, || {
            "its buffers mix a row per token with a row per output".into()
        })
    }
}
