//! Register tiles: R query rows by V vectors of keys for scores, R rows by V vectors of dimensions for values; and the states
//! they leave. With 32 registers a tile is 4 rows by 4 vectors; with 16 of half the width it is 6 rows by 1. The tile's shape
//! decides which sums share a loaded vector, never the order of a sum.
//!
//! A row's state is its maximum, its sum (in the first vector) and its weighted values. What multiplies is a [`Kind`]: [`float`] or
//! [`whole`] numbers.

pub(super) mod float;
pub(super) mod whole;

use std::marker::PhantomData;

use super::{MASKED, ROWS, RowSet, SPLIT, VECTORS, state_len};
use crate::{
    attention::cache::KEY_BLOCK,
    quantize,
    simd::{Kernel, LANES, Simd, math, store_first},
};

/// Where the rows of a set are worked on, beside their states.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Of a register tile's rows for one block of keys, then as much again for what a kind makes of them.
    pub weights: *mut f32,
    /// What a kind makes of the queries: [`whole::query_len`] for each row.
    pub queries: *mut f32,
}

impl Room {
    /// From `weights` on.
    ///
    /// # Safety
    /// The scratch goes on for what [`super::scratch_len`] counts behind the states.
    #[inline(always)]
    pub(super) unsafe fn at(weights: *mut f32) -> Self {
        Self {
            weights,
            // SAFETY: the caller's contract.
            queries: unsafe { weights.add(2 * ROWS * KEY_BLOCK) },
        }
    }
}

/// How queries meet keys, and weights values.
pub(super) trait Kind {
    /// What the set's tiles need, once for all of its splits.
    ///
    /// # Safety
    /// The contract of `attention`.
    unsafe fn prepare<S: Simd>(_set: &RowSet<'_>, _room: Room) {}

    /// The span's rows (at most `R`) with its block of keys.
    ///
    /// # Safety
    /// The contract of `attention`; the set is prepared.
    unsafe fn block<S: Simd, const R: usize, const V: usize>(
        set: &RowSet<'_>,
        span: Span,
        states: *mut f32,
        room: Room,
    );
}

/// Rows of a set, and the block of 64 keys that they meet.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub first: usize,
    pub rows: usize,
    pub key: usize,
    /// Keys from here on do not exist.
    pub end: usize,
}

/// Attention of all rows to the keys of one split, from nothing.
#[inline(always)]
pub(super) unsafe fn one_split<S: Simd, K: Kind>(
    set: &RowSet<'_>,
    split: usize,
    states: *mut f32,
    room: Room,
) {
    let call = &set.call;
    let len = state_len(call.head_dim);
    let last = set.position(set.rows - 1);
    let from = (split * SPLIT).max(call.first_key(set.position(0)) / KEY_BLOCK * KEY_BLOCK);
    let to = ((split + 1) * SPLIT).min(last + 1);
    // SAFETY: `states` has room for the rows rounded up to whole register tiles.
    unsafe {
        for row in 0..set.rows {
            let state = states.add(row * len);
            *state = MASKED;
            *state.add(1) = 0.0;
            let mut d = LANES;
            while d < len {
                S::store(state.add(d), S::splat(0.0));
                d += LANES;
            }
        }
        let mut key = from;
        while key < to {
            let mut row = 0;
            while row < set.rows {
                let span = Span {
                    first: row,
                    rows: set.rows - row,
                    key,
                    end: to,
                };
                row += rows::<S, K>(set, span, states, room);
            }
            key += KEY_BLOCK;
        }
    }
}

/// The next of the span's rows, as many as a register tile takes. Returns how many.
#[inline(always)]
unsafe fn rows<S: Simd, K: Kind>(
    set: &RowSet<'_>,
    span: Span,
    states: *mut f32,
    room: Room,
) -> usize {
    macro_rules! tile {
        ($rows:literal, $vectors:literal) => {{
            let span = Span {
                rows: span.rows.min($rows),
                ..span
            };
            let kind = PhantomData;
            // SAFETY: the contract of `attention`; no tile takes more than the span's rows.
            unsafe {
                S::call(Tile::<K, $rows, $vectors> {
                    set,
                    span,
                    states,
                    room,
                    kind,
                });
            }
            span.rows
        }};
    }
    if S::MANY_REGISTERS {
        match span.rows {
            1 => tile!(1, 4),
            2 => tile!(2, 4),
            _ => tile!(4, 4),
        }
    } else {
        match span.rows {
            1 => tile!(1, 4),
            2 => tile!(2, 2),
            3 => tile!(3, 1),
            4 => tile!(4, 1),
            _ => tile!(6, 1),
        }
    }
}

/// At most R rows, and one block of keys.
struct Tile<'a, K, const R: usize, const V: usize> {
    set: &'a RowSet<'a>,
    span: Span,
    states: *mut f32,
    room: Room,
    kind: PhantomData<K>,
}

impl<K: Kind, const R: usize, const V: usize> Kernel for Tile<'_, K, R, V> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `attention`.
        unsafe { K::block::<S, R, V>(self.set, self.span, self.states, self.room) }
    }
}

/// Turns the rows' scores into weights, in `room`, and moves their maxima and sums on. Returns what the rows' weighted values shrink by.
///
/// One row's maximum, exponentials and sum each wait for the last, so each is done for all rows before the next.
#[inline(always)]
unsafe fn weigh<S: Simd, const R: usize>(
    set: &RowSet<'_>,
    span: Span,
    mut scores: [[S::F; VECTORS]; R],
    states: *mut f32,
    room: Room,
) -> [S::F; R] {
    let call = &set.call;
    let len = state_len(call.head_dim);
    // SAFETY: the contract of `attention`.
    unsafe {
        let mut tops = [S::splat(MASKED); R];
        for r in 0..span.rows {
            let position = set.position(span.first + r);
            let from = call.first_key(position).saturating_sub(span.key);
            let to = (position + 1).saturating_sub(span.key);
            if from > 0 || to < KEY_BLOCK {
                for (i, v) in scores[r].iter_mut().enumerate() {
                    let at = i * LANES;
                    *v = S::keep(
                        *v,
                        S::splat(MASKED),
                        from.saturating_sub(at).min(LANES),
                        to.saturating_sub(at).min(LANES),
                    );
                }
            }
            for v in scores[r] {
                tops[r] = S::max(tops[r], v);
            }
        }
        // Both, a lane for each row.
        let (mut old, mut new) = ([MASKED; LANES], [MASKED; LANES]);
        for r in 0..span.rows {
            let state = states.add((span.first + r) * len);
            old[r] = *state;
            new[r] = S::largest(tops[r]).max(old[r]);
            *state = new[r];
        }
        let mut sums = [S::splat(0.0); R];
        for r in 0..span.rows {
            let top = S::splat(new[r]);
            for (i, v) in scores[r].into_iter().enumerate() {
                let p = math::exp::<S>(S::sub(v, top));
                S::store(room.weights.add(r * KEY_BLOCK + i * LANES), p);
                sums[r] = S::add(sums[r], p);
            }
        }
        let moved = S::sub(S::load(old.as_ptr()), S::load(new.as_ptr()));
        let mut ratios = [0.0; LANES];
        S::store(ratios.as_mut_ptr(), math::exp::<S>(moved));
        let mut shrink = [S::splat(0.0); R];
        for r in 0..span.rows {
            shrink[r] = S::splat(ratios[r]);
            let sum = states.add((span.first + r) * len + 1);
            *sum = (*sum).mul_add(ratios[r], S::sum(sums[r]));
        }
        shrink
    }
}

/// Merges a later split's state into the running one.
#[inline(always)]
pub(super) unsafe fn merge<S: Simd>(running: *mut f32, part: *const f32, head_dim: usize) {
    // SAFETY: both are whole states.
    unsafe {
        let new = (*running).max(*part);
        let (a, b) = (
            math::exp::<S>(S::splat(*running - new)),
            math::exp::<S>(S::splat(*part - new)),
        );
        let mut lanes = [0.0f32; LANES];
        S::store(lanes.as_mut_ptr(), a);
        let old = lanes[0];
        S::store(lanes.as_mut_ptr(), b);
        *running.add(1) = (*running.add(1)).mul_add(old, *part.add(1) * lanes[0]);
        *running = new;
        let mut d = LANES;
        while d < state_len(head_dim) {
            let sum = S::fma(S::load(running.add(d)), a, S::mul(S::load(part.add(d)), b));
            S::store(running.add(d), sum);
            d += LANES;
        }
    }
}

/// Divides by the sum, applies the gate, writes the head, and rounds it where that is wanted.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd>(set: &RowSet<'_>, row: usize, state: *const f32) {
    let call = &set.call;
    let token = set.token(row);
    let column = set.column(row);
    // SAFETY: the output has the row and the columns; a partial last vector keeps what follows it.
    unsafe {
        let sum = S::splat(*state.add(1));
        let out = call.out.row(token).add(column);
        let mut d = 0;
        while d < call.head_dim {
            let mut y = S::div(S::load(state.add(LANES + d)), sum);
            if let Some(gate) = call.gate {
                y = S::mul(
                    y,
                    math::sigmoid::<S>(S::load(gate.row(token).add(column + d))),
                );
            }
            // What follows the head is another's, maybe another thread's.
            store_first::<S>(out.add(d), y, call.head_dim - d);
            d += LANES;
        }
        if let Some(to) = call.quantised {
            let (x, to) = (call.out.row(token), to.row(token));
            quantize::cpu::row::<S>(x, to, column, column + call.head_dim);
        }
    }
}
