//! Multi-head latent attention in its absorbed form, without positions: what a token leaves for later ones is one row of latents
//! and keys that all heads share, so the cache has one head.
//!
//! 1. Queries, per head `own | shared`; latents and shared keys, the latents normalised.
//! 2. Each head's own query goes through its `k_b` to where the latents are, its shared part stays behind it.
//! 3. Attention over the cached rows, which are keys and values at once: of a value the shared keys' columns are computed and not read.
//! 4. Each head's attended latents go through its `v_b`, then the projection back.
//!
//! Source: DeepSeek-AI, *DeepSeek-V2*, 2024, section 2.1.

use kernels::program::{BufferId, Extent, HeadSpec, KvSpec, Node, Projection};

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// Of the latents' norm, whatever the others have; no key holds it.
const LATENT_EPS: f32 = 1e-6;

/// Widths.
#[derive(Clone, Copy)]
pub(crate) struct LatentShape {
    pub latents: usize,
    /// Of a head's query, what meets keys expanded from latents.
    pub own: usize,
    /// Of a head's query, what meets the keys that all heads share.
    pub shared: usize,
    /// Of a head's value.
    pub values: usize,
}

impl LatentShape {
    /// A cached row.
    fn wide(self) -> usize {
        self.latents + self.shared
    }
}

/// One layer's.
pub(crate) struct LatentAttention<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub shape: LatentShape,
}

impl LatentAttention<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let (shape, heads) = (self.shape, self.config.heads);
        let (wide, per_head) = (shape.wide(), Extent::Slots(heads));
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let mut buffer = |part, width, extent| loader.program.buffer(part, width, extent);
        let own = buffer("latent_own", shape.own, per_head);
        let shared = buffer("latent_shared", shape.shared, per_head);
        let row = buffer("latent_row", wide, Extent::Tokens);
        let q = buffer("latent_q", heads * wide, Extent::Tokens);
        let attended = buffer("latent_out", wide, per_head);
        let values = buffer("latent_values", heads * shape.values, Extent::Tokens);
        self.stream.norm(loader, "attn_norm", &name("attn_norm"))?;
        self.project(loader, layer, (own, shared, row))?;
        let norm = Node::RmsNorm {
            input: row,
            out: row,
            weight: loader.vector(&name("attn_kv_a_norm"), shape.latents)?,
            eps: LATENT_EPS,
            width: shape.latents,
            gate: None,
            add: false,
            quantise: false,
        };
        push(loader, "latent_norm", norm)?;
        let absorb = Node::HeadMatMul {
            input: own,
            rest: Some(shared),
            out: q,
            heads,
            matrix: loader.experts(&name("attn_k_b"), heads, shape.latents, shape.own)?,
        };
        push(loader, "latent_absorb", absorb)?;
        self.attend(loader, (q, row), attended)?;
        let expand = Node::HeadMatMul {
            input: attended,
            rest: None,
            out: values,
            heads,
            matrix: loader.experts(&name("attn_v_b"), heads, shape.values, shape.latents)?,
        };
        push(loader, "latent_expand", expand)?;
        let (tensor, input) = (name("attn_output"), (values, heads * shape.values));
        self.stream
            .project_back(loader, "attn_output", &tensor, input, &Join::Add)
    }

    /// Step 1, but for the norm.
    fn project(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        (own, shared, row): (BufferId, BufferId, BufferId),
    ) -> Result<(), ModelError> {
        let (shape, heads, hidden) = (self.shape, self.config.heads, self.config.hidden);
        let whole = shape.own + shape.shared;
        let mut projections = Vec::new();
        for (out, first, width) in [(own, 0, shape.own), (shared, shape.own, shape.shared)] {
            let from = move |r: usize| r / width * whole + first + r % width;
            let tensor = format!("blk.{layer}.attn_q.weight");
            let matrix = loader.rows(&tensor, heads * whole, hidden, heads * width, &from)?;
            projections.push(Projection::new(matrix, out));
        }
        let tensor = format!("blk.{layer}.attn_kv_a_mqa.weight");
        let matrix = loader.matrix(&tensor, shape.wide(), hidden)?;
        projections.push(Projection::new(matrix, row));
        let input = self.stream.normed;
        push(loader, "latent_in", Node::MatMul { input, projections })
    }

    /// Step 3.
    fn attend(
        &self,
        loader: &mut Loader<'_>,
        (q, row): (BufferId, BufferId),
        out: BufferId,
    ) -> Result<(), ModelError> {
        let (shape, heads) = (self.shape, self.config.heads);
        let head_dim = shape.wide();
        let cache = loader.program.kv_cache(KvSpec {
            kv_heads: 1,
            head_dim,
        });
        let spec = |buffer, count, scale| HeadSpec {
            buffer,
            count,
            norm: None,
            scale,
        };
        // Scores are those of the heads as they were before they were taken to the latents.
        let scale = 1.0 / ((shape.own + shape.shared) as f32).sqrt();
        let keep = Node::Heads {
            q: spec(q, heads, scale),
            k: spec(row, 1, 1.0),
            v: row,
            head_dim,
            eps: LATENT_EPS,
            table: None,
            cache,
        };
        push(loader, "attn_heads", keep)?;
        let attend = Node::Attention {
            q,
            out,
            gate: None,
            cache,
            heads,
            head_dim,
            window: None,
            quantise: false,
        };
        push(loader, "attention", attend)
    }
}
