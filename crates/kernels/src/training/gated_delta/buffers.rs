//! The working memory of the backward pass.

use super::{CHUNK, GatedDeltaShape, Rows, SQUARE, gates::Squares};
use crate::{simd::LANES, training::shared::Pieces};

/// A thread's working memory.
pub(super) struct Buffers {
    pub squares: Squares,
    /// dP, then W; its transpose.
    pub w: Rows,
    pub w_turned: Rows,
    /// -dA, then B; `B + B^T`.
    pub b: Rows,
    pub b_both: Rows,
    /// Of a key head, by channel: keys, queries, their gradients; a product like them.
    pub keys: Rows,
    pub queries: Rows,
    pub d_keys: Rows,
    pub d_queries: Rows,
    pub product: Rows,
    /// dD, then dR; `-beta E dR`; `E dO`.
    pub d_rows: Rows,
    pub d_read: Rows,
    pub d_carried: Rows,
    /// dR, D and dO by channel.
    pub turned: [Rows; 3],
    /// Gradients of the value heads' states.
    pub d_states: *mut f32,
}

impl Buffers {
    pub(super) fn of(shape: &GatedDeltaShape, scratch: *mut f32) -> Self {
        let mut pieces = Pieces(scratch);
        let (keys, values) = (shape.key_dim * CHUNK, shape.value_dim * CHUNK);
        Self {
            squares: Squares::of(&mut pieces),
            w: Rows::of(pieces.take(SQUARE), CHUNK),
            w_turned: Rows::of(pieces.take(SQUARE), CHUNK),
            b: Rows::of(pieces.take(SQUARE), CHUNK),
            b_both: Rows::of(pieces.take(SQUARE), CHUNK),
            keys: Rows::of(pieces.take(keys + LANES), CHUNK),
            queries: Rows::of(pieces.take(keys + LANES), CHUNK),
            d_keys: Rows::of(pieces.take(keys), CHUNK),
            d_queries: Rows::of(pieces.take(keys), CHUNK),
            product: Rows::of(pieces.take(keys), CHUNK),
            d_rows: Rows::of(pieces.take(values), shape.value_dim),
            d_read: Rows::of(pieces.take(values), shape.value_dim),
            d_carried: Rows::of(pieces.take(values), shape.value_dim),
            turned: [(); 3].map(|()| Rows::of(pieces.take(values + LANES), CHUNK)),
            d_states: pieces.0,
        }
    }
}
