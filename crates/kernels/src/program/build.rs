//! Building a program: shapes are checked as nodes are added, 8-bit forms are placed at the end.

mod extents;
mod heads;
mod recurrent;
mod rounding;
mod rwkv7;

use super::{
    Buffer, BufferId, ConvId, DeltaId, ExpertProjection, Extent, HeadSpec, KvId, KvSpec, Label,
    Labelled, Mamba2Id, MatrixId, Node, Program, Projection, RgLruId, ShiftId, VectorId, Wkv7Id,
};
use crate::{
    PackedMatrix,
    embed::StoredRows,
    gated_delta::cpu::DeltaShape,
    mamba2::cpu::Mamba2Shape,
    matmul::cpu::PRODUCTS,
    memory::{Aligned, OutOfMemory},
    packed::PANEL_ROWS,
    profile::Role,
    wkv7::cpu::Wkv7Shape,
};

/// A description that does not fit together. An architecture's own checks come first, so a user sees this only for a file
/// whose metadata contradict its tensors in a way that those checks do not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    /// The part of the model.
    pub label: Label,
    /// What was expected and what came.
    pub problem: String,
}

impl std::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.label.layer {
            Some(layer) => write!(f, "layer {layer}, {}: {}", self.label.part, self.problem),
            None => write!(f, "{}: {}", self.label.part, self.problem),
        }
    }
}

impl std::error::Error for ProgramError {}

/// Collects buffers, weights and nodes.
pub struct ProgramBuilder {
    nodes: Vec<Labelled>,
    buffers: Vec<Buffer>,
    matrices: Vec<PackedMatrix>,
    vectors: Vec<(Aligned<f32>, usize)>,
    embedding: Box<dyn StoredRows>,
    kv: Vec<KvSpec>,
    deltas: Vec<DeltaShape>,
    mamba2: Vec<Mamba2Shape>,
    convs: Vec<usize>,
    shifts: Vec<usize>,
    wkv7: Vec<Wkv7Shape>,
    rg_lru: Vec<usize>,
    label: Label,
}

impl ProgramBuilder {
    /// Starts with the embedding table.
    #[must_use]
    pub fn new(embedding: Box<dyn StoredRows>) -> Self {
        Self {
            nodes: Vec::new(),
            buffers: Vec::new(),
            matrices: Vec::new(),
            vectors: Vec::new(),
            embedding,
            kv: Vec::new(),
            deltas: Vec::new(),
            mamba2: Vec::new(),
            convs: Vec::new(),
            shifts: Vec::new(),
            wkv7: Vec::new(),
            rg_lru: Vec::new(),
            label: Label {
                layer: None,
                part: "start",
            },
        }
    }

    /// A buffer; each name is one buffer, reused by all layers.
    pub fn buffer(&mut self, name: &'static str, width: usize, extent: Extent) -> BufferId {
        if let Some(i) = self
            .buffers
            .iter()
            .position(|b| b.name == name && b.width == width && b.extent == extent)
        {
            return BufferId(i);
        }
        self.buffers.push(Buffer {
            name,
            width,
            extent,
            quantised: false,
        });
        BufferId(self.buffers.len() - 1)
    }

    /// Takes a packed matrix.
    pub fn matrix(&mut self, matrix: PackedMatrix) -> MatrixId {
        self.matrices.push(matrix);
        MatrixId(self.matrices.len() - 1)
    }

    /// Takes a vector of weights.
    ///
    /// # Errors
    /// No memory.
    pub fn vector(&mut self, values: &[f32]) -> Result<VectorId, OutOfMemory> {
        let mut padded = Aligned::zeroed(values.len().next_multiple_of(16))?;
        padded.as_mut_slice()[..values.len()].copy_from_slice(values);
        self.vectors.push((padded, values.len()));
        Ok(VectorId(self.vectors.len() - 1))
    }

    /// A KV cache for one layer.
    pub fn kv_cache(&mut self, spec: KvSpec) -> KvId {
        self.kv.push(spec);
        KvId(self.kv.len() - 1)
    }

    /// A DeltaNet state for one layer.
    pub fn delta_state(&mut self, shape: DeltaShape) -> DeltaId {
        self.deltas.push(shape);
        DeltaId(self.deltas.len() - 1)
    }

    /// A Mamba-2 state for one layer.
    pub fn mamba2_state(&mut self, shape: Mamba2Shape) -> Mamba2Id {
        self.mamba2.push(shape);
        Mamba2Id(self.mamba2.len() - 1)
    }

    /// A convolution state for one layer.
    pub fn conv_state(&mut self, channels: usize) -> ConvId {
        self.convs.push(channels);
        ConvId(self.convs.len() - 1)
    }

    /// What one token shift carries on: a row of `width` columns.
    pub fn shift_state(&mut self, width: usize) -> ShiftId {
        self.shifts.push(width);
        ShiftId(self.shifts.len() - 1)
    }

    /// An RWKV-7 state for one layer.
    pub fn wkv7_state(&mut self, shape: Wkv7Shape) -> Wkv7Id {
        self.wkv7.push(shape);
        Wkv7Id(self.wkv7.len() - 1)
    }

    /// An RG-LRU state of `channels` values for one layer.
    pub fn rg_lru_state(&mut self, channels: usize) -> RgLruId {
        self.rg_lru.push(channels);
        RgLruId(self.rg_lru.len() - 1)
    }

    /// The layer of the nodes that follow.
    pub fn layer(&mut self, layer: Option<usize>) {
        self.label.layer = layer;
    }

    /// Adds a node.
    ///
    /// # Errors
    /// Its shapes do not fit.
    pub fn push(&mut self, part: &'static str, node: Node) -> Result<(), ProgramError> {
        self.label.part = part;
        self.check_rows(&node)?;
        self.check(&node)?;
        self.nodes.push(Labelled {
            label: self.label,
            role: self.role(&node),
            node,
        });
        Ok(())
    }

    fn role(&self, node: &Node) -> Role {
        let is_head = |p: &Projection| self.buffers[p.out.0].extent == Extent::Outputs;
        match node {
            Node::MatMul { projections, .. } if projections.iter().any(is_head) => Role::Head,
            _ => Role::of_part(self.label.part),
        }
    }

    /// The last node's rows are the logits.
    ///
    /// # Errors
    /// The logits are not one row per output.
    pub fn finish(mut self, logits: BufferId) -> Result<Program, ProgramError> {
        self.label = Label {
            layer: None,
            part: "logits",
        };
        self.expect(self.buffers[logits.0].extent == Extent::Outputs, || {
            "not one row per output".into()
        })?;
        self.place_quantisation()?;
        Ok(Program {
            nodes: self.nodes,
            buffers: self.buffers,
            matrices: self.matrices,
            vectors: self.vectors,
            embedding: self.embedding,
            kv: self.kv,
            deltas: self.deltas,
            mamba2: self.mamba2,
            convs: self.convs,
            shifts: self.shifts,
            wkv7: self.wkv7,
            rg_lru: self.rg_lru,
            logits,
            identity: std::sync::Arc::new(()),
        })
    }

    fn expect(&self, holds: bool, problem: impl FnOnce() -> String) -> Result<(), ProgramError> {
        if holds {
            Ok(())
        } else {
            Err(ProgramError {
                label: self.label,
                problem: problem(),
            })
        }
    }

    fn width(&self, id: BufferId, want: usize) -> Result<(), ProgramError> {
        let buffer = &self.buffers[id.0];
        self.expect(buffer.width == want, || {
            format!(
                "expected {want} columns in `{}`, got {}",
                buffer.name, buffer.width
            )
        })
    }

    fn len(&self, id: VectorId, want: usize) -> Result<(), ProgramError> {
        let got = self.vectors[id.0].1;
        self.expect(got == want, || {
            format!("expected {want} weights, got {got}")
        })
    }

    fn check(&self, node: &Node) -> Result<(), ProgramError> {
        match node {
            Node::Embed { out, .. } => self.check_embed(*out),
            Node::RmsNorm {
                input,
                out,
                weight,
                width,
                gate,
                add,
                ..
            } => {
                let columns = self.buffers[input.0].width;
                // Groups' own weights are read as whole vectors.
                let apart = self.vectors[weight.0].1 == columns && width.is_multiple_of(16);
                self.len(*weight, if apart { columns } else { *width })?;
                self.width(*out, columns)?;
                gate.map_or(Ok(()), |(z, _)| self.width(z, columns))?;
                let leading = input == out && columns / 2 < *width && *width <= columns && !add;
                let whole = columns.checked_rem(*width) == Some(0);
                self.expect(whole || leading && gate.is_none(), || {
                    format!("{columns} columns are not whole norms of {width}")
                })
            }
            Node::Quantise { .. } => Ok(()),
            Node::MatMul { input, projections } => {
                let each = projections.iter().enumerate();
                each.clone()
                    .try_for_each(|(_, p)| self.check_projection(*input, p))?;
                each.filter_map(|(i, p)| Some((i, p.gate?.0)))
                    .try_for_each(|(i, gate)| self.check_gate(projections, i, gate))
            }
            Node::Route {
                logits,
                out,
                chosen,
                scoring,
                bias,
            } => {
                let experts = self.buffers[logits.0].width;
                self.expect((1..=experts).contains(chosen), || {
                    format!("{chosen} of {experts} experts cannot be chosen")
                })?;
                // Indices are kept as f32, which holds integers up to 2^24 exactly.
                self.expect(experts <= 1 << 24, || format!("{experts} experts"))?;
                self.check_scoring(*scoring, *bias, experts, *chosen)?;
                self.width(*out, 2 * chosen)
            }
            Node::HeadMatMul {
                input,
                rest,
                out,
                heads,
                matrix,
            } => self.check_head_products((*input, *rest, *out), *heads, *matrix),
            Node::ExpertMatMul {
                input,
                experts,
                projections,
                ..
            } => projections
                .iter()
                .try_for_each(|p| self.check_experts(*input, *experts, p)),
            Node::Mix {
                input,
                routes,
                shared,
                out,
                chosen,
                ..
            } => {
                let width = self.buffers[out.0].width;
                self.width(*input, width)?;
                self.width(*routes, 2 * chosen)?;
                shared.map_or(Ok(()), |(shared, gate)| {
                    self.width(shared, width)?;
                    gate.map_or(Ok(()), |gate| self.width(gate, 1))
                })
            }
            Node::RopeTable { out, rope } => {
                self.expect(rope.dims > 0 && rope.dims.is_multiple_of(2), || {
                    format!(
                        "expected an even number of rotary dimensions, got {}",
                        rope.dims
                    )
                })?;
                rope.factors
                    .map_or(Ok(()), |f| self.len(f, rope.dims / 2))?;
                self.width(*out, rope.dims)
            }
            Node::Heads {
                q,
                k,
                v,
                head_dim,
                table,
                cache,
                ..
            } => {
                self.check_heads(q, *head_dim)?;
                self.check_heads(k, *head_dim)?;
                self.width(*v, k.count * head_dim)?;
                self.check_cache(*cache, k.count, *head_dim)?;
                table.map_or(Ok(()), |(id, dims)| self.width(id, dims))?;
                self.expect(table.is_none_or(|(_, dims)| dims <= *head_dim), || {
                    format!("more rotary dimensions than the head's {head_dim}")
                })
            }
            Node::Attention {
                q,
                out,
                gate,
                cache,
                heads,
                head_dim,
                window,
                quantise: _,
            } => {
                let kv_heads = self.kv[cache.0].kv_heads;
                self.check_cache(*cache, kv_heads, *head_dim)?;
                let whole = kv_heads > 0 && *heads > 0 && heads % kv_heads == 0;
                self.expect(whole, || {
                    format!("{heads} query heads are not whole groups for {kv_heads} key heads")
                })?;
                self.expect(*window != Some(0), || "a sliding window of 0 keys".into())?;
                gate.map_or(Ok(()), |g| self.width(g, heads * head_dim))?;
                self.width(*q, heads * head_dim)?;
                let got = self.row_width(*out);
                self.expect(got == heads * head_dim, || {
                    format!("expected {heads} heads of {head_dim} columns, got {got} columns")
                })
            }
            Node::Glu { gate, up, out, .. } => {
                let width = self.buffers[gate.0].width;
                self.width(*up, width)?;
                self.width(*out, width)
            }
            Node::CausalConv { .. }
            | Node::DeltaPrepare { .. }
            | Node::GatedDelta { .. }
            | Node::TimeSteps { .. }
            | Node::Mamba2 { .. }
            | Node::RgLru { .. } => self.check_recurrent(node),
            Node::LayerNorm { .. }
            | Node::TokenShift { .. }
            | Node::Wkv7Gates { .. }
            | Node::Wkv7 { .. }
            | Node::Wkv7Output { .. } => self.check_rwkv7(node),
            Node::SelectOutputs { input, out } => {
                self.expect(self.buffers[out.0].extent == Extent::Outputs, || {
                    "not one row per output".into()
                })?;
                self.width(*out, self.buffers[input.0].width)
            }
        }
    }

    fn check_embed(&self, out: BufferId) -> Result<(), ProgramError> {
        let (dtype, cols) = (self.embedding.dtype(), self.embedding.cols());
        self.expect(cols % dtype.block_len() == 0, || {
            format!("rows of {cols} are not whole {dtype} blocks")
        })?;
        self.width(out, cols)
    }

    fn check_projection(&self, input: BufferId, p: &Projection) -> Result<(), ProgramError> {
        let matrix = &self.matrices[p.matrix.0];
        self.expect(input != p.out, || "its output is its own input".into())?;
        self.expect(!(p.add && p.function.is_some()), || {
            "a function of what is added to a buffer".into()
        })?;
        self.width(input, matrix.cols())?;
        self.check_columns(p, matrix.rows())?;
        p.bias.map_or(Ok(()), |b| self.len(b, matrix.rows()))
    }

    /// Projection `i` is multiplied with the activation of `gate`.
    fn check_gate(
        &self,
        projections: &[Projection],
        i: usize,
        gate: BufferId,
    ) -> Result<(), ProgramError> {
        let rows = |p: &Projection| self.matrices[p.matrix.0].rows();
        let fits = projections.len() <= PRODUCTS
            && projections.iter().all(|p| rows(p) == rows(&projections[0]))
            && projections[..i]
                .iter()
                .any(|p| p.out == gate && !p.quantise)
            && projections.iter().all(|p| p.column.is_none())
            && projections[i].out != gate
            && !projections[i].add
            && projections[i].function.is_none();
        self.expect(fits, || {
            "expected a gate of the same width that the same node computes before".into()
        })
    }

    fn check_experts(
        &self,
        input: BufferId,
        experts: usize,
        p: &ExpertProjection,
    ) -> Result<(), ProgramError> {
        let (rows, cols) = {
            let matrix = &self.matrices[p.matrix.0];
            (matrix.rows(), matrix.cols())
        };
        self.expect(input != p.out, || "its output is its own input".into())?;
        self.width(input, cols)?;
        let whole = experts > 0
            && rows.is_multiple_of(experts)
            && (rows / experts).is_multiple_of(PANEL_ROWS);
        self.expect(whole, || {
            format!(
                "expected {experts} experts of a multiple of {PANEL_ROWS} outputs each, got {rows} outputs in all"
            )
        })?;
        self.width(p.out, rows / experts)
    }

    fn check_heads(&self, heads: &HeadSpec, head_dim: usize) -> Result<(), ProgramError> {
        heads.norm.map_or(Ok(()), |n| self.len(n, head_dim))?;
        self.width(heads.buffer, heads.count * head_dim)
    }

    fn check_cache(
        &self,
        cache: KvId,
        kv_heads: usize,
        head_dim: usize,
    ) -> Result<(), ProgramError> {
        let spec = self.kv[cache.0];
        self.expect(spec == KvSpec { kv_heads, head_dim }, || {
            format!("the cache has other dimensions: {spec:?}")
        })
    }
}
