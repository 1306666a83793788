//! The families of models that a checkpoint may be of, and what distinguishes them on the way to GGUF.

/// A family, by `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
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
    KimiLinear,
    RecurrentGemma,
}

/// `model_type` of the language model, alone or inside a multi-modal one, and `general.architecture`.
const FAMILIES: [(&[&str], &str, Family); 12] = [
    (&["llama"], "llama", Family::Llama),
    (&["qwen2"], "qwen2", Family::Qwen2),
    (&["qwen3"], "qwen3", Family::Qwen3),
    (&["qwen3_moe"], "qwen3moe", Family::Qwen3Moe),
    (&["gemma3_text", "gemma3"], "gemma3", Family::Gemma3),
    (&["qwen3_5_text", "qwen3_5"], "qwen35", Family::Qwen35),
    (
        &["qwen3_5_moe_text", "qwen3_5_moe"],
        "qwen35moe",
        Family::Qwen35Moe,
    ),
    (&["qwen3_next"], "qwen3next", Family::Qwen3Next),
    (&["granite"], "granite", Family::Granite),
    (
        &["granitemoehybrid"],
        "granitehybrid",
        Family::GraniteHybrid,
    ),
    (&["kimi_linear"], "kimi-linear", Family::KimiLinear),
    (
        &["recurrent_gemma"],
        "recurrentgemma",
        Family::RecurrentGemma,
    ),
];

impl Family {
    pub(super) fn of_model_type(name: &str) -> Option<Self> {
        let found = FAMILIES.iter().find(|(names, _, _)| names.contains(&name));
        found.map(|&(_, _, family)| family)
    }

    /// All that are known, for messages.
    pub(super) fn known() -> String {
        FAMILIES.map(|(names, _, _)| names[0]).join(", ")
    }

    /// `general.architecture`.
    pub(super) fn architecture(self) -> &'static str {
        let found = FAMILIES.iter().find(|(_, _, family)| *family == self);
        found.map_or("", |&(_, architecture, _)| architecture)
    }

    /// With Granite's factors.
    pub(super) fn is_granite(self) -> bool {
        matches!(self, Self::Granite | Self::GraniteHybrid)
    }

    /// With GELU in its MLP, and norms that begin at zero.
    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma3 | Self::RecurrentGemma)
    }

    /// Of every matrix of a layer but those of queries, keys and values, which may have some anyway.
    pub(super) fn has_biases(self) -> bool {
        self == Self::RecurrentGemma
    }

    /// GGUF has the rows of queries and keys in pairs that turn together.
    pub(super) fn interleaves_heads(self) -> bool {
        self == Self::Llama || self.is_granite()
    }

    /// Gated DeltaNet and attention in turns.
    pub(super) fn is_hybrid(self) -> bool {
        matches!(self, Self::Qwen35 | Self::Qwen35Moe | Self::Qwen3Next)
    }

    /// GGUF has the value heads of these in tiled order.
    pub(super) fn tiles_value_heads(self) -> bool {
        matches!(self, Self::Qwen35 | Self::Qwen35Moe)
    }

    pub(super) fn may_have_experts(self) -> bool {
        matches!(self, Self::Qwen3Moe | Self::Qwen35Moe | Self::Qwen3Next)
    }

    pub(super) fn has_shared_expert(self) -> bool {
        matches!(self, Self::Qwen35Moe | Self::Qwen3Next)
    }

    /// Norms are stored as the difference from 1; GGUF has the 1 added.
    pub(super) fn norms_are_offsets(self) -> bool {
        self.is_gemma() || self.is_hybrid()
    }

    /// Queries and keys have norms of their own.
    pub(super) fn has_head_norms(self) -> bool {
        let has_none = matches!(
            self,
            Self::Llama | Self::Qwen2 | Self::KimiLinear | Self::RecurrentGemma
        );
        !has_none && !self.is_granite()
    }
}
