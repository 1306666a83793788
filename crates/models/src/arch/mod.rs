//! One file per family of architectures; each describes its layers as blocks.

mod gemma3;
mod granite;
mod hybrid;
mod kimi_linear;
mod llama;
mod recurrent_gemma;
mod rwkv7;

pub(crate) use gemma3::LAYERS_27B as GEMMA3_LAYERS_27B;

use formats::gguf::Gguf;
use kernels::program::BufferId;

use crate::{Config, ModelError, config::file_name, load::Loader};

/// What Sprag runs, by `general.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Qwen3Moe,
    Gemma3,
    Qwen35,
    Qwen35Moe,
    Qwen3Next,
    Granite,
    GraniteHybrid,
    Rwkv7,
    KimiLinear,
    RecurrentGemma,
}

impl Architecture {
    const ALL: [(&'static str, Self); 13] = [
        ("llama", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("qwen3moe", Self::Qwen3Moe),
        ("gemma3", Self::Gemma3),
        ("qwen35", Self::Qwen35),
        ("qwen35moe", Self::Qwen35Moe),
        ("qwen3next", Self::Qwen3Next),
        ("granite", Self::Granite),
        ("granitehybrid", Self::GraniteHybrid),
        ("rwkv7", Self::Rwkv7),
        ("kimi-linear", Self::KimiLinear),
        ("recurrentgemma", Self::RecurrentGemma),
    ];

    /// The architecture that a file names.
    pub(crate) fn named(name: &str, gguf: &Gguf) -> Result<Self, ModelError> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found
            .map(|&(_, architecture)| architecture)
            .ok_or_else(|| ModelError::Architecture {
                file: file_name(gguf),
                architecture: name.escape_debug().to_string(),
                known: Self::ALL.map(|(name, _)| name).join(", "),
            })
    }

    /// Whether its mixtures route as ours do: the largest logits, with their softmax as weights; or as the file says, scored one by one.
    fn has_experts(self) -> bool {
        matches!(
            self,
            Self::Qwen3Moe
                | Self::Qwen35Moe
                | Self::Qwen3Next
                | Self::GraniteHybrid
                | Self::KimiLinear
        )
    }

    /// Whether all that turns turns alike, so that one extension is meant for all.
    fn has_one_rotation(self) -> bool {
        !matches!(
            self,
            Self::Gemma3
                | Self::GraniteHybrid
                | Self::Rwkv7
                | Self::KimiLinear
                | Self::RecurrentGemma
        )
    }

    /// Adds all nodes; returns the logits' buffer.
    pub(crate) fn describe(
        self,
        loader: &mut Loader<'_>,
        config: &Config,
    ) -> Result<BufferId, ModelError> {
        if config.experts.is_some() && !self.has_experts() {
            return Err(ModelError::Unsupported {
                file: file_name(&loader.gguf),
                feature: format!("a mixture of experts in `{}`", config.architecture),
                remedy: "take a dense model of the family".into(),
            });
        }
        if config.yarn.is_some() && !self.has_one_rotation() {
            return Err(ModelError::Unsupported {
                file: file_name(&loader.gguf),
                feature: format!("rope scaling `yarn` in `{}`", config.architecture),
                remedy: "take a file of the model without context extension".into(),
            });
        }
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 | Self::Qwen3Moe => {
                llama::describe(self, loader, config)
            }
            Self::Gemma3 => gemma3::describe(loader, config),
            Self::Qwen35 | Self::Qwen35Moe | Self::Qwen3Next => {
                hybrid::describe(self, loader, config)
            }
            Self::Granite | Self::GraniteHybrid => granite::describe(self, loader, config),
            Self::Rwkv7 => rwkv7::describe(loader, config),
            Self::KimiLinear => kimi_linear::describe(loader, config),
            Self::RecurrentGemma => recurrent_gemma::describe(loader, config),
        }
    }
}
