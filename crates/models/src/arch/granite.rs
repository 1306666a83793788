//! Granite: a llama with factors for embeddings, scores, what blocks add, and logits; and Granite 4.0-H (`granitehybrid`): Mamba-2
//! layers and a few of attention without rotary embedding, SwiGLU or experts with a shared one without gate.
//!
//! A hybrid's layer attends where the file gives it key heads. Query and key rows are in the converter's interleaved order, which
//! matters to no score as long as nothing turns them.

use kernels::{Mamba2Shape, program::BufferId};
use ops::glu::Activation;

use super::Architecture;
use crate::{
    Config, ModelError,
    blocks::{Attention, FeedForward, Mamba2, QueryRows, Rotation, Stream},
    config::file_name,
    load::Loader,
};

const MOST_HEADS: usize = 1 << 16;
/// Real models have 128. A state is this times as large as the values, so more would let a small file ask for much memory.
const MOST_STATE: usize = 1024;

pub(super) fn describe(
    architecture: Architecture,
    loader: &mut Loader<'_>,
    config: &Config,
) -> Result<BufferId, ModelError> {
    let is_hybrid = architecture == Architecture::GraniteHybrid;
    let gguf = std::sync::Arc::clone(&loader.gguf);
    // Files without the key mean that positions turn.
    let key = format!("{}.rope.scaling.finetuned", config.architecture);
    let turns = gguf.metadata().opt_bool(&key)?.unwrap_or(true);
    if turns && is_hybrid {
        return Err(ModelError::Unsupported {
            file: file_name(&gguf),
            feature: format!("rotary embedding in `{}`", config.architecture),
            remedy: "take a Granite 4.0-H model: it has none (rope.scaling.finetuned is false)"
                .into(),
        });
    }
    // What is in place of attention, for the layers that have it.
    let mut others = vec![None; config.layers];
    if is_hybrid {
        let shape = mamba2_shape(loader, config)?;
        let kv_heads = config.per_layer(&gguf, "attention.head_count_kv")?;
        others = kv_heads
            .iter()
            .map(|&n| (n == 0).then_some(shape))
            .collect();
    }
    let factor = |key, default| config.positive(&gguf, key, default);
    let embedding_scale = factor("embedding_scale", 1.0)? as f32;
    let residual_scale = factor("residual_scale", 1.0)? as f32;
    let logit_scale = 1.0 / factor("logit_scale", 1.0)? as f32;
    let scale = factor("attention.scale", 1.0 / (config.head_dim as f64).sqrt())? as f32;

    let stream =
        Stream::begin(loader, config, embedding_scale)?.scaled(residual_scale, logit_scale);
    let (rotation, rows) = if turns {
        let (theta, scale) = (config.rope_theta, config.rope_scale);
        let rotation = Rotation::new(loader, "rope", config, theta, scale)?;
        (Some(rotation), QueryRows::Interleaved)
    } else {
        (None, QueryRows::Halves)
    };
    for (layer, other) in others.into_iter().enumerate() {
        loader.program.layer(Some(layer));
        if let Some(shape) = other {
            Mamba2 {
                config,
                stream,
                shape,
            }
            .push(loader, layer)?;
        } else {
            Attention {
                config,
                stream,
                rotation,
                rows,
                scale,
                window: None,
                post_norm: None,
                head_norms: false,
                needs_biases: false,
            }
            .push(loader, layer)?;
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

fn mamba2_shape(loader: &Loader<'_>, config: &Config) -> Result<Mamba2Shape, ModelError> {
    let gguf = &loader.gguf;
    let state_dim = config.required(gguf, "ssm.state_size", MOST_STATE)?;
    let groups = config.required(gguf, "ssm.group_count", MOST_HEADS)?;
    let heads = config.required(gguf, "ssm.time_step_rank", MOST_HEADS)?;
    let inner = config.required(gguf, "ssm.inner_size", 1 << 24)?;
    let taps = config.required(gguf, "ssm.conv_kernel", 64)?;
    let wrong = |key, found, expected| Err(config.wrong(gguf, key, found, expected));
    if taps != ops::causal_conv::TAPS {
        return wrong("ssm.conv_kernel", taps, ops::causal_conv::TAPS.to_string());
    }
    if !heads.is_multiple_of(groups) {
        let expected = format!("a multiple of the {groups} groups");
        return wrong("ssm.time_step_rank", heads, expected);
    }
    if !inner.is_multiple_of(16 * heads) {
        let expected = format!("{heads} heads of a multiple of 16 columns");
        return wrong("ssm.inner_size", inner, expected);
    }
    Ok(Mamba2Shape {
        heads,
        groups,
        head_dim: inner / heads,
        state_dim,
    })
}
