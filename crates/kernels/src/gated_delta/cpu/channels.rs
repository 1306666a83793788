//! The recurrence with a decay for each key channel: lanes over value columns, tiles as for a decay per head.
//!
//! A row of S has a decay of its own, so the products with the old state carry it on their key and query: `u += (alpha k) S`,
//! `w += (alpha q) S`; then `delta = beta (v - u)`, `o = w + (k.q) delta`. A function of its own, so that the other keeps its loop.

use super::{Step, VECTORS};
use crate::simd::{Kernel, LANES, Simd};

/// This thread's share of the tiles.
pub(super) struct RunChannels {
    pub call: Step,
    pub tiles: usize,
    pub share: std::ops::Range<usize>,
}

impl Kernel for RunChannels {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for item in self.share {
            let head = item / self.tiles;
            let from = item % self.tiles * VECTORS * LANES;
            let to = (from + VECTORS * LANES).min(self.call.shape.value_dim);
            // SAFETY: the contract of `step`. With 16 registers two vectors' sums and updates do not fit.
            unsafe {
                if S::MANY_REGISTERS && to - from == VECTORS * LANES {
                    tile::<S, VECTORS>(&self.call, head, from);
                } else {
                    for column in (from..to).step_by(LANES) {
                        tile::<S, 1>(&self.call, head, column);
                    }
                }
            }
        }
    }
}

/// What a token changes in the state, until the next sweep writes it.
#[derive(Clone, Copy)]
struct Update<S: Simd, const V: usize> {
    decay: *const f32,
    key: *const f32,
    delta: [S::F; V],
}

impl<S: Simd, const V: usize> Update<S, V> {
    /// Row `row` of the tile at `at`, changed and written back.
    #[inline(always)]
    unsafe fn apply(&self, at: *mut f32, row: usize) -> [S::F; V] {
        // SAFETY: as `step`; the row has `V` vectors.
        unsafe {
            let decay = S::splat(*self.decay.add(row));
            let key = S::splat(*self.key.add(row));
            let mut rows = [S::splat(0.0); V];
            for (j, s) in rows.iter_mut().enumerate() {
                let old = S::mul(decay, S::load(at.add(j * LANES)));
                *s = S::fma(key, self.delta[j], old);
                S::store(at.add(j * LANES), *s);
            }
            rows
        }
    }
}

/// `V` vectors of value columns of one head, all tokens.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(call: &Step, head: usize, column: usize) {
    let shape = &call.shape;
    let key_head = shape
        .head_map
        .key_head(head, shape.key_heads, shape.value_heads);
    // SAFETY: as `step`; the tile's columns exist.
    unsafe {
        let state = call
            .state
            .add(head * shape.key_dim * shape.value_dim + column);
        let mut update: Option<Update<S, V>> = None;
        for token in 0..call.tokens {
            let row = call.qkv.row(token).cast_const();
            let q = row.add(key_head * shape.key_dim);
            let k = row.add(shape.keys() + key_head * shape.key_dim);
            let v = row.add(2 * shape.keys() + head * shape.value_dim + column);
            let decay = call.alpha.row(token).add(head * shape.key_dim).cast_const();
            let beta = S::splat(*call.beta.row(token).add(head));
            let (mut u, mut w) = ([S::splat(0.0); V], [S::splat(0.0); V]);
            let mut dot = 0.0f32;
            for i in 0..shape.key_dim {
                let at = state.add(i * shape.value_dim);
                let s = match &update {
                    Some(update) => update.apply(at, i),
                    None => {
                        let mut s = [S::splat(0.0); V];
                        for (j, s) in s.iter_mut().enumerate() {
                            *s = S::load(at.add(j * LANES));
                        }
                        s
                    }
                };
                let (alpha, key, query) = (*decay.add(i), *k.add(i), *q.add(i));
                let (held, read) = (S::splat(alpha * key), S::splat(alpha * query));
                dot = key.mul_add(query, dot);
                for j in 0..V {
                    u[j] = S::fma(held, s[j], u[j]);
                    w[j] = S::fma(read, s[j], w[j]);
                }
            }
            let out = call.out.row(token).add(head * shape.value_dim + column);
            let mut delta = [S::splat(0.0); V];
            for j in 0..V {
                let wrong = S::sub(S::load(v.add(j * LANES)), u[j]);
                delta[j] = S::mul(beta, wrong);
                S::store(out.add(j * LANES), S::fma(S::splat(dot), delta[j], w[j]));
            }
            let key = k;
            update = Some(Update { decay, key, delta });
        }
        if let Some(update) = update {
            for i in 0..shape.key_dim {
                update.apply(state.add(i * shape.value_dim), i);
            }
        }
    }
}
