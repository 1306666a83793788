//! The recurrence: lanes over value columns; work is split over (head, tile of 32 columns).

use super::{Wkv7Shape, dot};
use crate::{
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch},
};

/// Vectors of value columns in a tile: with 64 rows the tile of S is 8 KiB.
const VECTORS: usize = 2;

/// One call; all rows as wide as the shape.
#[derive(Clone, Copy)]
pub(crate) struct Scan {
    pub receptance: Rows,
    pub decay: Rows,
    pub key: Rows,
    pub value: Rows,
    pub removal: Rows,
    pub erasure: Rows,
    pub out: Rows,
    /// `(head, key channel, value channel)`.
    pub state: *mut f32,
    pub shape: Wkv7Shape,
    pub tokens: usize,
}

// SAFETY: threads use disjoint tiles of the state.
unsafe impl Sync for Scan {}

/// All tokens of this thread's share of the tiles.
///
/// # Safety
/// The views have `tokens` rows, `state` the shape's elements; heads are whole vectors; `out` is none of the inputs.
pub(crate) unsafe fn scan(isa: Isa, call: Scan, team: &Team<'_>) {
    let tiles = call.shape.head_dim.div_ceil(VECTORS * LANES);
    let share = team.share(call.shape.heads * tiles);
    // SAFETY: the caller's contract; tiles are disjoint.
    unsafe { dispatch(isa, Run { call, tiles, share }) }
}

struct Run {
    call: Scan,
    tiles: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for Run {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for item in self.share {
            let head = item / self.tiles;
            let from = item % self.tiles * VECTORS * LANES;
            let to = (from + VECTORS * LANES).min(self.call.shape.head_dim);
            // SAFETY: the contract of `scan`. With 16 registers two vectors' sums and updates do not fit.
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
    erasure: *const f32,
    key: *const f32,
    /// -u.
    minus_held: [S::F; V],
    value: [S::F; V],
}

impl<S: Simd, const V: usize> Update<S, V> {
    /// Row `row` of the tile at `at`, changed and written back.
    #[inline(always)]
    unsafe fn apply(&self, at: *mut f32, row: usize) -> [S::F; V] {
        // SAFETY: as `scan`; the row has `V` vectors.
        unsafe {
            let decay = S::splat(*self.decay.add(row));
            let erasure = S::splat(*self.erasure.add(row));
            let key = S::splat(*self.key.add(row));
            let mut rows = [S::splat(0.0); V];
            for (j, s) in rows.iter_mut().enumerate() {
                let old = S::mul(decay, S::load(at.add(j * LANES)));
                let erased = S::fma(erasure, self.minus_held[j], old);
                *s = S::fma(key, self.value[j], erased);
                S::store(at.add(j * LANES), *s);
            }
            rows
        }
    }
}

/// `V` vectors of value columns of one head, all tokens.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize>(call: &Scan, head: usize, column: usize) {
    let dim = call.shape.head_dim;
    let first = head * dim;
    // SAFETY: as `scan`; the tile's columns exist.
    unsafe {
        let state = call.state.add(first * dim + column);
        let mut update: Option<Update<S, V>> = None;
        for token in 0..call.tokens {
            let of = |rows: Rows| rows.row(token).add(first).cast_const();
            let (receptance, decay, removal) =
                (of(call.receptance), of(call.decay), of(call.removal));
            let (mut held, mut read) = ([S::splat(0.0); V], [S::splat(0.0); V]);
            for row in 0..dim {
                let at = state.add(row * dim);
                let s = match &update {
                    Some(update) => update.apply(at, row),
                    None => {
                        let mut s = [S::splat(0.0); V];
                        for (j, s) in s.iter_mut().enumerate() {
                            *s = S::load(at.add(j * LANES));
                        }
                        s
                    }
                };
                let holding = S::splat(*removal.add(row));
                let reading = S::splat(*decay.add(row) * *receptance.add(row));
                for j in 0..V {
                    held[j] = S::fma(holding, s[j], held[j]);
                    read[j] = S::fma(reading, s[j], read[j]);
                }
            }
            let (erasure, key) = (of(call.erasure), of(call.key));
            let erased = S::splat(dot::<S>(erasure, receptance, dim));
            let written = S::splat(dot::<S>(key, receptance, dim));
            let mut next = Update {
                decay,
                erasure,
                key,
                minus_held: held,
                value: held,
            };
            let value = of(call.value).add(column);
            let out = call.out.row(token).add(first + column);
            for j in 0..V {
                next.minus_held[j] = S::sub(S::splat(0.0), held[j]);
                next.value[j] = S::load(value.add(j * LANES));
                let y = S::fma(erased, next.minus_held[j], read[j]);
                S::store(out.add(j * LANES), S::fma(written, next.value[j], y));
            }
            update = Some(next);
        }
        if let Some(update) = update {
            for row in 0..dim {
                update.apply(state.add(row * dim), row);
            }
        }
    }
}
