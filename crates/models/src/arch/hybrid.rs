//! Qwen3.5 (`qwen35moe` with experts) and Qwen3-Next: three Gated DeltaNet layers, then one of full attention with an output gate.
//!
//! Files of `qwen35` and `qwen35moe` have their value heads reordered so that head h uses key head h mod Hk; `qwen3next` keeps h / r.
//! Norm weights have their +1 already, and `ssm_a` is -exp(A_log). Prediction layers for later tokens are left out.

use kernels::{DeltaShape, program::BufferId};
use ops::gated_delta::{Decay, HeadMap};
use ops::glu::Activation;

use super::Architecture;
use crate::{
    Config, ModelError,
    blocks::{Attention, DeltaNet, FeedForward, GateRows, QueryRows, Rotation, Stream},
    config::file_name,
    load::Loader,
};

/// Every so many layers one is full attention, unless the file says otherwise.
const INTERVAL: usize = 4;
const MOST_HEADS: usize = 1 << 16;
/// Real models have 128. A state is this times as large as the values, so more would let a small file ask for much memory.
const MOST_STATE: usize = 1024;

pub(super) fn describe(
    architecture: Architecture,
    loader: &mut Loader<'_>,
    config: &Config,
) -> Result<BufferId, ModelError> {
    let interval = config.period(&loader.gguf, "full_attention_interval", INTERVAL)?;
    let shape = delta_shape(architecture, loader, config)?;
    let gate_rows = if architecture == Architecture::Qwen3Next {
        GateRows::PerKeyHead
    } else {
        GateRows::Apart
    };
    let scale = 1.0 / (config.head_dim as f32).sqrt();

    let stream = Stream::begin(loader, config, 1.0)?;
    let rotation = Rotation::new(loader, "rope", config, config.rope_theta, config.rope_scale)?;
    for layer in 0..config.layers {
        loader.program.layer(Some(layer));
        if (layer + 1) % interval == 0 {
            let rows = QueryRows::WithGate;
            let (head_norms, needs_biases) = (true, false);
            Attention {
                config,
                stream,
                rotation: Some(rotation),
                rows,
                scale,
                window: None,
                post_norm: None,
                head_norms,
                needs_biases,
            }
            .push(loader, layer)?;
        } else {
            DeltaNet {
                config,
                stream,
                shape,
                gate_rows,
            }
            .push(loader, layer)?;
        }
        FeedForward {
            config,
            stream,
            activation: Activation::Silu,
            norm: "post_attention_norm",
            post_norm: None,
            shared_gate: true,
        }
        .push(loader, layer)?;
    }
    stream.end(loader, config)
}

fn delta_shape(
    architecture: Architecture,
    loader: &Loader<'_>,
    config: &Config,
) -> Result<DeltaShape, ModelError> {
    let gguf = &loader.gguf;
    let key_dim = config.required(gguf, "ssm.state_size", MOST_STATE)?;
    let key_heads = config.required(gguf, "ssm.group_count", MOST_HEADS)?;
    let value_heads = config.required(gguf, "ssm.time_step_rank", MOST_HEADS)?;
    let inner = config.required(gguf, "ssm.inner_size", 1 << 24)?;
    let value = |key: &str, found: usize, expected: String| ModelError::Value {
        file: file_name(gguf),
        key: format!("{}.{key}", config.architecture),
        found: found.to_string(),
        expected,
    };
    let taps = config.required(gguf, "ssm.conv_kernel", 64)?;
    if taps != ops::causal_conv::TAPS {
        return Err(value(
            "ssm.conv_kernel",
            taps,
            ops::causal_conv::TAPS.to_string(),
        ));
    }
    if !inner.is_multiple_of(value_heads) {
        return Err(value(
            "ssm.inner_size",
            inner,
            format!("a multiple of the {value_heads} value heads"),
        ));
    }
    if !value_heads.is_multiple_of(key_heads) {
        return Err(value(
            "ssm.time_step_rank",
            value_heads,
            format!("a multiple of the {key_heads} key heads"),
        ));
    }
    let value_dim = inner / value_heads;
    if !value_dim.is_multiple_of(16) {
        return Err(value(
            "ssm.inner_size",
            inner,
            format!("{value_heads} value heads of a multiple of 16 columns"),
        ));
    }
    let head_map = if architecture == Architecture::Qwen3Next {
        HeadMap::Grouped
    } else {
        HeadMap::Tiled
    };
    Ok(DeltaShape {
        key_heads,
        value_heads,
        key_dim,
        value_dim,
        head_map,
        decay: Decay::PerHead,
    })
}
