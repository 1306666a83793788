//! Kimi Delta Attention: projections, a convolution of each, a decay for each key channel and an output gate through a bottleneck,
//! the delta rule, a norm per head behind the gate's sigmoid, projection back.

use kernels::{
    DeltaShape,
    program::{BufferId, Extent, Node, Projection},
};
use ops::gated_rms_norm::Gate;

use super::delta_net::L2_EPS;
use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// One layer's.
pub(crate) struct KimiDelta<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub shape: DeltaShape,
}

impl KimiDelta<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let (shape, hidden) = (self.shape, self.config.hidden);
        let (heads, dim, values) = (shape.value_heads, shape.value_dim, shape.values());
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut buffer = |part, width| loader.program.buffer(part, width, Extent::Tokens);
        let mixed = buffer("delta_mixed", 3 * values);
        let qkv = buffer("delta_qkv", 3 * values);
        // The bottlenecks are as wide as a head.
        let [forget, open] = ["delta_rank_f", "delta_rank_g"].map(|part| buffer(part, dim));
        let [a, z, out] = ["delta_a", "delta_z", "delta_out"].map(|part| buffer(part, values));
        let b = buffer("delta_b", heads);
        self.stream
            .norm(loader, "attn_norm", &name("attn_norm.weight"))?;

        let mut projections = Vec::new();
        for (i, part) in ["attn_q", "attn_k", "attn_v"].into_iter().enumerate() {
            let matrix = loader.matrix(&name(&format!("{part}.weight")), values, hidden)?;
            projections.push(Projection {
                column: Some(i * values),
                ..Projection::new(matrix, mixed)
            });
        }
        for (part, out, width) in [
            ("ssm_f_a", forget, dim),
            ("ssm_g_a", open, dim),
            ("ssm_beta", b, heads),
        ] {
            let matrix = loader.matrix(&name(&format!("{part}.weight")), width, hidden)?;
            projections.push(Projection::new(matrix, out));
        }
        let input = self.stream.normed;
        push(loader, "delta_in", Node::MatMul { input, projections })?;
        for (part, input, out) in [("ssm_f_b", forget, a), ("ssm_g_b", open, z)] {
            let matrix = loader.matrix(&name(&format!("{part}.weight")), values, dim)?;
            let projections = vec![Projection::new(matrix, out)];
            push(loader, "delta_gates", Node::MatMul { input, projections })?;
        }

        let taps = ["q", "k", "v"].map(|kind| name(&format!("ssm_conv1d_{kind}.weight")));
        let conv = Node::CausalConv {
            input: mixed,
            out: qkv,
            weight: loader.joined_taps(&taps, values)?,
            bias: None,
            silu: true,
            state: loader.program.conv_state(3 * values),
        };
        push(loader, "delta_conv", conv)?;
        self.rule(loader, layer, (qkv, a, b), out)?;
        let norm = Node::RmsNorm {
            input: out,
            out,
            weight: loader.vector(&name("ssm_norm.weight"), dim)?,
            eps: self.config.eps,
            width: dim,
            gate: Some((z, Gate::Sigmoid)),
            add: false,
            quantise: false,
        };
        push(loader, "delta_norm", norm)?;
        let tensor = name("attn_output.weight");
        self.stream
            .project_back(loader, "delta_output", &tensor, (out, values), &Join::Add)
    }

    /// Gates and norms in place, and the recurrence.
    fn rule(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        (qkv, a, b): (BufferId, BufferId, BufferId),
        out: BufferId,
    ) -> Result<(), ModelError> {
        let shape = self.shape;
        let heads = shape.value_heads;
        let rates: [&[usize]; 3] = [&[1, heads], &[1, heads, 1, 1], &[heads]];
        let prepare = Node::DeltaPrepare {
            qkv,
            a,
            b,
            decay_rate: loader.shaped(&format!("blk.{layer}.ssm_a"), &rates)?,
            dt_bias: loader.vector(&format!("blk.{layer}.ssm_dt.bias"), shape.decays())?,
            eps: L2_EPS,
            shape,
        };
        push(loader, "delta_prepare", prepare)?;
        let rule = Node::GatedDelta {
            qkv,
            alpha: a,
            beta: b,
            out,
            state: loader.program.delta_state(shape),
            shape,
        };
        push(loader, "delta_rule", rule)
    }
}
