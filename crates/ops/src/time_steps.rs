//! Mamba-2's step sizes and decays per token and head, from the projection `dt`:
//!
//! ```text
//! step  = softplus(dt + bias)            how much of the input is written, and how far time moves on
//! decay = exp(rate * step)               how much of the state stays, 0..=1
//! ```
//!
//! `rate` is the GGUF tensor `ssm_a`, which is `-exp(A_log)` already. `softplus` as in [`delta_gates`](crate::delta_gates).
//! Checkpoints may clamp the step to limits; files have no key for them, and the published models' are 0 and infinity.
//!
//! # Shape
//! `dt`, steps and decays `(tokens, heads)`; `rate` and `bias` `(heads)`.

use crate::cost::{f32_bytes, product};
use crate::delta_gates::softplus;
use crate::{Case, Cost};

/// As [`delta_gates::TOLERANCE`](crate::delta_gates::TOLERANCE), for the same functions.
pub const TOLERANCE: f64 = 5e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens.
    pub tokens: usize,
    /// Heads.
    pub heads: usize,
}

/// Both, each `(tokens, heads)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// Step sizes.
    pub steps: Vec<f64>,
    /// What stays of the state.
    pub decays: Vec<f64>,
}

/// The steps and decays.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, dt: &[f32], rate: &[f32], bias: &[f32]) -> Steps {
    let Shape { tokens, heads } = *shape;
    assert_eq!(dt.len(), tokens * heads, "dt must be (tokens, heads)");
    assert_eq!(
        (rate.len(), bias.len()),
        (heads, heads),
        "rate and bias must be (heads)"
    );
    let steps: Vec<f64> = dt
        .iter()
        .zip(bias.iter().cycle())
        .map(|(&dt, &bias)| softplus(f64::from(dt) + f64::from(bias)))
        .collect();
    let decays = steps
        .iter()
        .zip(rate.iter().cycle())
        .map(|(step, &rate)| (f64::from(rate) * step).exp())
        .collect();
    Steps { steps, decays }
}

/// Reads the projection and both vectors once; 4 flops for a step and 2 for a decay.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape { tokens, heads } = *shape;
    Cost {
        read_bytes: f32_bytes(&[tokens, heads]).saturating_add(f32_bytes(&[2, heads])),
        written_bytes: f32_bytes(&[2, tokens, heads]),
        f32_flops: product(&[6, tokens, heads]),
        ..Cost::default()
    }
}

/// The hybrids' heads.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, heads| Case {
        name,
        shape: Shape { tokens, heads },
    };
    vec![
        case("one head", 1, 1),
        case("Granite-4.0-H-Tiny, 1 token", 1, 48),
        case("Granite-4.0-H-Small, 65 tokens", 65, 128),
    ]
}

#[cfg(test)]
mod tests;
