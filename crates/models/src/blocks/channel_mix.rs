//! RWKV-7's channel mixing: each token mixed with the one before, then two products with a squared ReLU between them.

use kernels::program::{Extent, Node, Projection};
use ops::pointwise::Function;

use super::{
    stream::{Join, Stream, push},
    time_mix::token_shift,
};
use crate::{Config, ModelError, load::Loader};

/// One layer's channel mixing.
pub(crate) struct ChannelMix<'a> {
    pub config: &'a Config,
    pub stream: Stream,
}

impl ChannelMix<'_> {
    /// Adds the layer's nodes.
    pub(crate) fn push(&self, loader: &mut Loader<'_>, layer: usize) -> Result<(), ModelError> {
        let (hidden, width) = (self.config.hidden, self.config.feed_forward);
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let mixed = loader
            .program
            .buffer("channel_mixed", hidden, Extent::Tokens);
        let inner = loader
            .program
            .buffer("channel_inner", width, Extent::Tokens);
        self.stream.norm(loader, "ffn_norm", &name("attn_norm_2"))?;
        let lerp = name("channel_mix_lerp_k");
        let mu = loader.shaped(&lerp, &[&[hidden], &[hidden, 1, 1]])?;
        let shift = token_shift(loader, self.stream.normed, &[mixed], mu, hidden);
        push(loader, "channel_shift", shift)?;
        let matrix = loader.matrix(&name("channel_mix_key"), width, hidden)?;
        let projections = vec![Projection {
            function: Some(Function::SquaredRelu),
            ..Projection::new(matrix, inner)
        }];
        let input = mixed;
        push(loader, "channel_key", Node::MatMul { input, projections })?;
        self.stream.project_back(
            loader,
            "channel_value",
            &name("channel_mix_value"),
            (inner, width),
            &Join::Add,
        )
    }
}
