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

use super::{Shape, angle};

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
    let Shape {
        tokens,
        heads,
        head_dim,
        rotary_dims,
        pairing,
        ..
    } = *shape;
    assert_eq!(
        dy.len(),
        tokens * heads * head_dim,
        "dy must be (tokens, heads, head_dim)"
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
    let mut dx: Vec<f64> = dy.iter().copied().map(f64::from).collect();
    for (token, &position) in dx.chunks_exact_mut(heads * head_dim).zip(positions) {
        for head in token.chunks_exact_mut(head_dim) {
            for i in 0..rotary_dims / 2 {
                let factor = factors.map_or(1.0, |factors| factors[i]);
                let (sin, cos) = angle(shape, position, i, factor).sin_cos();
                let (first, second) = pairing.indices(i, rotary_dims);
                let (da, db) = (head[first], head[second]);
                head[first] = da * cos + db * sin;
                head[second] = db * cos - da * sin;
            }
        }
    }
    Gradients { x: dx }
}

#[cfg(test)]
mod tests;
