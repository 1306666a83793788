//! What mixes tokens: attention over its cache, and the gated delta rule with the convolution before it and the norm behind it.

use kernels::{
    DeltaShape,
    program::{HeadSpec, Label, Node},
};
use ops::{
    gated_delta::{Decay, HeadMap},
    gated_rms_norm::Gate,
};

use super::{Lowering, expect, refuse};
use crate::{
    CudaError,
    plan::{AttendStep, DELTA, DeltaStep, GROUP, HEAD, Operation, StateSpec, TURNED},
};

impl Lowering<'_> {
    pub(super) fn attention(
        &mut self,
        label: Label,
        heads: &Node,
        attention: &Node,
    ) -> Result<(), CudaError> {
        let (
            &Node::Heads {
                q:
                    HeadSpec {
                        buffer: q,
                        count,
                        norm: Some(q_norm),
                        scale,
                    },
                k:
                    HeadSpec {
                        buffer: k,
                        count: kv_heads,
                        norm: Some(k_norm),
                        scale: k_scale,
                    },
                v,
                head_dim: HEAD,
                eps,
                table: Some((table, TURNED)),
                cache,
            },
            &Node::Attention {
                q: asked,
                out,
                gate: Some(gate),
                cache: read,
                window: None,
                ..
            },
        ) = (heads, attention)
        else {
            return Err(refuse(
                label,
                "its heads are not 256 wide with norms, 64 turned dimensions, an output gate and no window",
            ));
        };
        let group = count / kv_heads.max(1);
        let is_whole = asked == q
            && read == cache
            && k_scale == 1.0
            && self.rope.is_some_and(|(own, _)| own == table);
        expect(is_whole, label, "its parts do not belong together")?;
        let fits = (1..=GROUP).contains(&group)
            && count.is_multiple_of(kv_heads)
            && kv_heads <= self.products_share();
        expect(fits, label, "more than 8 queries share a key")?;
        self.halves.push(out);
        self.most_heads_per_key = self.most_heads_per_key.max(group);
        let (needs, mark) = (self.last_mark, self.next());
        self.last_mark = mark;
        let step = AttendStep {
            q,
            gate,
            k,
            v,
            out,
            q_norm,
            k_norm,
            cache: cache.index(),
            heads: count,
            kv_heads,
            eps,
            scale,
        };
        self.operate(Operation::Attend(step), needs, mark);
        Ok(())
    }

    pub(super) fn delta(&mut self, label: Label, nodes: [&Node; 4]) -> Result<(), CudaError> {
        let [
            &Node::CausalConv {
                input: qkv,
                out: convolved,
                weight: taps,
                bias: None,
                silu: true,
                ..
            },
            &Node::DeltaPrepare {
                qkv: prepared,
                a,
                b,
                decay_rate,
                dt_bias,
                eps,
                shape,
            },
            &Node::GatedDelta {
                qkv: read,
                alpha,
                beta,
                out,
                ..
            },
            &Node::RmsNorm {
                input,
                out: result,
                weight,
                eps: norm_eps,
                width: DELTA,
                gate: Some((z, Gate::Silu)),
                add: false,
                ..
            },
        ] = nodes
        else {
            return Err(refuse(
                label,
                "it is not a convolution with SiLU, the delta rule and a norm gated by SiLU with heads of 128",
            ));
        };
        let DeltaShape {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            head_map,
            decay,
        } = shape;
        let is_whole = [prepared, read] == [convolved; 2]
            && (alpha, beta) == (a, b)
            && [input, result] == [out; 2];
        expect(is_whole, label, "its parts do not belong together")?;
        let fits = key_dim == DELTA
            && value_dim == DELTA
            && decay == Decay::PerHead
            && value_heads <= self.products_share();
        expect(
            fits,
            label,
            "its heads are not 128 wide with one decay each, or more than there are multiprocessors",
        )?;
        self.halves.push(out);
        let state = self.states.len();
        self.states.push(StateSpec {
            channels: (2 * key_heads + value_heads) * DELTA,
            value_heads,
        });
        let (needs, mark) = (self.last_mark, self.next());
        self.last_mark = mark;
        let step = DeltaStep {
            qkv,
            a,
            b,
            z,
            out,
            taps,
            decay_rate,
            dt_bias,
            weight,
            state,
            key_heads,
            value_heads,
            grouped: head_map == HeadMap::Grouped,
            eps,
            norm_eps,
        };
        self.operate(Operation::Delta(step), needs, mark);
        Ok(())
    }
}
