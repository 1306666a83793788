//! Gated DeltaNet: projections, convolution, gates, the delta rule, a gated norm, projection back.

use kernels::{
    DeltaShape,
    program::{BufferId, Extent, Node, Projection},
};
use ops::gated_rms_norm::Gate;

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// Of the L2 norms of queries and keys.
pub(super) const L2_EPS: f32 = 1e-6;

/// How the file stores the projections of the two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateRows {
    /// `ssm_alpha` and `ssm_beta`.
    Apart,
    /// `ssm_ba`: per key head the betas, then the alphas, of its value heads.
    PerKeyHead,
}

/// One layer's DeltaNet.
pub(crate) struct DeltaNet<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub shape: DeltaShape,
    pub gate_rows: GateRows,
}

impl DeltaNet<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let (shape, hidden) = (self.shape, self.config.hidden);
        let (channels, values) = (2 * shape.keys() + shape.values(), shape.values());
        let name = |part: &str| format!("blk.{layer}.{part}");
        self.stream
            .norm(loader, "attn_norm", &name("attn_norm.weight"))?;

        let mixed = loader
            .program
            .buffer("delta_mixed", channels, Extent::Tokens);
        let z = loader.program.buffer("delta_z", values, Extent::Tokens);
        let mut projections = Vec::new();
        for (out, part, width) in [
            (mixed, "attn_qkv.weight", channels),
            (z, "attn_gate.weight", values),
        ] {
            let matrix = loader.matrix(&name(part), width, hidden)?;
            projections.push(Projection::new(matrix, out));
        }
        let a = loader
            .program
            .buffer("delta_a", shape.value_heads, Extent::Tokens);
        let b = loader
            .program
            .buffer("delta_b", shape.value_heads, Extent::Tokens);
        self.gates(loader, layer, (a, b), &mut projections)?;
        push(
            loader,
            "delta_in",
            Node::MatMul {
                input: self.stream.normed,
                projections,
            },
        )?;

        let qkv = loader.program.buffer("delta_qkv", channels, Extent::Tokens);
        let weight = loader.taps(&name("ssm_conv1d.weight"), channels)?;
        let state = loader.program.conv_state(channels);
        push(
            loader,
            "delta_conv",
            Node::CausalConv {
                input: mixed,
                out: qkv,
                weight,
                bias: None,
                silu: true,
                state,
            },
        )?;
        let decay_rate = loader.vector(&name("ssm_a"), shape.value_heads)?;
        let dt_bias = loader.vector(&name("ssm_dt.bias"), shape.value_heads)?;
        push(
            loader,
            "delta_prepare",
            Node::DeltaPrepare {
                qkv,
                a,
                b,
                decay_rate,
                dt_bias,
                eps: L2_EPS,
                shape,
            },
        )?;
        let out = loader.program.buffer("delta_out", values, Extent::Tokens);
        let state = loader.program.delta_state(shape);
        push(
            loader,
            "delta_rule",
            Node::GatedDelta {
                qkv,
                alpha: a,
                beta: b,
                out,
                state,
                shape,
            },
        )?;

        let weight = loader.vector(&name("ssm_norm.weight"), shape.value_dim)?;
        let (eps, width) = (self.config.eps, shape.value_dim);
        let norm = Node::RmsNorm {
            input: out,
            out,
            weight,
            eps,
            width,
            gate: Some((z, Gate::Silu)),
            add: false,
            quantise: false,
        };
        push(loader, "delta_norm", norm)?;
        self.stream.project_back(
            loader,
            "delta_output",
            &name("ssm_out.weight"),
            (out, values),
            &Join::Add,
        )
    }

    fn gates(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        (a, b): (BufferId, BufferId),
        projections: &mut Vec<Projection>,
    ) -> Result<(), ModelError> {
        let (heads, hidden) = (self.shape.value_heads, self.config.hidden);
        let per_key = heads / self.shape.key_heads;
        for (out, alone, half) in [(b, "ssm_beta", 0), (a, "ssm_alpha", 1)] {
            let matrix = match self.gate_rows {
                GateRows::Apart => {
                    loader.matrix(&format!("blk.{layer}.{alone}.weight"), heads, hidden)?
                }
                GateRows::PerKeyHead => {
                    let from = move |h: usize| (2 * (h / per_key) + half) * per_key + h % per_key;
                    loader.rows(
                        &format!("blk.{layer}.ssm_ba.weight"),
                        2 * heads,
                        hidden,
                        heads,
                        &from,
                    )?
                }
            };
            projections.push(Projection::new(matrix, out));
        }
        Ok(())
    }
}
