//! The residual stream: embedding, norms in front of blocks, and the way out to the logits.

use kernels::program::{BufferId, Extent, Node, Projection, VectorId};
use ops::pointwise::Function;

use crate::{Config, ModelError, config::file_name, load::Loader};

/// Buffers that all layers share.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    /// The residual stream.
    pub x: BufferId,
    /// Its normalised form, input of a block.
    pub normed: BufferId,
    hidden: usize,
    eps: f32,
    /// Multiplies what blocks add to the stream.
    pub residual_scale: f32,
    logit_scale: f32,
    /// Bounds the logits.
    logit_cap: Option<f32>,
    /// Whether what blocks compute with matrices has biases, those of queries, keys and values aside.
    has_biases: bool,
    norms: Norms,
}

/// What normalises rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Norms {
    Rms,
    /// With a mean, and biases beside the weights.
    Layer,
}

/// What becomes of a block's result before it joins the stream.
#[derive(Clone, Debug)]
pub(crate) enum Join {
    /// It is added.
    Add,
    /// It is normalised with this tensor first.
    NormAdd(String),
}

impl Stream {
    /// Starts the program: the tokens' embeddings, times `scale`.
    pub(crate) fn begin(
        loader: &mut Loader<'_>,
        config: &Config,
        scale: f32,
    ) -> Result<Self, ModelError> {
        let (hidden, eps) = (config.hidden, config.eps);
        let x = loader.program.buffer("x", hidden, Extent::Tokens);
        let normed = loader.program.buffer("normed", hidden, Extent::Tokens);
        push(loader, "embed", Node::Embed { out: x, scale })?;
        Ok(Self {
            x,
            normed,
            hidden,
            eps,
            residual_scale: 1.0,
            logit_scale: 1.0,
            logit_cap: None,
            has_biases: false,
            norms: Norms::Rms,
        })
    }

    /// With layer norms before blocks and at the end (RWKV's).
    pub(crate) fn with_layer_norms(self) -> Self {
        Self {
            norms: Norms::Layer,
            ..self
        }
    }

    /// With factors for what blocks add and for the logits (Granite's). Blocks that normalise their result have none.
    pub(crate) fn scaled(self, residual_scale: f32, logit_scale: f32) -> Self {
        Self {
            residual_scale,
            logit_scale,
            ..self
        }
    }

    /// With biases in all blocks and a soft cap of the logits (RecurrentGemma's).
    pub(crate) fn biased_and_capped(self, logit_cap: f32) -> Self {
        Self {
            logit_cap: Some(logit_cap),
            has_biases: true,
            ..self
        }
    }

    /// The bias beside a block's matrix `tensor` of `rows` outputs, where blocks have biases.
    pub(super) fn bias(
        &self,
        loader: &mut Loader<'_>,
        tensor: &str,
        rows: usize,
    ) -> Result<Option<VectorId>, ModelError> {
        if !self.has_biases {
            return Ok(None);
        }
        loader.vector(&bias_of(tensor), rows).map(Some)
    }

    /// Normalises the stream into `normed`.
    pub(crate) fn norm(
        &self,
        loader: &mut Loader<'_>,
        part: &'static str,
        tensor: &str,
    ) -> Result<(), ModelError> {
        let node = self.norm_node(loader, tensor, self.x, self.normed)?;
        push(loader, part, node)
    }

    /// Normalises the stream itself.
    pub(crate) fn norm_in_place(
        &self,
        loader: &mut Loader<'_>,
        part: &'static str,
        tensor: &str,
    ) -> Result<(), ModelError> {
        let node = self.norm_node(loader, tensor, self.x, self.x)?;
        push(loader, part, node)
    }

    /// The norm whose weights are `tensor`; biases are beside them under the suffix `bias`.
    fn norm_node(
        &self,
        loader: &mut Loader<'_>,
        tensor: &str,
        input: BufferId,
        out: BufferId,
    ) -> Result<Node, ModelError> {
        let weight = loader.vector(tensor, self.hidden)?;
        let (eps, width) = (self.eps, self.hidden);
        Ok(match self.norms {
            Norms::Rms => Node::RmsNorm {
                input,
                out,
                weight,
                eps,
                width,
                gate: None,
                add: false,
                quantise: false,
            },
            Norms::Layer => Node::LayerNorm {
                input,
                out,
                weight,
                bias: loader.vector(&bias_of(tensor), width)?,
                eps,
                quantise: false,
            },
        })
    }

    /// `x += residual_scale * W input`, or `x += norm(W input)`.
    pub(crate) fn project_back(
        &self,
        loader: &mut Loader<'_>,
        part: &'static str,
        tensor: &str,
        input: (BufferId, usize),
        join: &Join,
    ) -> Result<(), ModelError> {
        let matrix = loader.matrix(tensor, self.hidden, input.1)?;
        match join {
            Join::Add => {
                let projections = vec![Projection {
                    bias: self.bias(loader, tensor, self.hidden)?,
                    scale: self.residual_scale,
                    add: true,
                    ..Projection::new(matrix, self.x)
                }];
                push(
                    loader,
                    part,
                    Node::MatMul {
                        input: input.0,
                        projections,
                    },
                )
            }
            Join::NormAdd(norm) => {
                let out = loader
                    .program
                    .buffer("block_out", self.hidden, Extent::Tokens);
                let projections = vec![Projection::new(matrix, out)];
                push(
                    loader,
                    part,
                    Node::MatMul {
                        input: input.0,
                        projections,
                    },
                )?;
                let weight = loader.vector(norm, self.hidden)?;
                let (eps, width) = (self.eps, self.hidden);
                let node = Node::RmsNorm {
                    input: out,
                    out: self.x,
                    weight,
                    eps,
                    width,
                    gate: None,
                    add: true,
                    quantise: false,
                };
                push(loader, "post_norm", node)
            }
        }
    }

    /// The final norm and the logits: `output.weight`, or the embedding table where the file ties them.
    pub(crate) fn end(
        &self,
        loader: &mut Loader<'_>,
        config: &Config,
    ) -> Result<BufferId, ModelError> {
        loader.program.layer(None);
        let last = loader.program.buffer("last", self.hidden, Extent::Outputs);
        let logits = loader
            .program
            .buffer("logits", config.vocabulary, Extent::Outputs);
        push(
            loader,
            "select",
            Node::SelectOutputs {
                input: self.x,
                out: last,
            },
        )?;
        let node = self.norm_node(loader, "output_norm.weight", last, last)?;
        push(loader, "output_norm", node)?;
        let tensor = if loader.has("output.weight") {
            "output.weight"
        } else {
            "token_embd.weight"
        };
        let matrix = loader.matrix(tensor, config.vocabulary, self.hidden)?;
        let projections = vec![Projection {
            scale: self.logit_scale,
            function: self.logit_cap.map(Function::SoftCap),
            ..Projection::new(matrix, logits)
        }];
        push(
            loader,
            "output",
            Node::MatMul {
                input: last,
                projections,
            },
        )?;
        Ok(logits)
    }
}

/// The name of what is added beside the weights `tensor`.
fn bias_of(tensor: &str) -> String {
    let stem = tensor.strip_suffix(".weight").unwrap_or(tensor);
    format!("{stem}.bias")
}

/// Adds a node; what does not fit is the file's fault.
pub(crate) fn push(
    loader: &mut Loader<'_>,
    part: &'static str,
    node: Node,
) -> Result<(), ModelError> {
    let file = file_name(&loader.gguf);
    loader
        .program
        .push(part, node)
        .map_err(|source| ModelError::Program { file, source })
}
