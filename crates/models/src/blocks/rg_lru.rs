//! Griffin's recurrent block: two projections; on one branch a convolution, gates whose matrices are block diagonal, and the RG-LRU; the
//! other, through GELU, multiplies what it gives; projection back.

use kernels::program::{BufferId, Extent, Node, Projection};
use ops::glu::Activation;

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// Dimensions of the recurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LruShape {
    /// Blocks of the gates' matrices.
    pub heads: usize,
    /// In all heads: a multiple of 16 in each.
    pub channels: usize,
}

/// One layer's recurrent block.
pub(crate) struct RgLru<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub shape: LruShape,
}

impl RgLru<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let LruShape { heads, channels } = self.shape;
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut buffer = |part| loader.program.buffer(part, channels, Extent::Tokens);
        let [mixed, y, input, recurrence, read, gated] = [
            "lru_mixed",
            "lru_y",
            "lru_input",
            "lru_recurrence",
            "lru_read",
            "lru_gated",
        ]
        .map(&mut buffer);
        // A row per head, since the gates' products are the heads'.
        let slots = Extent::Slots(heads);
        let x = loader.program.buffer("lru_x", channels / heads, slots);
        self.stream
            .norm(loader, "attn_norm", &name("attn_norm.weight"))?;

        let mut projections = Vec::new();
        for (out, part) in [(mixed, "ssm_in"), (y, "ssm_gate")] {
            let tensor = name(&format!("{part}.weight"));
            let matrix = loader.matrix(&tensor, channels, self.config.hidden)?;
            projections.push(Projection {
                bias: self.stream.bias(loader, &tensor, channels)?,
                ..Projection::new(matrix, out)
            });
        }
        let normed = self.stream.normed;
        let product = Node::MatMul {
            input: normed,
            projections,
        };
        push(loader, "lru_in", product)?;
        let conv = Node::CausalConv {
            input: mixed,
            out: x,
            weight: loader.taps(&name("ssm_conv1d.weight"), channels)?,
            bias: Some(loader.vector(&name("ssm_conv1d.bias"), channels)?),
            silu: false,
            state: loader.program.conv_state(channels),
        };
        push(loader, "lru_conv", conv)?;
        for (part, kind, out) in [
            ("lru_input_gate", "input", input),
            ("lru_recurrence_gate", "recurrence", recurrence),
        ] {
            let tensor = name(&format!("ssm_{kind}_gate.weight"));
            self.gate(loader, part, &tensor, (x, out))?;
        }
        let scan = Node::RgLru {
            x,
            input,
            recurrence,
            input_bias: loader.vector(&name("ssm_input_gate.bias"), channels)?,
            recurrence_bias: loader.vector(&name("ssm_recurrence_gate.bias"), channels)?,
            rate: loader.vector(&name("ssm_a"), channels)?,
            out: read,
            state: loader.program.rg_lru_state(channels),
        };
        push(loader, "lru_scan", scan)?;
        let gate = Node::Glu {
            gate: y,
            up: read,
            out: gated,
            activation: Activation::GeluTanh,
            quantise: false,
        };
        push(loader, "lru_gate", gate)?;
        let (tensor, input) = (name("ssm_out.weight"), (gated, channels));
        self.stream
            .project_back(loader, "lru_output", &tensor, input, &Join::Add)
    }

    /// The products of each head with its block of a gate's matrix; the recurrence adds the bias.
    fn gate(
        &self,
        loader: &mut Loader<'_>,
        part: &'static str,
        tensor: &str,
        (input, out): (BufferId, BufferId),
    ) -> Result<(), ModelError> {
        let LruShape { heads, channels } = self.shape;
        let block = channels / heads;
        let node = Node::HeadMatMul {
            input,
            rest: None,
            out,
            heads,
            matrix: loader.experts(tensor, heads, block, block)?,
        };
        push(loader, part, node)
    }
}
