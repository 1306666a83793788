//! RecurrentGemma (Griffin): layers of the RG-LRU and, every third, of attention to the last tokens only; GeGLU; embeddings scaled by the
//! square root of the width; biases in every block; a soft cap of the logits. Norm weights in files have their +1 already.
//!
//! A layer attends where the file gives it key heads. No other program writes such files; names and keys follow the convention where it
//! has some for the purpose (`docs/recurrentgemma.md` lists them).

use kernels::program::BufferId;
use ops::glu::Activation;

use crate::{
    Config, ModelError,
    blocks::{Attention, FeedForward, LruShape, QueryRows, RgLru, Rotation, Stream},
    load::Loader,
};

/// Bound of the logits where the file does not say.
const CAP: f64 = 30.0;
const MOST_HEADS: usize = 1 << 16;

pub(super) fn describe(loader: &mut Loader<'_>, config: &Config) -> Result<BufferId, ModelError> {
    let gguf = std::sync::Arc::clone(&loader.gguf);
    let kv_heads = config.per_layer(&gguf, "attention.head_count_kv")?;
    let window = config.required(&gguf, "attention.sliding_window", 1 << 32)?;
    let cap = config.positive(&gguf, "final_logit_softcapping", CAP)? as f32;
    let shape = lru_shape(loader, config)?;
    let scale = 1.0 / (config.head_dim as f32).sqrt();

    // In bfloat16 whatever the weights are, as the model's code has it.
    let embedding_scale = half::bf16::from_f32((config.hidden as f32).sqrt()).to_f32();
    let stream = Stream::begin(loader, config, embedding_scale)?.biased_and_capped(cap);
    let rotation = Rotation::new(loader, "rope", config, config.rope_theta, config.rope_scale)?;
    for (layer, kv_heads) in kv_heads.into_iter().enumerate() {
        loader.program.layer(Some(layer));
        match kv_heads {
            0 => RgLru {
                config,
                stream,
                shape,
            }
            .push(loader, layer)?,
            _ => Attention {
                config,
                stream,
                rotation: Some(rotation),
                rows: QueryRows::Halves,
                scale,
                window: Some(window),
                post_norm: None,
                head_norms: false,
                needs_biases: false,
            }
            .push(loader, layer)?,
        }
        FeedForward {
            config,
            stream,
            activation: Activation::GeluTanh,
            norm: "ffn_norm",
            post_norm: None,
            shared_gate: false,
        }
        .push(loader, layer)?;
    }
    stream.end(loader, config)
}

fn lru_shape(loader: &Loader<'_>, config: &Config) -> Result<LruShape, ModelError> {
    const WIDTH: &str = "ssm.inner_size";
    let gguf = &loader.gguf;
    let taps = config.required(gguf, "ssm.conv_kernel", 64)?;
    if taps != ops::causal_conv::TAPS {
        let expected = ops::causal_conv::TAPS.to_string();
        return Err(config.wrong(gguf, "ssm.conv_kernel", taps, expected));
    }
    let heads = config.required(gguf, "ssm.group_count", MOST_HEADS)?;
    let channels = config.required(gguf, WIDTH, 1 << 24)?;
    // Products of heads read and write whole vectors.
    if !channels.is_multiple_of(16 * heads) {
        let expected = format!("{heads} heads of a multiple of 16 columns");
        return Err(config.wrong(gguf, WIDTH, channels, expected));
    }
    Ok(LruShape { heads, channels })
}
