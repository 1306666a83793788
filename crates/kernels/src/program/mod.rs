//! A model's forward pass as data: a flat list of nodes over named buffers, with the weights they read.
//!
//! A program knows nothing of threads or devices. [`crate::cpu`] walks it; the lens times its nodes one by one over the model's
//! own weights; costs are sums over it. Building ([`ProgramBuilder`]) checks every shape once, so that walking it needs no
//! checks, and lowers it: where a product has integer weights, the node that writes its input also rounds it to 8 bits.

mod build;
mod cost;
#[cfg(test)]
mod tests;

pub use build::{ProgramBuilder, ProgramError};
pub use cost::StepShape;
use std::sync::Arc;

use ops::{Dtype, glu::Activation};

use crate::{
    PackedMatrix, embed::StoredRows, gated_delta::cpu::DeltaShape, mamba2::cpu::Mamba2Shape,
    memory::Aligned,
};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub(crate) usize);
    )*};
}

ids!(
    /// An activation buffer.
    BufferId,
    /// A packed matrix.
    MatrixId,
    /// A vector of f32 weights.
    VectorId,
    /// A layer's KV cache.
    KvId,
    /// A layer's DeltaNet state.
    DeltaId,
    /// A layer's Mamba-2 state.
    Mamba2Id,
    /// A layer's convolution state.
    ConvId
);

/// How many rows a buffer has in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One per token of the step.
    Tokens,
    /// One per token whose logits are asked for.
    Outputs,
    /// One per expert that a token goes to: this many per token.
    Slots(usize),
}

/// An activation buffer.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// What it holds, for traces.
    pub name: &'static str,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub extent: Extent,
    /// Whether it also has an 8-bit form.
    pub quantised: bool,
}

/// One output of a product node.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Weights.
    pub matrix: MatrixId,
    /// Where the outputs go.
    pub out: BufferId,
    /// Added to the outputs.
    pub bias: Option<VectorId>,
    /// Multiplies the outputs, bias included.
    pub scale: f32,
    /// Whether outputs are added to what the buffer holds (a residual).
    pub add: bool,
}

/// One output of a product with experts' weights: each expert's rows lie behind those of the expert before it.
#[derive(Clone, Copy, Debug)]
pub struct ExpertProjection {
    /// Weights of all experts.
    pub matrix: MatrixId,
    /// Where the outputs go: a row per slot.
    pub out: BufferId,
}

/// Rotary angles: `position * scale * theta^(-2i/dims) / factor[i]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeSpec {
    /// Leading dimensions of a head that turn.
    pub dims: usize,
    /// Base of the angles.
    pub theta: f64,
    /// Multiplies positions (the inverse of a linear scaling factor).
    pub scale: f64,
    /// Divides each angle.
    pub factors: Option<VectorId>,
}

/// Heads of queries or keys.
#[derive(Clone, Copy, Debug)]
pub struct HeadSpec {
    /// Their buffer.
    pub buffer: BufferId,
    /// How many.
    pub count: usize,
    /// Weight of the norm over each head.
    pub norm: Option<VectorId>,
    /// Multiplies after norm and rotation.
    pub scale: f32,
}

/// One operation. Buffers named `out` are written, all others read, unless said otherwise.
#[derive(Clone, Debug)]
pub enum Node {
    /// Rows of the embedding table.
    Embed {
        /// Embeddings.
        out: BufferId,
        /// Multiplies them.
        scale: f32,
    },
    /// RMS norm of each `width` columns, times SiLU of `gate` where given, written or added.
    RmsNorm {
        /// What is normalised.
        input: BufferId,
        /// Result.
        out: BufferId,
        /// `width` weights, or one for each column.
        weight: VectorId,
        /// Added to the mean of squares.
        eps: f32,
        /// Columns of one norm; the buffer holds a whole number of them.
        width: usize,
        /// Its SiLU multiplies the result.
        gate: Option<BufferId>,
        /// Whether the result is added to `out`.
        add: bool,
        /// Set by the builder: also round to 8 bits.
        quantise: bool,
    },
    /// Rounds a buffer to 8 bits (inserted by the builder).
    Quantise {
        /// The buffer, in both forms.
        buffer: BufferId,
    },
    /// Products of one input with one or more matrices.
    MatMul {
        /// Activations.
        input: BufferId,
        /// The matrices and their outputs.
        projections: Vec<Projection>,
    },
    /// Each token's choice of experts, and their weights.
    Route {
        /// The router's logits, one per expert.
        logits: BufferId,
        /// Indices, then weights: `2 chosen` wide.
        out: BufferId,
        /// Experts of a token.
        chosen: usize,
    },
    /// Products of one input with the weights of the experts that the last route chose.
    ExpertMatMul {
        /// Activations: a row per token, or per slot.
        input: BufferId,
        /// How many experts the matrices hold.
        experts: usize,
        /// Experts of a token.
        chosen: usize,
        /// The matrices and their outputs.
        projections: Vec<ExpertProjection>,
    },
    /// Adds a token's experts' outputs, weighted, to the stream.
    Mix {
        /// A row per slot.
        input: BufferId,
        /// Of the route.
        routes: BufferId,
        /// The output of the expert that all tokens share, and its gate's logit where it has a gate.
        shared: Option<(BufferId, Option<BufferId>)>,
        /// Multiplies what is added.
        scale: f32,
        /// Added to.
        out: BufferId,
        /// Experts of a token.
        chosen: usize,
    },
    /// Cosines and sines of a step's positions.
    RopeTable {
        /// `dims` wide.
        out: BufferId,
        /// Angles.
        rope: RopeSpec,
    },
    /// Norm, rotation and scale of queries and keys in place; keys and values into the cache.
    Heads {
        /// Queries, changed in place.
        q: HeadSpec,
        /// Keys, changed in place.
        k: HeadSpec,
        /// Values.
        v: BufferId,
        /// Width of a head.
        head_dim: usize,
        /// Of the heads' norms.
        eps: f32,
        /// Table and leading dimensions that turn.
        table: Option<(BufferId, usize)>,
        /// Where keys and values go.
        cache: KvId,
    },
    /// Causal attention.
    Attention {
        /// Queries, ready.
        q: BufferId,
        /// Weighted values.
        out: BufferId,
        /// Its sigmoid multiplies the result.
        gate: Option<BufferId>,
        /// Keys and values.
        cache: KvId,
        /// Query heads.
        heads: usize,
        /// Width of a head.
        head_dim: usize,
        /// Keys seen, the query's own included.
        window: Option<usize>,
    },
    /// `act(gate) * up`.
    Glu {
        /// Through the activation.
        gate: BufferId,
        /// Multiplied with it.
        up: BufferId,
        /// Result; may be `gate`.
        out: BufferId,
        /// The activation.
        activation: Activation,
        /// Set by the builder: also round to 8 bits.
        quantise: bool,
    },
    /// Depthwise convolution and SiLU.
    CausalConv {
        /// Channels.
        input: BufferId,
        /// Result.
        out: BufferId,
        /// `(tap, channel)`.
        weight: VectorId,
        /// One per channel.
        bias: Option<VectorId>,
        /// The last inputs.
        state: ConvId,
    },
    /// L2 norms of queries and keys and the gates, all in place.
    DeltaPrepare {
        /// `q | k | v`.
        qkv: BufferId,
        /// Becomes alpha.
        a: BufferId,
        /// Becomes beta.
        b: BufferId,
        /// -exp(A_log).
        decay_rate: VectorId,
        /// Added to `a`.
        dt_bias: VectorId,
        /// Of the L2 norms.
        eps: f32,
        /// Dimensions.
        shape: DeltaShape,
    },
    /// The gated delta rule over prepared inputs.
    GatedDelta {
        /// `q | k | v`.
        qkv: BufferId,
        /// Alpha per value head.
        alpha: BufferId,
        /// Beta per value head.
        beta: BufferId,
        /// Result.
        out: BufferId,
        /// The matrices.
        state: DeltaId,
        /// Dimensions.
        shape: DeltaShape,
    },
    /// Mamba-2's step sizes and decays.
    TimeSteps {
        /// One per head.
        dt: BufferId,
        /// Steps, then decays: two per head.
        out: BufferId,
        /// -exp(A_log).
        rate: VectorId,
        /// Added to `dt`.
        bias: VectorId,
    },
    /// Mamba-2's selective scan.
    Mamba2 {
        /// `x | B | C`.
        xbc: BufferId,
        /// Of [`Node::TimeSteps`].
        steps: BufferId,
        /// How much of x goes past the state, per head.
        skip: VectorId,
        /// Result.
        out: BufferId,
        /// The matrices.
        state: Mamba2Id,
        /// Dimensions.
        shape: Mamba2Shape,
    },
    /// Rows of the tokens whose logits are asked for.
    SelectOutputs {
        /// A row per token.
        input: BufferId,
        /// A row per output.
        out: BufferId,
    },
}

/// Which part of the model a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Layer, where it belongs to one.
    pub layer: Option<usize>,
    /// The part, the same in every layer: `attn_qkv`, `ffn_down`, ...
    pub part: &'static str,
}

/// A node with its label.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Which part it is.
    pub label: Label,
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

impl Extent {
    /// Rows in a step of `tokens` with `outputs` rows of logits.
    #[must_use]
    pub const fn rows(self, tokens: usize, outputs: usize) -> usize {
        match self {
            Self::Tokens => tokens,
            Self::Outputs => outputs,
            Self::Slots(chosen) => tokens.saturating_mul(chosen),
        }
    }
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

    /// Bytes of recurrent state (DeltaNet's and Mamba-2's matrices, convolutions' inputs), whatever the context.
    #[must_use]
    pub fn recurrent_bytes(&self) -> usize {
        let deltas: usize = self.deltas.iter().map(DeltaShape::state_len).sum();
        let mamba2: usize = self.mamba2.iter().map(Mamba2Shape::state_len).sum();
        let convs: usize = self
            .convs
            .iter()
            .map(|&channels| conv_state_len(channels))
            .sum();
        4 * (deltas + mamba2 + convs)
    }

    /// Whether the state can only be reset, not cut back to an earlier position.
    #[must_use]
    pub fn is_recurrent(&self) -> bool {
        !self.deltas.is_empty() || !self.mamba2.is_empty() || !self.convs.is_empty()
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

    pub(crate) fn vector(&self, id: VectorId) -> &[f32] {
        self.vectors[id.0].0.as_slice()
    }
}

/// f32 elements of a convolution's state.
pub(crate) fn conv_state_len(channels: usize) -> usize {
    (crate::causal_conv::cpu::TAPS - 1) * channels.next_multiple_of(16)
}
