//! RWKV-7: no attention, but a matrix state per head with a decay for each of its rows; token shift in front of every projection;
//! layer norms with biases, and one over the embeddings.
//!
//! What files do that their keys do not say: the first layer has tensors of a value residual, which are copies of others and must
//! not be read; the norm over heads has an eps of its own (64e-5).

use kernels::{
    Wkv7Shape,
    program::{BufferId, Extent},
};

use crate::{
    Config, ModelError,
    blocks::{ChannelMix, Ranks, Stream, TimeMix},
    load::Loader,
};

/// Far above any real one; tensors decide.
const MOST_RANK: usize = 1 << 16;
/// How many rows a layer carries from token to token.
const SHIFTS: usize = 2;

pub(super) fn describe(loader: &mut Loader<'_>, config: &Config) -> Result<BufferId, ModelError> {
    let gguf = std::sync::Arc::clone(&loader.gguf);
    let shifts = config.optional(&gguf, "token_shift_count")?;
    if let Some(found) = shifts.filter(|&count| count != SHIFTS) {
        return Err(config.wrong(&gguf, "token_shift_count", found, SHIFTS.to_string()));
    }
    let rank = |of: &str| {
        let key = format!("attention.{of}_lora_rank");
        config.required(&gguf, &key, MOST_RANK)
    };
    let ranks = Ranks {
        decay: rank("decay")?,
        rate: rank("iclr")?,
        value: rank("value_residual_mix")?,
        gate: rank("gate")?,
    };
    let shape = Wkv7Shape {
        heads: config.heads,
        head_dim: config.head_dim,
    };

    let stream = Stream::begin(loader, config, 1.0)?.with_layer_norms();
    stream.norm_in_place(loader, "embed_norm", "token_embd_norm.weight")?;
    // The first layer's values, which the others' move towards.
    let width = config.hidden;
    let first_values = loader
        .program
        .buffer("wkv_first_value", width, Extent::Tokens);
    for layer in 0..config.layers {
        loader.program.layer(Some(layer));
        TimeMix {
            config,
            stream,
            shape,
            ranks,
            first_values,
        }
        .push(loader, layer)?;
        ChannelMix { config, stream }.push(loader, layer)?;
    }
    stream.end(loader, config)
}
