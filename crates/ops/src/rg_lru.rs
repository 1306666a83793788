//! The real-gated linear recurrent unit (RG-LRU) of Griffin and RecurrentGemma: a recurrent layer whose state is one value per channel.
//!
//! Per channel, with the projections `r` of the recurrence gate and `i` of the input gate:
//!
//! ```text
//! log a = rate * sigmoid(r + recurrence_bias)                 rate = -8 softplus(parameter), at most 0
//! h     = a h + sqrt(1 - a^2) sigmoid(i + input_bias) x
//! y     = h
//! ```
//!
//! At the first token of a sequence nothing stays of the state, and the input is not scaled by the root: `h = sigmoid(i + input_bias) x`.
//! Where `a` is near 1, `1 - a^2` must come from `1 - exp(2 log a)` without cancellation: such channels remember longest.
//!
//! # Shape
//! `x`, both projections and the result `(tokens, channels)`; biases and `rate` `(channels)`; `state` `(channels)`.
//!
//! # Source
//! De et al., *Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models*, 2024, section 2.4.

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu::sigmoid};

/// Of the outputs and of the state, in f32, over the case table's lengths.
pub const TOLERANCE: f64 = 5e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens, in order.
    pub tokens: usize,
    /// Channels.
    pub channels: usize,
    /// Whether the first of the tokens is the first of its sequence.
    pub begins: bool,
}

/// What a call reads beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(tokens, channels)`.
    pub x: &'a [f32],
    /// `(tokens, channels)`: how much of the input is written, before bias and sigmoid.
    pub input: &'a [f32],
    /// `(tokens, channels)`: how fast the state decays, before bias and sigmoid.
    pub recurrence: &'a [f32],
    /// `(channels)`.
    pub input_bias: &'a [f32],
    /// `(channels)`.
    pub recurrence_bias: &'a [f32],
    /// `(channels)`: the logarithm of what stays of the state where the gate is open.
    pub rate: &'a [f32],
}

/// The token-by-token recurrence; `state` advances by the call's tokens.
///
/// # Panics
/// When a slice does not fit `shape`.
pub fn reference(shape: &Shape, inputs: &Inputs<'_>, state: &mut [f64]) -> Vec<f64> {
    check(shape, inputs, state);
    let Shape {
        tokens,
        channels,
        begins,
    } = *shape;
    let gate = |logit: f32, bias: f32| sigmoid(f64::from(logit) + f64::from(bias));
    let mut out = Vec::with_capacity(tokens * channels);
    for token in 0..tokens {
        for (channel, h) in state.iter_mut().enumerate() {
            let at = token * channels + channel;
            let written =
                gate(inputs.input[at], inputs.input_bias[channel]) * f64::from(inputs.x[at]);
            *h = if begins && token == 0 {
                written
            } else {
                let gate = gate(inputs.recurrence[at], inputs.recurrence_bias[channel]);
                let log_a = f64::from(inputs.rate[channel]) * gate;
                log_a.exp() * *h + (-(2.0 * log_a).exp_m1()).sqrt() * written
            };
            out.push(*h);
        }
    }
    out
}

fn check(shape: &Shape, inputs: &Inputs<'_>, state: &[f64]) {
    let Shape {
        tokens, channels, ..
    } = *shape;
    for (what, got, rows) in [
        ("x must be (tokens, channels)", inputs.x, tokens),
        ("input must be (tokens, channels)", inputs.input, tokens),
        (
            "recurrence must be (tokens, channels)",
            inputs.recurrence,
            tokens,
        ),
        ("input_bias must be (channels)", inputs.input_bias, 1),
        (
            "recurrence_bias must be (channels)",
            inputs.recurrence_bias,
            1,
        ),
        ("rate must be (channels)", inputs.rate, 1),
    ] {
        assert_eq!(got.len(), rows * channels, "{what}");
    }
    assert_eq!(state.len(), channels, "state must be (channels)");
}

/// Reads and writes the f32 state once per call, however many tokens it takes; per value two biases and sigmoids (8), the logarithm (1),
/// a and 1 - a^2 (5), the root (1), the input (2) and the sum (2).
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens, channels, ..
    } = *shape;
    let values = f32_bytes(&[tokens, channels]);
    let state = f32_bytes(&[channels]);
    Cost {
        read_bytes: f32_bytes(&[3, tokens, channels])
            .saturating_add(f32_bytes(&[3, channels]))
            .saturating_add(state),
        written_bytes: values.saturating_add(state),
        f32_flops: product(&[19, tokens, channels]),
        ..Cost::default()
    }
}

/// Odd channels, the beginning of a sequence and its middle, and the models' widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, channels, begins| Case {
        name,
        shape: Shape {
            tokens,
            channels,
            begins,
        },
    };
    vec![
        case("one channel, one token", 1, 1, false),
        case("the first token", 1, 37, true),
        case("odd channels", 9, 37, false),
        case("RecurrentGemma-2B, 1 token", 1, 2560, false),
        case("RecurrentGemma-9B, 5 tokens", 5, 4096, true),
        case("RecurrentGemma-2B, 65 tokens", 65, 2560, true),
        case("1000 tokens", 1000, 48, false),
    ]
}

#[cfg(test)]
mod tests;
