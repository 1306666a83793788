//! Depthwise causal convolution of 4 taps, then SiLU or nothing: how Gated DeltaNet, Mamba-2 and the RG-LRU look at their neighbours.
//!
//! ```text
//! y[t][c] = silu(bias[c] + sum over j in 0..4 of weight[c][j] * x[t - 3 + j][c])      without silu in RecurrentGemma
//! ```
//!
//! The last tap meets the newest input. Inputs before the call come from the state: the last 3 inputs, oldest first (zeros before
//! the first token), which the call leaves holding its own last 3.
//!
//! # Shape
//! `x` and the result `(tokens, channels)`; `weight` `(channels, 4)`, as GGUF stores `ssm_conv1d`; `bias` `(channels)`, where there is one;
//! `state` `(3, channels)`.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu};

/// Taps of the convolution.
pub const TAPS: usize = 4;
/// Inputs that the state holds.
pub const STATE_ROWS: usize = TAPS - 1;

/// Four products, an exponential and a division. The state is copied, and must be equal.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens, in order.
    pub tokens: usize,
    /// Channels: `2 * key_heads * 128 + value_heads * 128`, or `heads * head_dim + 2 * groups * state_dim`.
    pub channels: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// The convolved channels; `state` advances by the call's tokens.
///
/// # Panics
/// When a slice does not fit `shape`.
pub fn reference(
    shape: &Shape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    state: &mut [f32],
) -> Vec<f64> {
    let Shape {
        tokens, channels, ..
    } = *shape;
    assert_eq!(
        bias.map(<[f32]>::len),
        shape.bias.then_some(channels),
        "bias must be (channels), where the shape has one"
    );
    assert_eq!(x.len(), tokens * channels, "x must be (tokens, channels)");
    assert_eq!(
        weight.len(),
        channels * TAPS,
        "weight must be (channels, {TAPS})"
    );
    assert_eq!(
        state.len(),
        STATE_ROWS * channels,
        "state must be ({STATE_ROWS}, channels)"
    );
    let inputs = [&*state, x].concat();
    let mut y = Vec::with_capacity(x.len());
    for token in 0..tokens {
        for channel in 0..channels {
            let taps = (0..TAPS).map(|tap| {
                f64::from(weight[channel * TAPS + tap])
                    * f64::from(inputs[(token + tap) * channels + channel])
            });
            let start = bias.map_or(0.0, |bias| f64::from(bias[channel]));
            let sum = taps.fold(start, |sum, tap| sum + tap);
            y.push(if shape.silu { glu::silu(sum) } else { sum });
        }
    }
    state.copy_from_slice(&inputs[tokens * channels..]);
    y
}

/// Reads inputs, weights and state once, writes outputs and state; 8 flops per value, a SiLU (4) and a bias (1) where there are such.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        channels,
        bias,
        silu,
    } = *shape;
    let (bias, silu) = (usize::from(bias), usize::from(silu));
    let (values, state) = (
        f32_bytes(&[tokens, channels]),
        f32_bytes(&[STATE_ROWS, channels]),
    );
    Cost {
        read_bytes: values
            .saturating_add(f32_bytes(&[TAPS + bias, channels]))
            .saturating_add(state),
        written_bytes: values.saturating_add(state),
        f32_flops: product(&[8 + 4 * silu + bias, tokens, channels]),
        ..Cost::default()
    }
}

/// Calls shorter than, equal to and longer than the state, and the hybrids' channels.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, channels, bias| Case {
        name,
        shape: Shape {
            tokens,
            channels,
            bias,
            silu: true,
        },
    };
    let plain = |mut case: Case<Shape>| {
        case.shape.silu = false;
        case
    };
    vec![
        case("one channel", 1, 1, false),
        case("two tokens, odd channels", 2, 37, true),
        case("three tokens", 3, 64, false),
        case("Qwen3.5-0.8B, 1 token", 1, 6144, false),
        case("Qwen3.5-27B, 5 tokens", 5, 10240, false),
        case("Granite-4.0-H-Tiny, 7 tokens", 7, 3328, true),
        case("Qwen3.5-0.8B, 65 tokens", 65, 6144, false),
        plain(case("odd channels without SiLU", 5, 37, true)),
        plain(case("RecurrentGemma-2B, 7 tokens", 7, 2560, true)),
    ]
}

#[cfg(test)]
mod tests;
