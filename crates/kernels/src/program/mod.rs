//! A model's forward pass as data: a flat list of nodes over named buffers, with the weights they read.
//!
//! A program knows nothing of threads or devices. [`crate::cpu`] walks it; the lens times its nodes one by one over the model's
//! own weights; costs are sums over it. Building ([`ProgramBuilder`]) checks every shape once, so that walking it needs no
//! checks, and lowers it: where a product has integer weights, the node that writes its input also rounds it to 8 bits.

mod build;
mod cost;
mod ids;
mod node;
#[cfg(test)]
mod tests;

pub use build::{ProgramBuilder, ProgramError};
pub use cost::StepShape;
pub use ids::{
    BufferId, ConvId, DeltaId, KvId, Mamba2Id, MatrixId, RgLruId, ShiftId, VectorId, Wkv7Id,
};
pub use node::{
    Buffer, ExpertProjection, Extent, HeadSpec, Node, Projection, RopeSpec, ShiftOut, ValueResidual,
};
use std::sync::Arc;

use ops::Dtype;

use crate::{
    PackedMatrix, embed::StoredRows, gated_delta::cpu::DeltaShape, mamba2::cpu::Mamba2Shape,
    memory::Aligned, profile::Role, rg_lru, token_shift, wkv7::cpu::Wkv7Shape,
};

/// Which part of the model a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Layer, where it belongs to one.
    pub layer: Option<usize>,
    /// The part, the same in every layer: `attn_qkv`, `ffn_down`, ... A product's role follows from it ([`Role::of_part`]).
    pub part: &'static str,
}

/// A node with its label.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Which part it is.
    pub label: Label,
    /// What a product is for; nothing reads it of other nodes.
    pub role: Role,
    /// What it does.
    pub node: Node,
}

/// Dimensions of a layer's KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvSpec {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// A checked program, ready to be walked.
pub struct Program {
    pub(crate) nodes: Vec<Labelled>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) matrices: Vec<PackedMatrix>,
    /// Padded to whole vectors; the true length beside.
    pub(crate) vectors: Vec<(Aligned<f32>, usize)>,
    pub(crate) embedding: Box<dyn StoredRows>,
    pub(crate) kv: Vec<KvSpec>,
    pub(crate) deltas: Vec<DeltaShape>,
    pub(crate) mamba2: Vec<Mamba2Shape>,
    pub(crate) convs: Vec<usize>,
    pub(crate) shifts: Vec<usize>,
    pub(crate) wkv7: Vec<Wkv7Shape>,
    pub(crate) rg_lru: Vec<usize>,
    pub(crate) logits: BufferId,
    /// What states and workspaces made for this program hold, to be recognised by.
    pub(crate) identity: Arc<()>,
}

impl Program {
    /// The nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Labelled] {
        &self.nodes
    }

    /// Whether some weights are not here (see [`PackedMatrix::hollow`]).
    #[must_use]
    pub fn is_hollow(&self) -> bool {
        self.matrices.iter().any(PackedMatrix::is_hollow)
    }

    /// Columns of the logits.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.buffers[self.logits.0].width
    }

    /// A buffer.
    #[must_use]
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }

    /// A packed matrix.
    #[must_use]
    pub fn matrix(&self, id: MatrixId) -> &PackedMatrix {
        &self.matrices[id.0]
    }

    /// The KV caches' dimensions.
    #[must_use]
    pub fn kv(&self) -> &[KvSpec] {
        &self.kv
    }

    /// A KV cache's dimensions.
    #[must_use]
    pub fn kv_of(&self, id: KvId) -> KvSpec {
        self.kv[id.0]
    }

    /// All packed matrices, in the order in which they came.
    #[must_use]
    pub fn matrices(&self) -> &[PackedMatrix] {
        &self.matrices
    }

    /// Bytes of recurrent state (DeltaNet's, Mamba-2's and RWKV-7's matrices, the RG-LRU's values, convolutions' inputs, token shifts'
    /// rows), whatever the context.
    #[must_use]
    pub fn recurrent_bytes(&self) -> usize {
        let deltas: usize = self.deltas.iter().map(DeltaShape::state_len).sum();
        let mamba2: usize = self.mamba2.iter().map(Mamba2Shape::state_len).sum();
        let convs: usize = self
            .convs
            .iter()
            .map(|&channels| conv_state_len(channels))
            .sum();
        let shifts: usize = self
            .shifts
            .iter()
            .map(|&width| token_shift::cpu::state_len(width))
            .sum();
        let wkv7: usize = self.wkv7.iter().map(Wkv7Shape::state_len).sum();
        let rg_lru: usize = self
            .rg_lru
            .iter()
            .map(|&channels| rg_lru::cpu::state_len(channels))
            .sum();
        4 * (deltas + mamba2 + convs + shifts + wkv7 + rg_lru)
    }

    /// Whether the state can only be reset, not cut back to an earlier position.
    #[must_use]
    pub fn is_recurrent(&self) -> bool {
        let is_stateless = self.deltas.is_empty()
            && self.mamba2.is_empty()
            && self.convs.is_empty()
            && self.shifts.is_empty()
            && self.wkv7.is_empty()
            && self.rg_lru.is_empty();
        !is_stateless
    }

    /// Bytes of packed weights by format, with the number of matrices, largest first.
    #[must_use]
    pub fn packed_bytes(&self) -> Vec<(Dtype, usize, usize)> {
        let mut all: Vec<(Dtype, usize, usize)> = Vec::new();
        for matrix in &self.matrices {
            match all.iter_mut().find(|(dtype, ..)| *dtype == matrix.dtype()) {
                Some((_, count, bytes)) => {
                    *count += 1;
                    *bytes += matrix.bytes();
                }
                None => all.push((matrix.dtype(), 1, matrix.bytes())),
            }
        }
        all.sort_by_key(|&(_, _, bytes)| std::cmp::Reverse(bytes));
        all
    }

    /// A vector of weights, padded with zeros to whole vectors of the processor.
    #[must_use]
    pub fn vector(&self, id: VectorId) -> &[f32] {
        self.vectors[id.0].0.as_slice()
    }

    /// All vectors of weights, in the order in which they came.
    pub fn vectors(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.vectors.iter().map(|(values, _)| values.as_slice())
    }

    /// How many buffers there are.
    #[must_use]
    pub fn buffer_count(&self) -> usize {
        self.buffers.len()
    }

    /// The table of embeddings, as stored.
    #[must_use]
    pub fn embedding(&self) -> &dyn StoredRows {
        &*self.embedding
    }

    /// Where a step's logits are.
    #[must_use]
    pub fn logits(&self) -> BufferId {
        self.logits
    }
}

/// f32 elements of a convolution's state.
pub(crate) fn conv_state_len(channels: usize) -> usize {
    (crate::causal_conv::cpu::TAPS - 1) * channels.next_multiple_of(16)
}
