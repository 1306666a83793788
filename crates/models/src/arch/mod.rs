//! One file per family of architectures; each describes its layers as blocks.

mod gemma3;
mod hybrid;
mod llama;

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
    Gemma3,
    Qwen35,
    Qwen3Next,
}

impl Architecture {
    const ALL: [(&'static str, Self); 6] = [
        ("llama", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("gemma3", Self::Gemma3),
        ("qwen35", Self::Qwen35),
        ("qwen3next", Self::Qwen3Next),
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

    /// Adds all nodes; returns the logits' buffer.
    pub(crate) fn describe(
        self,
        loader: &mut Loader<'_>,
        config: &Config,
    ) -> Result<BufferId, ModelError> {
        match self {
            Self::Llama | Self::Qwen2 | Self::Qwen3 => llama::describe(self, loader, config),
            Self::Gemma3 => gemma3::describe(loader, config),
            Self::Qwen35 | Self::Qwen3Next => hybrid::describe(self, loader, config),
        }
    }
}
