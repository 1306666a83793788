//! Rotary position embedding backwards: a rotation's transpose is the rotation by the negative angle.
//!
//! ```text
//! (da, db) -> (da cos + db sin, db cos - da sin)
//! ```
//!
//! Values from `rotary_dims` on pass unchanged, as they do forwards. Nothing of the input is needed.
//!
//! # Shape
//! `dy` and the result `(tokens, heads, head_dim)`, `positions` `(tokens)`, `factors` `(rotary_dims / 2)`.

use super::{Shape, turned};

/// Of a loss with respect to the heads before they were turned.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(tokens, heads, head_dim)`.
    pub x: Vec<f64>,
}

/// The heads' gradient.
///
/// # Panics
/// When a slice does not fit `shape`, or `rotary_dims` is odd or above `head_dim`.
#[must_use]
pub fn reference(
    shape: &Shape,
    dy: &[f32],
    positions: &[u32],
    factors: Option<&[f32]>,
) -> Gradients {
    let x = turned(shape, dy, positions, factors, -1.0);
    Gradients { x }
}

#[cfg(test)]
mod tests;
