//! The gated feed-forward layer: `down(act(gate(x)) * up(x))`.

use kernels::program::{Extent, Node, Projection};
use ops::glu::Activation;

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, config::file_name, load::Loader};

/// One layer's feed-forward part.
pub(crate) struct FeedForward<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub activation: Activation,
    /// Tensor of the norm in front, without layer and suffix.
    pub norm: &'static str,
    /// Tensor that normalises the result before it joins the stream.
    pub post_norm: Option<&'static str>,
}

impl FeedForward<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let Config {
            hidden,
            feed_forward: width,
            ..
        } = *self.config;
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        if loader.has(&name("ffn_gate_exps")) || loader.has(&name("ffn_gate_inp")) {
            return Err(ModelError::Unsupported {
                file: file_name(&loader.gguf),
                feature: "a mixture of experts".into(),
                remedy: "take a dense model of the family".into(),
            });
        }
        self.stream.norm(loader, "ffn_norm", &name(self.norm))?;
        let gate = loader.program.buffer("ffn_gate", width, Extent::Tokens);
        let up = loader.program.buffer("ffn_up", width, Extent::Tokens);
        let mut projections = Vec::new();
        for (out, part) in [(gate, "ffn_gate"), (up, "ffn_up")] {
            let matrix = loader.matrix(&name(part), width, hidden)?;
            projections.push(Projection {
                matrix,
                out,
                bias: None,
                add: false,
            });
        }
        push(
            loader,
            "ffn_gate_up",
            Node::MatMul {
                input: self.stream.normed,
                projections,
            },
        )?;
        let node = Node::Glu {
            gate,
            up,
            out: gate,
            activation: self.activation,
            quantise: false,
        };
        push(loader, "ffn_act", node)?;
        let join = self
            .post_norm
            .map_or(Join::Add, |norm| Join::NormAdd(name(norm)));
        self.stream
            .project_back(loader, "ffn_down", &name("ffn_down"), (gate, width), &join)
    }
}
