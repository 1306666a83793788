//! RWKV-7's time mixing: six mixtures of each token with the one before, a projection of each (those of decay, learning rate, value
//! residual and gate of low rank), gates, the recurrence, a norm per head with bonus and gate, projection back.

use kernels::{
    Wkv7Shape,
    program::{BufferId, Extent, Node, Projection, ShiftOut, ValueResidual, VectorId},
};
use ops::pointwise::Function;

use super::stream::{Join, Stream, push};
use crate::{Config, ModelError, load::Loader};

/// Of the norm over a head, for each of its channels.
const HEAD_EPS: f32 = 1e-5;

/// Inner widths of the low-rank projections.
#[derive(Clone, Copy)]
pub(crate) struct Ranks {
    pub decay: usize,
    /// The in-context learning rate.
    pub rate: usize,
    /// The value residual.
    pub value: usize,
    pub gate: usize,
}

/// One layer's time mixing.
pub(crate) struct TimeMix<'a> {
    pub config: &'a Config,
    pub stream: Stream,
    pub shape: Wkv7Shape,
    pub ranks: Ranks,
    /// The first layer writes its values there, all others move theirs towards them.
    pub first_values: BufferId,
}

/// A low-rank projection `W2 function(W1 input) + bias`.
struct LowRank {
    /// Its letter in tensors' names.
    letter: char,
    rank: usize,
    inner: &'static str,
    function: Option<Function>,
    has_bias: bool,
}

impl TimeMix<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let hidden = self.config.hidden;
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let mut buffer = |part| loader.program.buffer(part, hidden, Extent::Tokens);
        let [of_r, of_w, of_k, of_v, of_a, of_g] =
            ["time_r", "time_w", "time_k", "time_v", "time_a", "time_g"].map(&mut buffer);
        let [receptance, decay, key, rate] =
            ["wkv_receptance", "wkv_decay", "wkv_key", "wkv_rate"].map(&mut buffer);
        let [later, removal, gate, y] =
            ["wkv_value", "wkv_removal", "wkv_gate", "wkv_out"].map(&mut buffer);
        let value = if layer == 0 { self.first_values } else { later };

        self.stream.norm(loader, "attn_norm", &name("attn_norm"))?;
        let fused: [&[usize]; 2] = [&[hidden, 1, 1, 6], &[hidden, 6]];
        let mu = loader.shaped(&name("time_mix_lerp_fused"), &fused)?;
        let outs = [of_r, of_w, of_k, of_v, of_a, of_g];
        let shift = token_shift(loader, self.stream.normed, &outs, mu, hidden);
        push(loader, "time_shift", shift)?;

        self.product(loader, layer, "receptance", of_r, receptance)?;
        let residual = self.value(loader, layer, of_v, value)?;
        let low_rank = |letter, rank, inner, function, has_bias| LowRank {
            letter,
            rank,
            inner,
            function,
            has_bias,
        };
        let Ranks {
            decay: w,
            rate: a,
            gate: g,
            ..
        } = self.ranks;
        for (part, input, out) in [
            (
                low_rank('w', w, "wkv_rank_w", Some(Function::Tanh), true),
                of_w,
                decay,
            ),
            (low_rank('a', a, "wkv_rank_a", None, true), of_a, rate),
            (
                low_rank('g', g, "wkv_rank_g", Some(Function::Sigmoid), false),
                of_g,
                gate,
            ),
        ] {
            let first = part.first(loader, hidden, layer)?;
            let projections = vec![first];
            push(loader, "time_low_rank", Node::MatMul { input, projections })?;
            part.second(loader, hidden, layer, out)?;
        }
        // Last, since gates change it in place: timed alone, they run behind the node before them.
        self.product(loader, layer, "key", of_k, key)?;
        let [k_k, k_a, r_k] = ["k_k", "k_a", "r_k"].map(|part| {
            let shapes: [&[usize]; 2] = [&[hidden], &[hidden, 1, 1]];
            loader.shaped(&name(&format!("time_mix_{part}")), &shapes)
        });
        let shape = self.shape;
        let gates = Node::Wkv7Gates {
            decay,
            rate,
            key,
            value,
            removal,
            residual,
            k_k: k_k?,
            k_a: k_a?,
            shape,
        };
        push(loader, "wkv_gates", gates)?;
        let scan = Node::Wkv7 {
            receptance,
            decay,
            key,
            value,
            removal,
            erasure: rate,
            out: y,
            state: loader.program.wkv7_state(shape),
            shape,
        };
        push(loader, "wkv_scan", scan)?;
        let output = Node::Wkv7Output {
            y,
            receptance,
            key,
            value,
            gate,
            weight: loader.vector(&name("time_mix_ln"), hidden)?,
            bias: loader.vector(&format!("blk.{layer}.time_mix_ln.bias"), hidden)?,
            r_k: r_k?,
            eps: shape.head_dim as f32 * HEAD_EPS,
            shape,
            quantise: false,
        };
        push(loader, "wkv_output", output)?;
        let tensor = name("time_mix_output");
        self.stream
            .project_back(loader, "time_output", &tensor, (y, hidden), &Join::Add)
    }

    /// `out = W input`, for one of the square matrices.
    fn product(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        part: &str,
        input: BufferId,
        out: BufferId,
    ) -> Result<(), ModelError> {
        let hidden = self.config.hidden;
        let tensor = format!("blk.{layer}.time_mix_{part}.weight");
        let matrix = loader.matrix(&tensor, hidden, hidden)?;
        let projections = vec![Projection::new(matrix, out)];
        push(loader, "time_rkv", Node::MatMul { input, projections })
    }

    /// The values and, in all layers but the first, how far they move towards the first layer's.
    fn value(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        input: BufferId,
        out: BufferId,
    ) -> Result<Option<ValueResidual>, ModelError> {
        let hidden = self.config.hidden;
        if layer == 0 {
            for part in ["v0", "v1", "v2"] {
                loader.ignore(format!("blk.{layer}.time_mix_{part}.weight"));
            }
            self.product(loader, layer, "value", input, out)?;
            return Ok(None);
        }
        let part = LowRank {
            letter: 'v',
            rank: self.ranks.value,
            inner: "wkv_rank_v",
            function: None,
            has_bias: true,
        };
        let tensor = format!("blk.{layer}.time_mix_value.weight");
        let matrix = loader.matrix(&tensor, hidden, hidden)?;
        let first = part.first(loader, hidden, layer)?;
        let projections = vec![Projection::new(matrix, out), first];
        push(loader, "time_rkv", Node::MatMul { input, projections })?;
        let mix = loader
            .program
            .buffer("wkv_value_mix", hidden, Extent::Tokens);
        part.second(loader, hidden, layer, mix)?;
        let first = self.first_values;
        Ok(Some(ValueResidual { first, mix }))
    }
}

impl LowRank {
    fn tensor(&self, layer: usize, half: usize) -> String {
        format!("blk.{layer}.time_mix_{}{half}.weight", self.letter)
    }

    fn inner(&self, loader: &mut Loader<'_>) -> BufferId {
        loader.program.buffer(self.inner, self.rank, Extent::Tokens)
    }

    /// The first half, into a buffer of its own.
    fn first(
        &self,
        loader: &mut Loader<'_>,
        hidden: usize,
        layer: usize,
    ) -> Result<Projection, ModelError> {
        let matrix = loader.matrix(&self.tensor(layer, 1), self.rank, hidden)?;
        Ok(Projection {
            function: self.function,
            ..Projection::new(matrix, self.inner(loader))
        })
    }

    /// The second half, from that buffer into `out`.
    fn second(
        &self,
        loader: &mut Loader<'_>,
        hidden: usize,
        layer: usize,
        out: BufferId,
    ) -> Result<(), ModelError> {
        let matrix = loader.matrix(&self.tensor(layer, 2), hidden, self.rank)?;
        let bias = if self.has_bias {
            let shapes: [&[usize]; 2] = [&[hidden], &[hidden, 1, 1]];
            Some(loader.shaped(&self.tensor(layer, 0), &shapes)?)
        } else {
            None
        };
        let projections = vec![Projection {
            bias,
            ..Projection::new(matrix, out)
        }];
        let input = self.inner(loader);
        push(loader, "time_low_rank", Node::MatMul { input, projections })
    }
}

/// Mixtures of `input` with its last row, with a state of their own.
pub(super) fn token_shift(
    loader: &mut Loader<'_>,
    input: BufferId,
    outs: &[BufferId],
    mu: VectorId,
    width: usize,
) -> Node {
    let one = |&out: &BufferId| ShiftOut {
        out,
        quantise: false,
    };
    Node::TokenShift {
        input,
        outs: outs.iter().map(one).collect(),
        mu,
        state: loader.program.shift_state(width),
    }
}
