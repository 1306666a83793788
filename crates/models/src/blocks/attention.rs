//! Full or sliding-window attention with grouped heads, optional biases, head norms and output gate.

use kernels::program::{BufferId, Extent, HeadSpec, KvSpec, Node, Projection, RopeSpec, VectorId};

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, config::file_name, load::Loader};

/// The table of one rotary setting, filled once per step.
#[derive(Clone, Copy)]
pub(crate) struct Rotation {
    table: BufferId,
    dims: usize,
    /// Multiplies what is turned (YaRN's).
    magnitude: f32,
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
        let factors = Self::factors(loader, config, theta)?;
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
        Ok(Self {
            table,
            dims,
            magnitude: config.yarn.map_or(1.0, |yarn| yarn.magnitude) as f32,
        })
    }

    /// What divides angles: the file's own factors, and YaRN's.
    fn factors(
        loader: &mut Loader<'_>,
        config: &Config,
        theta: f64,
    ) -> Result<Option<VectorId>, ModelError> {
        const NAME: &str = "rope_freqs.weight";
        let pairs = config.rope_dims / 2;
        let Some(yarn) = config.yarn else {
            return loader.optional_vector(NAME, pairs);
        };
        let mut factors = yarn.divisors(config.rope_dims, theta);
        if loader.has(NAME) {
            let own = loader.values(NAME, &[pairs])?;
            for (factor, own) in factors.iter_mut().zip(own) {
                *factor *= own;
            }
        }
        loader.keep(&factors).map(Some)
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
        let (turned, magnitude) = self.rotation.map_or((0, 1.0), |r| (r.dims, r.magnitude));
        let is_partial = magnitude != 1.0 && turned != head_dim;
        // Keys are turned as queries are, so a whole head's magnitude is a factor of the scores.
        let scale = match is_partial {
            true => self.scale,
            false => self.scale * magnitude * magnitude,
        };
        let in_norm = is_partial.then_some((turned, magnitude));
        let q_norm = self.head_norm(loader, &name("attn_q_norm.weight"), in_norm)?;
        let k_norm = self.head_norm(loader, &name("attn_k_norm.weight"), in_norm)?;
        let heads_node = Node::Heads {
            q: HeadSpec {
                buffer: q,
                count: heads,
                norm: q_norm,
                scale,
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
                quantise: false,
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

    /// The weights of the norm over query or key heads. `turned` dimensions, of which there are fewer than a head has, get a
    /// magnitude here: nothing else multiplies them alone.
    fn head_norm(
        &self,
        loader: &mut Loader<'_>,
        name: &str,
        turned: Option<(usize, f32)>,
    ) -> Result<Option<VectorId>, ModelError> {
        let head_dim = self.config.head_dim;
        match (self.head_norms, turned) {
            (false, None) => Ok(None),
            (true, None) => loader.vector(name, head_dim).map(Some),
            (true, Some((dims, magnitude))) => {
                let mut weights = loader.values(name, &[head_dim])?;
                for weight in weights.iter_mut().take(dims) {
                    *weight *= magnitude;
                }
                loader.keep(&weights).map(Some)
            }
            (false, Some((dims, _))) => Err(ModelError::Unsupported {
                file: file_name(&loader.gguf),
                feature: format!("rope scaling `yarn` of {dims} of a head's {head_dim} dimensions"),
                remedy: "take a file of the model without context extension".into(),
            }),
        }
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
    ) -> Result<Option<VectorId>, ModelError> {
        if !self.needs_biases && !loader.has(name) {
            return Ok(None);
        }
        let stored = loader.values(name, &[len])?;
        let turned: Vec<f32> = (0..len).map(|r| stored[from(r)]).collect();
        loader.keep(&turned).map(Some)
    }
}
