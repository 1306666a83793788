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
            } => alike(&[*input, *out, gate.map_or(*out, |(z, _)| z)]),
            Node::LayerNorm { input, out, .. } => alike(&[*input, *out]),
            Node::Quantise { .. } => true,
            Node::MatMul { input, projections } => projections
                .iter()
                .all(|p| alike(&[*input, p.out]) || per_token(&[*input]) && self.is_wide(p.out)),
            Node::HeadMatMul {
                input,
                rest,
                out,
                heads,
                ..
            } => {
                let slots = Extent::Slots(*heads);
                let per_head = |id: &BufferId| extent(id) == slots;
                per_head(input) && rest.iter().all(per_head) && per_token(&[*out])
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
            Node::Attention {
                q,
                out,
                gate,
                heads,
                ..
            } => {
                let wide = extent(out) == Extent::Slots(*heads) && self.is_wide(*out);
                per_token(&[*q, gate.unwrap_or(*q)]) && (per_token(&[*out]) || wide)
            }
            Node::Glu { gate, up, out, .. } => alike(&[*gate, *up, *out]),
            Node::CausalConv { input, out, .. } => {
                per_token(&[*input]) && (per_token(&[*out]) || self.is_wide(*out))
            }
            Node::RgLru {
                x,
                input,
                recurrence,
                out,
                ..
            } => per_token(&[*input, *recurrence, *out]) && (per_token(&[*x]) || self.is_wide(*x)),
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

    /// Whether a token's slots of the buffer are one row without gaps.
    pub(super) fn is_wide(&self, id: BufferId) -> bool {
        let buffer = &self.buffers[id.0];
        matches!(buffer.extent, Extent::Slots(_)) && buffer.width.is_multiple_of(16)
    }

    /// Columns of a token's row, its slots one behind the other where it has several.
    pub(super) fn row_width(&self, id: BufferId) -> usize {
        let buffer = &self.buffers[id.0];
        match buffer.extent {
            Extent::Slots(count) => buffer.width.saturating_mul(count),
            Extent::Tokens | Extent::Outputs => buffer.width,
        }
    }
}
