//! Rotary position embedding: each pair of a head's values is turned by an angle that grows with the position.
//!
//! ```text
//! angle_i = position * position_scale * theta^(-2 i / rotary_dims) / factor_i        i = 0 .. rotary_dims / 2
//! (a, b) -> (a cos - b sin, a sin + b cos)
//! ```
//!
//! Models differ in which values form pair i: `(x[i], x[i + rotary_dims / 2])` ([`Pairing::Half`], "NeoX": Qwen, Gemma) or
//! `(x[2 i], x[2 i + 1])` ([`Pairing::Interleaved`], "normal": the llama architecture in GGUF, whose q and k rows are
//! permuted for it at conversion). Values from `rotary_dims` on pass unchanged. `factor_i` is the tensor `rope_freqs` where a
//! model has one (Llama 3.1's long context); `position_scale` is the inverse of linear scaling's factor (1/8 in larger Gemma 3's
//! global layers). Multi-section RoPE on text has equal positions in every section, and is this one.
//!
//! Angles are computed in f64. In f32 the angle of the fastest pair errs by 0.004 rad at position 100 000; a kernel that builds its
//! table of sines in f64 has no such loss, and the table costs nothing next to the layers that share it.
//!
//! # Shape
//! `x` and the result `(tokens, heads, head_dim)`, `positions` `(tokens)`, `factors` `(rotary_dims / 2)`.
//!
//! # Source
//! Su et al., *RoFormer: Enhanced Transformer with Rotary Position Embedding*, 2021.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// Sine and cosine rounded to f32, two products and a sum.
pub const TOLERANCE: f64 = 1e-6;

/// Which values are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `(x[i], x[i + rotary_dims / 2])`, "NeoX".
    Half,
    /// `(x[2 i], x[2 i + 1])`, "normal".
    Interleaved,
}

impl Pairing {
    /// The indices within a head of the values that form pair `i`.
    #[must_use]
    pub const fn indices(self, i: usize, rotary_dims: usize) -> (usize, usize) {
        match self {
            Self::Half => (i, i + rotary_dims / 2),
            Self::Interleaved => (2 * i, 2 * i + 1),
        }
    }
}

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens.
    pub tokens: usize,
    /// Heads of each token.
    pub heads: usize,
    /// Values in a head.
    pub head_dim: usize,
    /// Leading values of a head that are turned; even, at most `head_dim`.
    pub rotary_dims: usize,
    /// Which values form a pair.
    pub pairing: Pairing,
    /// The base of the frequencies.
    pub theta: f32,
    /// Multiplies positions; 1 without linear scaling.
    pub position_scale: f32,
}

/// Angle of pair `i` at `position`, in radians; `factor` is 1 without frequency factors.
#[must_use]
pub fn angle(shape: &Shape, position: u32, i: usize, factor: f32) -> f64 {
    let exponent = -2.0 * i as f64 / shape.rotary_dims as f64;
    f64::from(position) * f64::from(shape.position_scale) * f64::from(shape.theta).powf(exponent)
        / f64::from(factor)
}

/// The turned heads.
///
/// # Panics
/// When a slice does not fit `shape`, or `rotary_dims` is odd or above `head_dim`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32], positions: &[u32], factors: Option<&[f32]>) -> Vec<f64> {
    turned(shape, x, positions, factors, 1.0)
}

/// The heads turned by `direction` times their angles.
fn turned(
    shape: &Shape,
    x: &[f32],
    positions: &[u32],
    factors: Option<&[f32]>,
    direction: f64,
) -> Vec<f64> {
    let Shape {
        tokens,
        heads,
        head_dim,
        rotary_dims,
        pairing,
        ..
    } = *shape;
    assert_eq!(
        x.len(),
        tokens * heads * head_dim,
        "x must be (tokens, heads, head_dim)"
    );
    assert_eq!(positions.len(), tokens, "positions must be (tokens)");
    assert!(
        rotary_dims.is_multiple_of(2) && rotary_dims <= head_dim,
        "{rotary_dims} of {head_dim} values are no pairs"
    );
    assert!(
        factors.is_none_or(|factors| factors.len() == rotary_dims / 2),
        "factors must be (rotary_dims / 2)"
    );
    let mut y: Vec<f64> = x.iter().copied().map(f64::from).collect();
    for (token, &position) in y.chunks_exact_mut(heads * head_dim).zip(positions) {
        for head in token.chunks_exact_mut(head_dim) {
            for i in 0..rotary_dims / 2 {
                let factor = factors.map_or(1.0, |factors| factors[i]);
                let (sin, cos) = (direction * angle(shape, position, i, factor)).sin_cos();
                let (first, second) = pairing.indices(i, rotary_dims);
                let (a, b) = (head[first], head[second]);
                head[first] = a * cos - b * sin;
                head[second] = a * sin + b * cos;
            }
        }
    }
    y
}

/// Reads and writes the turned values once, 3 flops each; sine and cosine once per token and pair.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        heads,
        rotary_dims,
        ..
    } = *shape;
    let values = f32_bytes(&[tokens, heads, rotary_dims]);
    Cost {
        read_bytes: values,
        written_bytes: values,
        f32_flops: product(&[3, tokens, heads, rotary_dims])
            .saturating_add(product(&[tokens, rotary_dims])),
        ..Cost::default()
    }
}

/// Every pairing, whole and partial heads, large bases and linear scaling.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let neox = |name, tokens, heads, head_dim, rotary_dims, theta, position_scale| Case {
        name,
        shape: Shape {
            tokens,
            heads,
            head_dim,
            rotary_dims,
            pairing: Pairing::Half,
            theta,
            position_scale,
        },
    };
    let normal = |name, tokens, heads, head_dim, theta| Case {
        name,
        shape: Shape {
            tokens,
            heads,
            head_dim,
            rotary_dims: head_dim,
            pairing: Pairing::Interleaved,
            theta,
            position_scale: 1.0,
        },
    };
    vec![
        neox("one pair", 1, 1, 2, 2, 1e4, 1.0),
        normal("one pair, interleaved", 1, 1, 2, 1e4),
        neox("6 of 10 values", 3, 3, 10, 6, 1e4, 1.0),
        normal("SmolLM2-135M q", 1, 9, 64, 1e5),
        normal("SmolLM2-135M k, 65 tokens", 65, 3, 64, 1e5),
        neox("Qwen2-0.5B q", 7, 14, 64, 64, 1e6, 1.0),
        neox("Gemma-3-270M q, local", 5, 4, 256, 256, 1e4, 1.0),
        neox("Gemma-3-4B q, global", 3, 8, 256, 256, 1e6, 0.125),
        neox("Qwen3.5-0.8B q", 17, 8, 256, 64, 1e7, 1.0),
    ]
}

#[cfg(test)]
mod tests;
