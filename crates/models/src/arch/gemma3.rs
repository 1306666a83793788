//! Gemma 3: five sliding-window layers, then a global one; norms before and after each block; GeGLU; embeddings scaled by the
//! square root of the width. Norm weights in files have their +1 already.

use kernels::program::BufferId;
use ops::glu::Activation;

use crate::{
    Config, ModelError,
    blocks::{Attention, FeedForward, QueryRows, Rotation, Stream},
    load::Loader,
};

/// Every so many layers one attends to everything, unless the file says otherwise.
const PATTERN: usize = 6;
/// Base of the rotary angles in sliding-window layers.
const LOCAL_THETA: f64 = 10_000.0;
/// The 27B model, alone of its family, scales by width / heads; files do not say so, and its depth tells it.
pub(crate) const LAYERS_27B: usize = 62;

pub(super) fn describe(loader: &mut Loader<'_>, config: &Config) -> Result<BufferId, ModelError> {
    let gguf = std::sync::Arc::clone(&loader.gguf);
    let pattern = config.period(&gguf, "attention.sliding_window_pattern", PATTERN)?;
    let window = config.required(&gguf, "attention.sliding_window", 1 << 32)?;
    let local_theta = config.positive(&gguf, "rope.freq_base_swa", LOCAL_THETA)?;
    // In bfloat16 as the model was trained, so that its rounding is the same.
    let embedding_scale = half::bf16::from_f32((config.hidden as f32).sqrt()).to_f32();
    let per_head = if config.layers == LAYERS_27B {
        config.hidden / config.heads
    } else {
        config.head_dim
    };
    let scale = 1.0 / (per_head as f32).sqrt();

    let stream = Stream::begin(loader, config, embedding_scale)?;
    let global = Rotation::new(loader, "rope", config, config.rope_theta, config.rope_scale)?;
    let local = Rotation::new(loader, "rope_local", config, local_theta, 1.0)?;
    for layer in 0..config.layers {
        loader.program.layer(Some(layer));
        let is_global = (layer + 1) % pattern == 0;
        let attention = Attention {
            config,
            stream,
            rotation: Some(if is_global { global } else { local }),
            rows: QueryRows::Halves,
            scale,
            window: (!is_global).then_some(window),
            post_norm: Some("post_attention_norm.weight"),
            head_norms: true,
            needs_biases: false,
        };
        attention.push(loader, layer)?;
        let activation = Activation::GeluTanh;
        FeedForward {
            config,
            stream,
            activation,
            norm: "ffn_norm",
            post_norm: Some("post_ffw_norm"),
            shared_gate: true,
        }
        .push(loader, layer)?;
    }
    stream.end(loader, config)
}
