//! Whole numbers of 16 bits with scales, multiplied as whole numbers: a vector multiplies twice as many of them as of f32, and
//! nothing is converted on the way.
//!
//! 1. A key k is round(k * 32767 / |k|), |k| its Euclidean norm, and a query likewise. Neither the product of two nor any part of it
//!    exceeds |k| |q| (Cauchy and Schwarz), so it fits an i32, and the scores' error is that of numbers of 15 bits beside |k|: about
//!    2^-16 |k| |q|, for heads of any width; binary16 leaves more.
//! 2. A value's largest number becomes 32767.
//! 3. A row's weights for 64 keys, times the scales of the values, become whole numbers of at most 32767 with a sum of at most 2^16, so their
//!    product with the values fits an i32 too. They share a scale for the 64 keys of the row only: a weight that is far larger, of
//!    a first token for example, hides nothing in other blocks.
//!
//! Sums of whole numbers have no order, so they are the same in any tile and on any instruction set.

use super::{Kind, Room, Span, weigh};
use crate::{
    attention::{
        cache::{KEY_BLOCK, WHOLE, inverse_of, norm},
        cpu::{ROWS, RowSet, VECTORS, state_len},
    },
    simd::{LANES, Simd, load_first},
};

/// What weights of a row sum to at most: with rounding below 2^16, so that 32767 of it fit an i32.
const WEIGHTS: f32 = 65_400.0;

/// f32 elements of a row's query: its scale, padding to a vector, then the numbers.
pub(in crate::attention::cpu) fn query_len(head_dim: usize) -> usize {
    LANES + head_dim.next_multiple_of(LANES) / 2
}

/// Keys and values as pairs of whole numbers. `EARLY`: asks for the next block while one is read.
pub(in crate::attention::cpu) struct Whole<const EARLY: bool>;

impl<const EARLY: bool> Kind for Whole<EARLY> {
    #[inline(always)]
    unsafe fn prepare<S: Simd>(set: &RowSet<'_>, room: Room) {
        let dims = set.call.head_dim;
        for row in 0..set.rows {
            // SAFETY: the room has a query for every row; rows of queries are padded to whole vectors.
            unsafe {
                let query = set.query(row);
                let to = room.queries.add(row * query_len(dims));
                let scale = norm::<S>(query, dims) / WHOLE;
                *to = scale;
                let inverse = S::splat(inverse_of(scale));
                let mut d = 0;
                while d < dims {
                    let x = load_first::<S>(query.add(d), dims - d);
                    S::store_as_i16(to.add(LANES).cast::<i16>().add(d), S::mul(x, inverse));
                    d += LANES;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd, const R: usize, const V: usize>(
        set: &RowSet<'_>,
        span: Span,
        states: *mut f32,
        room: Room,
    ) {
        // SAFETY: the contract of `attention`: blocks of keys and values are within the cache's capacity.
        unsafe {
            let mut scores = [[S::splat(0.0); VECTORS]; R];
            for i in (0..VECTORS).step_by(V) {
                let part = self::scores::<S, EARLY, R, V>(set, span, span.key + i * LANES, room);
                for (all, part) in scores.iter_mut().zip(part) {
                    all[i..i + V].copy_from_slice(&part);
                }
            }
            let shrink = weigh::<S, R>(set, span, scores, states, room);
            let scales = whole_weights::<S, EARLY, R>(set, span, room);
            let mut d = 0;
            while d < set.call.head_dim {
                values::<S, EARLY, R, V>(set, span, d, (&shrink, &scales), states, room);
                d += LANES * V;
            }
        }
    }
}

/// q . k for R rows by V vectors of keys.
#[inline(always)]
unsafe fn scores<S: Simd, const EARLY: bool, const R: usize, const V: usize>(
    set: &RowSet<'_>,
    span: Span,
    key: usize,
    room: Room,
) -> [[S::F; V]; R] {
    let call = &set.call;
    // SAFETY: as `block`; rows beyond the span's repeat the last one.
    unsafe {
        let mut acc = [[S::splat_i32(0); V]; R];
        let mut q = [room.queries.cast_const(); R];
        for (r, q) in q.iter_mut().enumerate() {
            *q = q.add((span.first + r.min(span.rows - 1)) * query_len(call.head_dim));
        }
        let base = call.cache.key_block(set.kv_head, key / LANES).cast_const();
        let stride = LANES * call.cache.kind().head_bytes(call.head_dim);
        let ahead = call.cache.run_bytes();
        for pair in 0..call.head_dim.div_ceil(2) {
            let at = base.add(pair * 4 * LANES);
            let mut k = [S::splat_i32(0); V];
            for (i, k) in k.iter_mut().enumerate() {
                if EARLY {
                    S::prefetch(at.wrapping_add(i * stride + ahead));
                }
                *k = S::load_i32(at.add(i * stride).cast());
            }
            for r in 0..R {
                let x = S::splat_i32(q[r].add(LANES + pair).cast::<i32>().read());
                for i in 0..V {
                    acc[r][i] = S::add_pairs(acc[r][i], x, k[i]);
                }
            }
        }
        let mut out = [[S::splat(0.0); V]; R];
        for i in 0..V {
            let at = base.add(call.cache.codes_bytes() + i * stride);
            if EARLY {
                S::prefetch(at.wrapping_add(ahead));
            }
            let scale = S::load(at.cast());
            for r in 0..R {
                let scale = S::mul(scale, S::splat(*q[r]));
                out[r][i] = S::mul(S::to_f32(acc[r][i]), scale);
            }
        }
        out
    }
}

/// The rows' weights times the values' scales as whole numbers, behind the weights; and what each row's count.
#[inline(always)]
unsafe fn whole_weights<S: Simd, const EARLY: bool, const R: usize>(
    set: &RowSet<'_>,
    span: Span,
    room: Room,
) -> [S::F; R] {
    let cache = set.call.cache;
    // SAFETY: as `block`; the room has the weights twice, scales lie behind their block's codes.
    unsafe {
        let mut scales = [S::splat(0.0); VECTORS];
        for (i, scale) in scales.iter_mut().enumerate() {
            let block = cache.value_block(set.kv_head, span.key / LANES + i);
            let at = block.add(cache.codes_bytes());
            if EARLY {
                S::prefetch(at.wrapping_add(cache.run_bytes()));
            }
            // What lies beyond the keys that exist may be no number.
            let exist = span.end.saturating_sub(span.key + i * LANES);
            *scale = load_first::<S>(at.cast(), exist);
        }
        // Each step for all rows, as in `weigh`.
        let mut scaled = [scales; R];
        let (mut sums, mut tops) = ([S::splat(0.0); R], [S::splat(0.0); R]);
        for r in 0..span.rows {
            for (i, x) in scaled[r].iter_mut().enumerate() {
                let weights = room.weights.add(r * KEY_BLOCK + i * LANES);
                *x = S::mul(*x, S::load(weights));
                sums[r] = S::add(sums[r], *x);
                tops[r] = S::max(tops[r], *x);
            }
        }
        let (mut sum, mut top) = ([0.0; LANES], [0.0; LANES]);
        for r in 0..span.rows {
            sum[r] = S::sum(sums[r]);
            top[r] = S::largest(tops[r]);
        }
        // A lane for each row. A sum that is no number must not be lost: `max` drops it.
        let sum = S::load(sum.as_ptr());
        let least = S::mul(sum, S::splat(1.0 / WEIGHTS));
        let count = S::max(S::mul(S::load(top.as_ptr()), S::splat(1.0 / WHOLE)), least);
        let inverse = S::div(S::splat(1.0), S::max(count, S::splat(f32::MIN_POSITIVE)));
        let (mut count_of, mut inverse_of) = ([0.0; LANES], [0.0; LANES]);
        S::store(count_of.as_mut_ptr(), S::fma(sum, S::splat(0.0), count));
        S::store(inverse_of.as_mut_ptr(), inverse);
        let mut counts = [S::splat(0.0); R];
        for r in 0..span.rows {
            let inverse = S::splat(inverse_of[r]);
            for (i, &x) in scaled[r].iter().enumerate() {
                let whole = whole_of(room).add(r * KEY_BLOCK + i * LANES);
                S::store_as_i16(whole, S::mul(x, inverse));
            }
            counts[r] = S::splat(count_of[r]);
        }
        counts
    }
}

/// Where the weights are whole numbers.
#[inline(always)]
unsafe fn whole_of(room: Room) -> *mut i16 {
    // SAFETY: the room has the weights twice.
    unsafe { room.weights.add(ROWS * KEY_BLOCK).cast() }
}

/// Adds the weighted values of a block to V vectors of dimensions from `d` of R rows, which shrink before that; `counts` is what
/// their weights count.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several register tiles at once"
)]
unsafe fn values<S: Simd, const EARLY: bool, const R: usize, const V: usize>(
    set: &RowSet<'_>,
    span: Span,
    d: usize,
    (shrink, counts): (&[S::F; R], &[S::F; R]),
    states: *mut f32,
    room: Room,
) {
    /// Pairs of positions in a block of values, bytes of 16 dimensions of one, and of all.
    const PAIRS: usize = LANES / 2;
    const PAIR: usize = 4 * LANES;
    const VECTOR: usize = PAIRS * PAIR;
    let call = &set.call;
    let len = state_len(call.head_dim);
    // SAFETY: states are padded to 64 dimensions, values to whole vectors.
    unsafe {
        let wide = (call.head_dim - d).div_ceil(LANES).min(V);
        let ahead = call.cache.run_bytes();
        let mut acc = [[S::splat_i32(0); V]; R];
        let keys = KEY_BLOCK.min(span.end - span.key);
        // The second position of the last pair may not exist: its weight is 0.
        let mut left = keys.div_ceil(2);
        let mut weights = whole_of(room).cast::<i32>().cast_const();
        let mut block = span.key / LANES;
        while left > 0 {
            let mut at = call
                .cache
                .value_block(set.kv_head, block)
                .cast_const()
                .add(d / LANES * VECTOR);
            for _ in 0..left.min(PAIRS) {
                let mut v = [S::splat_i32(0); V];
                for (i, v) in v.iter_mut().enumerate() {
                    // A constant count is unrolled.
                    if V == 1 || wide == V || i < wide {
                        if EARLY {
                            S::prefetch(at.wrapping_add(i * VECTOR + ahead));
                        }
                        *v = S::load_i32(at.add(i * VECTOR).cast());
                    }
                }
                for r in 0..R {
                    let p = S::splat_i32(weights.add(r * KEY_BLOCK / 2).read());
                    for i in 0..V {
                        acc[r][i] = S::add_pairs(acc[r][i], p, v[i]);
                    }
                }
                at = at.add(PAIR);
                weights = weights.add(1);
            }
            left -= left.min(PAIRS);
            block += 1;
        }
        for r in 0..span.rows {
            for i in 0..V {
                let state = states.add((span.first + r) * len + LANES + d + i * LANES);
                let sum = S::mul(S::load(state), shrink[r]);
                S::store(state, S::fma(S::to_f32(acc[r][i]), counts[r], sum));
            }
        }
    }
}
