//! The gated feed-forward layer, `down(act(gate(x)) * up(x))`, dense or as a mixture of experts.

use kernels::program::{BufferId, ExpertProjection, Extent, Node, Projection};
use ops::{glu::Activation, route::Scoring};

use super::stream::{Join, Stream, push};
use crate::{
    Config, ModelError,
    config::{Experts, file_name},
    load::Loader,
};

/// One layer's feed-forward part.
pub(crate) struct FeedForward<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub activation: Activation,
    /// Tensor of the norm in front, without layer and suffix.
    pub norm: &'static str,
    /// Tensor that normalises the result before it joins the stream.
    pub post_norm: Option<&'static str>,
    /// Whether a shared expert is behind a gate; without, it is added as it is.
    pub shared_gate: bool,
}

/// Tensors, buffers and labels of a gated pair.
struct Names {
    gate: (&'static str, &'static str),
    up: (&'static str, &'static str),
    products: &'static str,
}

const DENSE: Names = Names {
    gate: ("ffn_gate", "ffn_gate"),
    up: ("ffn_up", "ffn_up"),
    products: "ffn_gate_up",
};

const SHARED: Names = Names {
    gate: ("ffn_gate_shexp", "ffn_shared_gate"),
    up: ("ffn_up_shexp", "ffn_shared_up"),
    products: "ffn_shared_gate_up",
};

impl FeedForward<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        self.stream.norm(loader, "ffn_norm", &name(self.norm))?;
        if loader.has(&name("ffn_gate_inp")) || loader.has(&name("ffn_gate_exps")) {
            return self.experts(loader, layer);
        }
        let width = self.config.feed_forward;
        let hidden = self.gated(loader, layer, &DENSE, width)?;
        let join = self
            .post_norm
            .map_or(Join::Add, |norm| Join::NormAdd(name(norm)));
        self.stream.project_back(
            loader,
            "ffn_down",
            &name("ffn_down"),
            (hidden, width),
            &join,
        )
    }

    /// `act(gate(x)) * up(x)`, a row per token: one node, whose threads compute the same columns of both.
    fn gated(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        names: &Names,
        width: usize,
    ) -> Result<BufferId, ModelError> {
        let gate = loader.program.buffer(names.gate.1, width, Extent::Tokens);
        let up = loader.program.buffer(names.up.1, width, Extent::Tokens);
        let mut project = |part, out| {
            let tensor = format!("blk.{layer}.{part}.weight");
            let matrix = loader.matrix(&tensor, width, self.config.hidden)?;
            let bias = self.stream.bias(loader, &tensor, width)?;
            Ok::<_, ModelError>(Projection {
                bias,
                ..Projection::new(matrix, out)
            })
        };
        let projections = vec![
            project(names.gate.0, gate)?,
            Projection {
                gate: Some((gate, self.activation)),
                ..project(names.up.0, up)?
            },
        ];
        let input = self.stream.normed;
        push(loader, names.products, Node::MatMul { input, projections })?;
        Ok(up)
    }

    /// A matrix product of the normalised stream into a buffer of its own.
    fn product(
        loader: &mut Loader<'_>,
        part: &'static str,
        tensor: &str,
        input: (BufferId, usize),
        out: (&'static str, usize),
    ) -> Result<BufferId, ModelError> {
        let matrix = loader.matrix(tensor, out.1, input.1)?;
        let out = loader.program.buffer(out.0, out.1, Extent::Tokens);
        let projections = vec![Projection::new(matrix, out)];
        let node = Node::MatMul {
            input: input.0,
            projections,
        };
        push(loader, part, node)?;
        Ok(out)
    }

    /// Router, the chosen experts, the shared one where the layer has it, and their sum.
    fn experts(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let (hidden, normed) = (self.config.hidden, self.stream.normed);
        let Some(Experts {
            count,
            chosen,
            width,
            shared_width,
            scoring,
        }) = self.config.experts
        else {
            return Err(ModelError::Value {
                file: file_name(&loader.gguf),
                key: format!("{}.expert_count", self.config.architecture),
                found: "none".into(),
                expected: format!("the number of experts, since layer {layer} has them"),
            });
        };
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let input = (normed, hidden);
        let router = name("ffn_gate_inp");
        let logits = Self::product(loader, "ffn_router", &router, input, ("router", count))?;
        let routes = loader.program.buffer("routes", 2 * chosen, Extent::Tokens);
        let route = Node::Route {
            logits,
            out: routes,
            chosen,
            scoring,
            bias: match scoring {
                Scoring::Softmax => None,
                Scoring::Sigmoid { .. } => {
                    let bias = format!("blk.{layer}.exp_probs_b.bias");
                    loader.optional_vector(&bias, count)?
                }
            },
        };
        push(loader, "ffn_route", route)?;

        let slots = Extent::Slots(chosen);
        let gate = loader.program.buffer("expert_gate", width, slots);
        let up = loader.program.buffer("expert_up", width, slots);
        let out = loader.program.buffer("expert_out", hidden, slots);
        let mut projections = Vec::new();
        for (out, part) in [(gate, "ffn_gate_exps"), (up, "ffn_up_exps")] {
            let matrix = loader.experts(&name(part), count, width, hidden)?;
            projections.push(ExpertProjection { matrix, out });
        }
        let products = |input, projections| Node::ExpertMatMul {
            input,
            experts: count,
            chosen,
            projections,
        };
        push(loader, "ffn_experts_gate_up", products(normed, projections))?;
        let act = Node::Glu {
            gate,
            up,
            out: gate,
            activation: self.activation,
            quantise: false,
        };
        push(loader, "ffn_experts_act", act)?;
        let matrix = loader.experts(&name("ffn_down_exps"), count, hidden, width)?;
        let projections = vec![ExpertProjection { matrix, out }];
        push(loader, "ffn_experts_down", products(gate, projections))?;

        let sign = if self.shared_gate {
            "ffn_gate_inp_shexp"
        } else {
            "ffn_gate_shexp"
        };
        let shared = if loader.has(&name(sign)) {
            let gated = self.gated(loader, layer, &SHARED, shared_width)?;
            let down = name("ffn_down_shexp");
            let input = (gated, shared_width);
            let to = ("shared_out", hidden);
            let out = Self::product(loader, "ffn_shared_down", &down, input, to)?;
            let gate = match self.shared_gate {
                true => Some(self.gate(loader, &name("ffn_gate_inp_shexp"))?),
                false => None,
            };
            Some((out, gate))
        } else {
            None
        };
        let mix = Node::Mix {
            input: out,
            routes,
            shared,
            scale: self.stream.residual_scale,
            out: self.stream.x,
            chosen,
        };
        push(loader, "ffn_mix", mix)
    }

    /// The shared expert's gate: one row, stored as a vector.
    fn gate(&self, loader: &mut Loader<'_>, tensor: &str) -> Result<BufferId, ModelError> {
        let hidden = self.config.hidden;
        let matrix = loader.row_vector(tensor, hidden)?;
        let out = loader.program.buffer("shared_gate", 1, Extent::Tokens);
        let projections = vec![Projection::new(matrix, out)];
        let input = self.stream.normed;
        push(
            loader,
            "ffn_shared_gate",
            Node::MatMul { input, projections },
        )?;
        Ok(out)
    }
}
