//! What a program is made of: buffers, the operations over them, and what the operations are told.

use ops::{gated_rms_norm::Gate, glu::Activation, pointwise::Function, route::Scoring};

use crate::{gated_delta::cpu::DeltaShape, mamba2::cpu::Mamba2Shape, wkv7::cpu::Wkv7Shape};

use super::ids::{
    BufferId, ConvId, DeltaId, KvId, Mamba2Id, MatrixId, RgLruId, ShiftId, VectorId, Wkv7Id,
};

/// How many rows a buffer has in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One per token of the step.
    Tokens,
    /// One per token whose logits are asked for.
    Outputs,
    /// One per expert that a token goes to, or per head: this many per token. Where rows are whole vectors, a token's are one wide row
    /// to the products, the convolution and the attention that write them.
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
    /// Column of the first output, a multiple of 16, where others are beside them; else they are the whole row.
    pub column: Option<usize>,
    /// Added to the outputs.
    pub bias: Option<VectorId>,
    /// Multiplies the outputs, bias included.
    pub scale: f32,
    /// Whether outputs are added to what the buffer holds (a residual).
    pub add: bool,
    /// What the outputs go through at last; not where they are added.
    pub function: Option<Function>,
    /// What the outputs are multiplied with at last: the activation of an output of the same shape that a projection before this one
    /// in the same node makes. A thread then computes the same columns of all the node's outputs. Not where they are added.
    pub gate: Option<(BufferId, Activation)>,
    /// Set by the builder: also round the outputs to 8 bits.
    pub quantise: bool,
}

/// One mixture of a token shift.
#[derive(Clone, Copy, Debug)]
pub struct ShiftOut {
    /// Where it goes.
    pub out: BufferId,
    /// Set by the builder: also round it to 8 bits.
    pub quantise: bool,
}

/// Towards which values those of a layer of RWKV-7 move.
#[derive(Clone, Copy, Debug)]
pub struct ValueResidual {
    /// The first layer's values.
    pub first: BufferId,
    /// How far: before the sigmoid.
    pub mix: BufferId,
}

impl Projection {
    /// The product alone.
    #[must_use]
    pub const fn new(matrix: MatrixId, out: BufferId) -> Self {
        Self {
            matrix,
            out,
            column: None,
            bias: None,
            scale: 1.0,
            add: false,
            function: None,
            gate: None,
            quantise: false,
        }
    }
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
    /// RMS norm of each `width` columns, times a gate where given, written or added.
    RmsNorm {
        /// What is normalised.
        input: BufferId,
        /// Result.
        out: BufferId,
        /// `width` weights, or one for each column.
        weight: VectorId,
        /// Added to the mean of squares.
        eps: f32,
        /// Columns of one norm; the buffer holds a whole number of them, or one in place and columns behind it, which stay.
        width: usize,
        /// What multiplies the result, and the function that it goes through first.
        gate: Option<(BufferId, Gate)>,
        /// Whether the result is added to `out`.
        add: bool,
        /// Set by the builder: also round to 8 bits.
        quantise: bool,
    },
    /// Layer norm of whole rows.
    LayerNorm {
        /// What is normalised.
        input: BufferId,
        /// Result; may be `input`.
        out: BufferId,
        /// One for each column.
        weight: VectorId,
        /// One for each column.
        bias: VectorId,
        /// Added to the variance.
        eps: f32,
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
        /// How logits become choices and weights.
        scoring: Scoring,
        /// Added to scores for the choice, not for the weights.
        bias: Option<VectorId>,
    },
    /// Products of each head with a matrix of its own.
    HeadMatMul {
        /// A row per head: the matrix reads its first columns.
        input: BufferId,
        /// A row per head, copied behind the head's outputs.
        rest: Option<BufferId>,
        /// A row per token, head by head.
        out: BufferId,
        /// How many heads.
        heads: usize,
        /// Weights of all heads: each head's rows lie behind those of the head before it.
        matrix: MatrixId,
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
        /// Set by the builder: also round to 8 bits.
        quantise: bool,
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
    /// Depthwise convolution, and SiLU.
    CausalConv {
        /// Channels.
        input: BufferId,
        /// Result: a row per token, or per head.
        out: BufferId,
        /// `(tap, channel)`.
        weight: VectorId,
        /// One per channel.
        bias: Option<VectorId>,
        /// Whether SiLU follows.
        silu: bool,
        /// The last inputs.
        state: ConvId,
    },
    /// L2 norms of queries and keys and the gates, all in place.
    DeltaPrepare {
        /// `q | k | v`.
        qkv: BufferId,
        /// Becomes alpha, a decay or several per value head.
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
        /// Alpha, of a value head or of each of its key channels.
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
    /// Mixtures of each row with the row before it.
    TokenShift {
        /// The rows.
        input: BufferId,
        /// The mixtures.
        outs: Vec<ShiftOut>,
        /// `(mixture, channel)`, channels padded to whole vectors: how much of the row before is in each.
        mu: VectorId,
        /// The last row.
        state: ShiftId,
    },
    /// What RWKV-7's recurrence needs of a token, from its projections; all but `removal` in place.
    Wkv7Gates {
        /// Logits, become decays.
        decay: BufferId,
        /// Logits of the learning rate, become the erasing key.
        rate: BufferId,
        /// Becomes the writing key.
        key: BufferId,
        /// Moves towards the first layer's.
        value: BufferId,
        /// Result: the removal key.
        removal: BufferId,
        /// In every layer but the first.
        residual: Option<ValueResidual>,
        /// Scales the key before it becomes the removal key.
        k_k: VectorId,
        /// How far the learning rate scales the writing key.
        k_a: VectorId,
        /// Dimensions.
        shape: Wkv7Shape,
    },
    /// RWKV-7's recurrence.
    Wkv7 {
        /// What the state is read with.
        receptance: BufferId,
        /// What stays of each row of the state.
        decay: BufferId,
        /// Where the value is written.
        key: BufferId,
        /// What is written.
        value: BufferId,
        /// Where the state is read for what is to go.
        removal: BufferId,
        /// Where that is taken away.
        erasure: BufferId,
        /// Result.
        out: BufferId,
        /// The matrices.
        state: Wkv7Id,
        /// Dimensions.
        shape: Wkv7Shape,
    },
    /// Norm of each head, bonus of the current token, and gate; in place.
    Wkv7Output {
        /// What the recurrence read; becomes the result.
        y: BufferId,
        /// As for [`Node::Wkv7`].
        receptance: BufferId,
        /// As for [`Node::Wkv7`].
        key: BufferId,
        /// As for [`Node::Wkv7`].
        value: BufferId,
        /// Multiplies the result.
        gate: BufferId,
        /// Of the norm, one for each column.
        weight: VectorId,
        /// Of the norm, one for each column.
        bias: VectorId,
        /// Of the bonus, one for each column.
        r_k: VectorId,
        /// Added to a head's variance.
        eps: f32,
        /// Dimensions.
        shape: Wkv7Shape,
        /// Set by the builder: also round to 8 bits.
        quantise: bool,
    },
    /// The RG-LRU: gates, decay, and a recurrence per channel.
    RgLru {
        /// Convolved channels: a row per token, or per head.
        x: BufferId,
        /// How much of them is written, before bias and sigmoid.
        input: BufferId,
        /// How fast the state decays, before bias and sigmoid.
        recurrence: BufferId,
        /// One per channel.
        input_bias: VectorId,
        /// One per channel.
        recurrence_bias: VectorId,
        /// Logarithm of what stays where the gate is open, one per channel.
        rate: VectorId,
        /// Result; may be either gate.
        out: BufferId,
        /// A value per channel.
        state: RgLruId,
    },
    /// Rows of the tokens whose logits are asked for.
    SelectOutputs {
        /// A row per token.
        input: BufferId,
        /// A row per output.
        out: BufferId,
    },
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
