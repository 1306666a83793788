//! What a product is for in a model, and the choices that a profile may make for each of those purposes.
//!
//! A model has few shapes of products, and they come by purpose: the head has a hundred times the rows of the others, the second
//! product of a feed-forward part more columns than rows. How many streams of weights, how far ahead to prefetch and how many tokens to
//! a tile are best may differ between them. A product's role is settled when the program is built, and what a role's
//! choices are when a step begins; kernels see one profile and know nothing of roles.

use super::RuntimeProfile;

/// What a product is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Into and out of attention, or of what stands in its place (recurrences, time mixing).
    Mixer,
    /// Into a feed-forward part: gate and up, of experts too, and their router.
    FfnUp,
    /// Out of a feed-forward part: down.
    FfnDown,
    /// The logits.
    Head,
}

/// Choices for the products of one role; what is `None` is as the profile says for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleChoices {
    /// As [`RuntimeProfile::matmul_tile`], in tokens.
    pub matmul_tile: Option<usize>,
    /// As [`RuntimeProfile::matvec_streams`].
    pub matvec_streams: Option<usize>,
    /// As [`RuntimeProfile::prefetch_bytes`].
    pub prefetch_bytes: Option<usize>,
}

impl Role {
    /// All; `role as usize` is its place here.
    pub const ALL: [Self; 4] = [Self::Mixer, Self::FfnUp, Self::FfnDown, Self::Head];

    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixer => "mixer",
            Self::FfnUp => "ffn_up",
            Self::FfnDown => "ffn_down",
            Self::Head => "head",
        }
    }

    /// Of a layer's product, by the name of its part: feed-forward parts are called `ffn_..` and `channel_..` (RWKV's), and those that
    /// lead out of one `.._down` and `channel_value`.
    #[must_use]
    pub fn of_part(part: &str) -> Self {
        if !part.starts_with("ffn_") && !part.starts_with("channel_") {
            Self::Mixer
        } else if part.ends_with("_down") || part == "channel_value" {
            Self::FfnDown
        } else {
            Self::FfnUp
        }
    }
}

impl RuntimeProfile {
    /// The choices as they are for products of `role`.
    #[must_use]
    pub fn of_role(&self, role: Role) -> Self {
        let own = self.roles[role as usize];
        Self {
            matmul_tile: own.matmul_tile.unwrap_or(self.matmul_tile),
            matvec_streams: own.matvec_streams.unwrap_or(self.matvec_streams),
            prefetch_bytes: own.prefetch_bytes.unwrap_or(self.prefetch_bytes),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
