//! The depthwise convolution backwards, over whole sequences from an empty state.
//!
//! With `u[t][c] = bias[c] + sum over j in 0..4 of weight[c][j] * x[t - 3 + j][c]` (x is zero before the first token) and
//! `y = act(u)`, `du = dy * act'(u)`:
//!
//! ```text
//! dx[t][c]      = sum over j in 0..4 of weight[c][j] * du[t + 3 - j][c]        outputs after the last token do not exist
//! dweight[c][j] = sum over t of du[t][c] * x[t - 3 + j][c]
//! dbias[c]      = sum over t of du[t][c]
//! ```
//!
//! # Shape
//! `x`, `dy` and `dx` `(tokens, channels)`; `weight` and its gradient `(channels, 4)`; `bias` and its gradient `(channels)`.

use super::{STATE_ROWS, Shape, TAPS};
use crate::glu;

/// Of a loss with respect to the inputs, the taps and the bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, channels)`.
    pub x: Vec<f64>,
    /// `(channels, 4)`.
    pub weight: Vec<f64>,
    /// `(channels)`, where the shape has a bias.
    pub bias: Option<Vec<f64>>,
}

/// The gradients of the inputs, the taps and the bias.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(
    shape: &Shape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    dy: &[f32],
) -> Gradients {
    let Shape {
        tokens,
        channels,
        silu,
        ..
    } = *shape;
    assert_eq!(dy.len(), tokens * channels, "dy must be (tokens, channels)");
    // The forward without SiLU is u; it checks the other slices.
    let linear = Shape {
        silu: false,
        ..*shape
    };
    let mut empty = vec![0.0; STATE_ROWS * channels];
    let u = super::reference(&linear, x, weight, bias, &mut empty);
    let slope = |u: f64| {
        if silu {
            glu::backward::silu_slope(u)
        } else {
            1.0
        }
    };
    let du: Vec<f64> = u
        .iter()
        .zip(dy)
        .map(|(&u, &dy)| f64::from(dy) * slope(u))
        .collect();
    let mut gradients = Gradients {
        x: vec![0.0; x.len()],
        weight: vec![0.0; weight.len()],
        bias: bias.map(|bias| vec![0.0; bias.len()]),
    };
    for token in 0..tokens {
        for channel in 0..channels {
            let du = du[token * channels + channel];
            if let Some(bias) = &mut gradients.bias {
                bias[channel] += du;
            }
            // Taps that meet a token, not the empty state.
            for tap in STATE_ROWS.saturating_sub(token)..TAPS {
                let from = (token + tap - STATE_ROWS) * channels + channel;
                let at = channel * TAPS + tap;
                gradients.x[from] += f64::from(weight[at]) * du;
                gradients.weight[at] += du * f64::from(x[from]);
            }
        }
    }
    gradients
}

#[cfg(test)]
mod tests;
