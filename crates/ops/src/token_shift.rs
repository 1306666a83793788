//! Token shift: each token sees the one before it, channel by channel, in one or several mixtures.
//!
//! ```text
//! y_i[t] = x[t] + (x[t - 1] - x[t]) * mu_i        for each mixture i
//! ```
//!
//! The row before the call's first comes from the state (zeros before the first token), which the call leaves holding its last row.
//! RWKV-7's time mixing takes six mixtures of the same rows, one for each projection (receptance, decay, key, value, learning rate, gate),
//! and its channel mixing one. A mixture is a matrix product's whole input, so that each is a matrix of its own.
//!
//! # Shape
//! `x` `(tokens, width)`; `mu` `(mixtures, width)`, as GGUF stores `time_mix_lerp_fused`; `state` `(width)`; result
//! `(mixtures, tokens, width)`.
//!
//! # Source
//! Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025; its sections on time mixing and
//! channel mixing.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// A difference, a product and a sum. The state is copied, and must be equal.
pub const TOLERANCE: f64 = 1e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens, in order.
    pub tokens: usize,
    /// Mixtures of each token with the one before.
    pub mixtures: usize,
    /// Channels.
    pub width: usize,
}

/// The mixtures, one after another; `state` becomes the last token's row.
///
/// # Panics
/// When a slice does not fit `shape`.
pub fn reference(shape: &Shape, x: &[f32], mu: &[f32], state: &mut [f32]) -> Vec<f64> {
    let Shape {
        tokens,
        mixtures,
        width,
    } = *shape;
    assert_eq!(x.len(), tokens * width, "x must be (tokens, width)");
    assert_eq!(mu.len(), mixtures * width, "mu must be (mixtures, width)");
    assert_eq!(state.len(), width, "state must be (width)");
    let rows = [&*state, x].concat();
    let mut y = Vec::with_capacity(mixtures * x.len());
    for mu in mu.chunks_exact(width) {
        for at in 0..tokens * width {
            let (before, now) = (f64::from(rows[at]), f64::from(rows[width + at]));
            y.push(now + (before - now) * f64::from(mu[at % width]));
        }
    }
    state.copy_from_slice(&rows[tokens * width..]);
    y
}

/// Reads rows, weights and state once, writes the mixtures and the state; a difference per value, and 2 flops per mixture.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        mixtures,
        width,
    } = *shape;
    let state = f32_bytes(&[width]);
    Cost {
        read_bytes: f32_bytes(&[tokens, width])
            .saturating_add(f32_bytes(&[mixtures, width]))
            .saturating_add(state),
        written_bytes: f32_bytes(&[mixtures, tokens, width]).saturating_add(state),
        f32_flops: product(&[tokens, width]).saturating_add(product(&[2, mixtures, tokens, width])),
        ..Cost::default()
    }
}

/// One and six mixtures, hidden sizes, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, mixtures, width| Case {
        name,
        shape: Shape {
            tokens,
            mixtures,
            width,
        },
    };
    vec![
        case("one channel", 1, 1, 1),
        case("odd width", 3, 5, 37),
        case("RWKV-7-0.1B time mix, 1 token", 1, 6, 768),
        case("RWKV-7-0.1B channel mix, 7 tokens", 7, 1, 768),
        case("RWKV-7-1.5B time mix, 65 tokens", 65, 6, 2048),
    ]
}

#[cfg(test)]
mod tests;
