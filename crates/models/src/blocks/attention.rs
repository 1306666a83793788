//! Full or sliding-window attention with grouped heads, optional biases, head norms and output gate.

use kernels::program::{BufferId, Extent, HeadSpec, KvSpec, Node, Projection, RopeSpec};

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// The table of one rotary setting, filled once per step.
#[derive(Clone, Copy)]
pub(crate) struct Rotation {
    table: BufferId,
    dims: usize,
}

impl Rotation {
    /// Adds the node that fills the table. Settings of different names may differ.
    pub(crate) fn new(
        loader: &mut Loader<'_>,
        name: &'static str,
        config: &Config,
        theta: f64,
        scale: f64,
    ) -> Result<Self, ModelError> {
        let dims = config.rope_dims;
        let factors = loader.optional_vector("rope_freqs.weight", dims / 2)?;
        let table = loader.program.buffer(name, dims, Extent::Tokens);
        push(
            loader,
            "rope_table",
            Node::RopeTable {
                out: table,
                rope: RopeSpec {
                    dims,
                    theta,
                    scale,
                    factors,
                },
            },
        )?;
        Ok(Self { table, dims })
    }
}

/// How the file's rows of queries and keys are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryRows {
    /// Rotary pairs are (i, i + dims / 2): as we compute them.
    Halves,
    /// Rotary pairs are (2i, 2i + 1), as llama's files: permuted at load.
    Interleaved,
    /// Per head the query, then its output gate.
    WithGate,
}

/// One layer's attention.
pub(crate) struct Attention<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    /// None where positions are not told (NoPE).
    pub rotation: Option<Rotation>,
    pub rows: QueryRows,
    /// Multiplies scores.
    pub scale: f32,
    pub window: Option<usize>,
    /// Tensor that normalises the result before it joins the stream.
    pub post_norm: Option<&'static str>,
    /// Whether query and key heads are normalised.
    pub head_norms: bool,
    /// Whether a file without biases on q, k and v is incomplete; else they are used where there are any.
    pub needs_biases: bool,
}

impl Attention<'_> {
    /// Adds the layer's nodes: norm, projections, heads, attention, projection back.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let Config {
            heads,
            kv_heads,
            head_dim,
            eps,
            ..
        } = *self.config;
        let (q_width, kv_width) = (heads * head_dim, kv_heads * head_dim);
        let name = |part: &str| format!("blk.{layer}.{part}");
        self.stream
            .norm(loader, "attn_norm", &name("attn_norm.weight"))?;

        let q = loader.program.buffer("q", q_width, Extent::Tokens);
        let k = loader.program.buffer("k", kv_width, Extent::Tokens);
        let v = loader.program.buffer("v", kv_width, Extent::Tokens);
        let (mut projections, gate) = self.queries(loader, layer, q)?;
        for (out, part, width) in [(k, "attn_k", kv_width), (v, "attn_v", kv_width)] {
            let is_key = part == "attn_k";
            let turned = |r: usize| if is_key { self.source_row(r) } else { r };
            let matrix = loader.rows(
                &name(&format!("{part}.weight")),
                width,
                self.config.hidden,
                width,
                &turned,
            )?;
            let bias = self.bias(loader, &name(&format!("{part}.bias")), width, &turned)?;
            projections.push(Projection {
                bias,
                ..Projection::new(matrix, out)
            });
        }
        push(
            loader,
            "attn_qkv",
            Node::MatMul {
                input: self.stream.normed,
                projections,
            },
        )?;

        let cache = loader.program.kv_cache(KvSpec { kv_heads, head_dim });
        let norm = |loader: &mut Loader<'_>, part| {
            if self.head_norms {
                loader.vector(&name(part), head_dim).map(Some)
            } else {
                Ok(None)
            }
        };
        let (q_norm, k_norm) = (
            norm(loader, "attn_q_norm.weight")?,
            norm(loader, "attn_k_norm.weight")?,
        );
        let heads_node = Node::Heads {
            q: HeadSpec {
                buffer: q,
                count: heads,
                norm: q_norm,
                scale: self.scale,
            },
            k: HeadSpec {
                buffer: k,
                count: kv_heads,
                norm: k_norm,
                scale: 1.0,
            },
            v,
            head_dim,
            eps,
            table: self.rotation.map(|r| (r.table, r.dims)),
            cache,
        };
        push(loader, "attn_heads", heads_node)?;
        let out = loader.program.buffer("attn_out", q_width, Extent::Tokens);
        push(
            loader,
            "attention",
            Node::Attention {
                q,
                out,
                gate,
                cache,
                heads,
                head_dim,
                window: self.window,
            },
        )?;
        let join = self
            .post_norm
            .map_or(Join::Add, |norm| Join::NormAdd(name(norm)));
        self.stream.project_back(
            loader,
            "attn_output",
            &name("attn_output.weight"),
            (out, q_width),
            &join,
        )
    }

    fn queries(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        q: BufferId,
    ) -> Result<(Vec<Projection>, Option<BufferId>), ModelError> {
        let Config {
            heads,
            head_dim,
            hidden,
            ..
        } = *self.config;
        let width = heads * head_dim;
        let (weight, bias) = (
            format!("blk.{layer}.attn_q.weight"),
            format!("blk.{layer}.attn_q.bias"),
        );
        if self.rows != QueryRows::WithGate {
            let turned = |r: usize| self.source_row(r);
            let matrix = loader.rows(&weight, width, hidden, width, &turned)?;
            let bias = self.bias(loader, &bias, width, &turned)?;
            return Ok((
                vec![Projection {
                    bias,
                    ..Projection::new(matrix, q)
                }],
                None,
            ));
        }
        let gate = loader.program.buffer("attn_gate", width, Extent::Tokens);
        let mut projections = Vec::new();
        for (out, half) in [(q, 0), (gate, 1)] {
            let from = move |r: usize| (2 * (r / head_dim) + half) * head_dim + r % head_dim;
            let matrix = loader.rows(&weight, 2 * width, hidden, width, &from)?;
            projections.push(Projection::new(matrix, out));
        }
        Ok((projections, Some(gate)))
    }

    /// Where row `r` of queries or keys lies in the file.
    fn source_row(&self, r: usize) -> usize {
        let Config {
            head_dim,
            rope_dims,
            ..
        } = *self.config;
        let (head, i) = (r / head_dim, r % head_dim);
        if self.rows != QueryRows::Interleaved || i >= rope_dims {
            return r;
        }
        let half = rope_dims / 2;
        head * head_dim + if i < half { 2 * i } else { 2 * (i - half) + 1 }
    }

    fn bias(
        &self,
        loader: &mut Loader<'_>,
        name: &str,
        len: usize,
        from: &dyn Fn(usize) -> usize,
    ) -> Result<Option<kernels::program::VectorId>, ModelError> {
        if !self.needs_biases && !loader.has(name) {
            return Ok(None);
        }
        let stored = loader.values(name, &[len])?;
        let turned: Vec<f32> = (0..len).map(|r| stored[from(r)]).collect();
        loader.keep(&turned).map(Some)
    }
}
