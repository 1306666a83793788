//! Llama and its close kin Qwen2 (biases on q, k, v) and Qwen3 (norms over query and key heads; `qwen3moe` with experts):
//! pre-norm blocks of full attention and SwiGLU. Biases are taken wherever a file has them.

use kernels::program::BufferId;
use ops::glu::Activation;

use super::Architecture;
use crate::{
    Config, ModelError,
    blocks::{Attention, FeedForward, QueryRows, Rotation, Stream},
    load::Loader,
};

pub(super) fn describe(
    architecture: Architecture,
    loader: &mut Loader<'_>,
    config: &Config,
) -> Result<BufferId, ModelError> {
    let stream = Stream::begin(loader, config, 1.0)?;
    let rotation = Rotation::new(loader, "rope", config, config.rope_theta, config.rope_scale)?;
    let rows = if architecture == Architecture::Llama {
        QueryRows::Interleaved
    } else {
        QueryRows::Halves
    };
    let scale = 1.0 / (config.head_dim as f32).sqrt();
    let (head_norms, needs_biases) = (
        matches!(architecture, Architecture::Qwen3 | Architecture::Qwen3Moe),
        architecture == Architecture::Qwen2,
    );
    for layer in 0..config.layers {
        loader.program.layer(Some(layer));
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
        FeedForward {
            config,
            stream,
            activation: Activation::Silu,
            norm: "ffn_norm",
            post_norm: None,
            shared_gate: true,
        }
        .push(loader, layer)?;
    }
    stream.end(loader, config)
}
