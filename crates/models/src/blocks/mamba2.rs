//! Mamba-2: one projection, convolution, step sizes, the selective scan, a gate and a norm, projection back.

use kernels::{
    Mamba2Shape,
    program::{Extent, Node, Projection},
};
use ops::glu::Activation;

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// One layer's Mamba-2.
pub(crate) struct Mamba2<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub shape: Mamba2Shape,
}

impl Mamba2<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let shape = self.shape;
        let (channels, values, heads) = (shape.channels(), shape.values(), shape.heads);
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut buffer = |part, width| loader.program.buffer(part, width, Extent::Tokens);
        let z = buffer("mamba_z", values);
        let mixed = buffer("mamba_mixed", channels);
        let dt = buffer("mamba_dt", heads);
        let xbc = buffer("mamba_xbc", channels);
        let steps = buffer("mamba_steps", 2 * heads);
        let out = buffer("mamba_out", values);
        self.stream
            .norm(loader, "attn_norm", &name("attn_norm.weight"))?;

        // The file's rows are z | x | B | C | dt.
        let rows = values + channels + heads;
        let (mut projections, mut first) = (Vec::new(), 0);
        for (out, width) in [(z, values), (mixed, channels), (dt, heads)] {
            let from = move |r: usize| first + r;
            let tensor = name("ssm_in.weight");
            let matrix = loader.rows(&tensor, rows, self.config.hidden, width, &from)?;
            projections.push(Projection::new(matrix, out));
            first += width;
        }
        let input = self.stream.normed;
        push(loader, "mamba_in", Node::MatMul { input, projections })?;

        let conv = Node::CausalConv {
            input: mixed,
            out: xbc,
            weight: loader.taps(&name("ssm_conv1d.weight"), channels)?,
            bias: loader.optional_vector(&name("ssm_conv1d.bias"), channels)?,
            silu: true,
            state: loader.program.conv_state(channels),
        };
        push(loader, "mamba_conv", conv)?;
        let time = Node::TimeSteps {
            dt,
            out: steps,
            rate: loader.flat(&name("ssm_a"), &[1, heads])?,
            bias: loader.vector(&name("ssm_dt.bias"), heads)?,
        };
        push(loader, "mamba_steps", time)?;
        let scan = Node::Mamba2 {
            xbc,
            steps,
            skip: loader.flat(&name("ssm_d"), &[1, heads])?,
            out,
            state: loader.program.mamba2_state(shape),
            shape,
        };
        push(loader, "mamba_scan", scan)?;

        // The gate comes before the norm, which is over a group's channels.
        let gate = Node::Glu {
            gate: z,
            up: out,
            out: z,
            activation: Activation::Silu,
            quantise: false,
        };
        push(loader, "mamba_gate", gate)?;
        let width = values / shape.groups;
        let norm = Node::RmsNorm {
            input: z,
            out: z,
            weight: loader.flat(&name("ssm_norm.weight"), &[width, shape.groups])?,
            eps: self.config.eps,
            width,
            gate: None,
            add: false,
            quantise: false,
        };
        push(loader, "mamba_norm", norm)?;
        self.stream.project_back(
            loader,
            "mamba_output",
            &name("ssm_out.weight"),
            (z, values),
            &Join::Add,
        )
    }
}
