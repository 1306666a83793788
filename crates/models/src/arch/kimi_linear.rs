//! Kimi Linear: layers of Kimi Delta Attention, and a few of latent attention to which positions are not told; the first layers' MLP is
//! dense, the others' are mixtures whose router scores experts one by one.
//!
//! A layer attends where the file gives it key heads. What files do that their keys do not say: the latents' norm has an eps of its own,
//! the delta's heads are as many as attention's, and a cached row is described as one head of latents and shared keys.

use kernels::{DeltaShape, program::BufferId};
use ops::{
    gated_delta::{Decay, HeadMap},
    glu::Activation,
};

use crate::{
    Config, ModelError,
    blocks::{FeedForward, KimiDelta, LatentAttention, LatentShape, Stream},
    config::file_name,
    load::Loader,
};

const MOST_HEAD: usize = 4096;
/// Real models have 128. A state is this times as large as the values, so more would let a small file ask for much memory.
const MOST_STATE: usize = 1024;

pub(super) fn describe(loader: &mut Loader<'_>, config: &Config) -> Result<BufferId, ModelError> {
    let gguf = std::sync::Arc::clone(&loader.gguf);
    let kv_heads = config.per_layer(&gguf, "attention.head_count_kv")?;
    let delta = delta_shape(loader, config)?;
    let latent = latent_shape(loader, config)?;
    let stream = Stream::begin(loader, config, 1.0)?;
    for (layer, kv_heads) in kv_heads.into_iter().enumerate() {
        loader.program.layer(Some(layer));
        match kv_heads {
            0 => KimiDelta {
                config,
                stream,
                shape: delta,
            }
            .push(loader, layer)?,
            _ => LatentAttention {
                config,
                stream,
                shape: latent,
            }
            .push(loader, layer)?,
        }
        FeedForward {
            config,
            stream,
            activation: Activation::Silu,
            norm: "ffn_norm",
            post_norm: None,
            shared_gate: false,
        }
        .push(loader, layer)?;
    }
    stream.end(loader, config)
}

fn delta_shape(loader: &Loader<'_>, config: &Config) -> Result<DeltaShape, ModelError> {
    const KEY: &str = "kda.head_dim";
    let gguf = &loader.gguf;
    let taps = config.required(gguf, "ssm.conv_kernel", 64)?;
    if taps != ops::causal_conv::TAPS {
        let expected = ops::causal_conv::TAPS.to_string();
        return Err(config.wrong(gguf, "ssm.conv_kernel", taps, expected));
    }
    let dim = config.required(gguf, KEY, MOST_STATE)?;
    if !dim.is_multiple_of(16) {
        return Err(config.wrong(gguf, KEY, dim, "a multiple of 16".into()));
    }
    Ok(DeltaShape {
        key_heads: config.heads,
        value_heads: config.heads,
        key_dim: dim,
        value_dim: dim,
        head_map: HeadMap::Grouped,
        decay: Decay::PerChannel,
    })
}

fn latent_shape(loader: &Loader<'_>, config: &Config) -> Result<LatentShape, ModelError> {
    let gguf = &loader.gguf;
    let unsupported = |feature: &str, remedy: &str| {
        Err(ModelError::Unsupported {
            file: file_name(gguf),
            feature: feature.into(),
            remedy: remedy.into(),
        })
    };
    if config
        .optional(gguf, "attention.q_lora_rank")?
        .is_some_and(|rank| rank > 0)
    {
        let feature = "queries through latents of their own (attention.q_lora_rank)";
        return unsupported(
            feature,
            "take a file of Kimi-Linear-48B-A3B, which has none",
        );
    }
    let has_whole = |layer| loader.has(&format!("blk.{layer}.attn_kv_b.weight"));
    if (0..config.layers).any(has_whole) {
        let remedy = "convert it anew: newer converters write attn_k_b and attn_v_b";
        return unsupported("`attn_kv_b` in one", remedy);
    }
    let shared = config.rope_dims;
    let whole = config.required(gguf, "attention.key_length_mla", MOST_HEAD)?;
    let values = config.required(gguf, "attention.value_length_mla", MOST_HEAD)?;
    let latents = config.head_dim - shared;
    if whole <= shared {
        let expected = format!("more than the {shared} shared ones (rope.dimension_count)");
        return Err(config.wrong(gguf, "attention.key_length_mla", whole, expected));
    }
    for (key, width) in [
        ("attention.kv_lora_rank", latents),
        ("rope.dimension_count", shared),
        ("attention.key_length_mla", whole),
        ("attention.value_length_mla", values),
    ] {
        if !width.is_multiple_of(16) {
            return Err(config.wrong(gguf, key, width, "a multiple of 16".into()));
        }
    }
    Ok(LatentShape {
        latents,
        own: whole - shared,
        shared,
        values,
    })
}
