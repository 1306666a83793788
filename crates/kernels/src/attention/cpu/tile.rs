//! Register tiles: R query rows by V vectors of keys for scores, R rows by V vectors of dimensions for values; and the states
//! they leave. With 32 registers a tile is 4 rows by 4 vectors; with 16 of half the width it is 6 rows by 1. The tile's shape
//! decides which sums share a loaded vector, never the order of a sum.
//!
//! A row's state is its maximum, its sum (in the first vector) and its weighted values.

use super::{MASKED, ROWS, RowSet, SPLIT, VECTORS, state_len};
use crate::{
    attention::cache::KEY_BLOCK,
    profile::SCALED,
    simd::{LANES, Simd, math, store_first},
};

/// Attention of all rows to the keys of one split, from nothing.
#[inline(always)]
pub(super) unsafe fn one_split<S: Simd, C: Stored>(
    set: &RowSet<'_>,
    split: usize,
    states: *mut f32,
    weights: *mut f32,
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
                let left = set.rows - row;
                let rows = rows::<S, C>(set, row, left, key, to, states, weights);
                row += rows;
            }
            key += KEY_BLOCK;
        }
    }
}

/// How the cache's numbers are read, apart from their scales.
pub(super) trait Stored {
    const BYTES: usize;
    /// Whether there is a scale for every [`SCALED`] dimensions.
    const IS_SCALED: bool = false;
    /// Whether to ask for the next block while one is read: line by line, since processors drop what is asked for in bursts.
    const EARLY: bool = false;
    /// Vectors that share a cache line.
    const VECTORS_OF_LINE: usize = 64 / (LANES * Self::BYTES);
    unsafe fn load<S: Simd>(p: *const u8) -> S::F;
}

pub(super) struct Half;
pub(super) struct Byte;
pub(super) struct Single;

/// For one token, whose few rows leave the memory to wait for.
pub(super) struct Early<C>(std::marker::PhantomData<C>);

impl<C: Stored> Stored for Early<C> {
    const BYTES: usize = C::BYTES;
    const IS_SCALED: bool = C::IS_SCALED;
    const EARLY: bool = true;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: the same contract.
        unsafe { C::load::<S>(p) }
    }
}

impl Stored for Byte {
    const BYTES: usize = 1;
    const IS_SCALED: bool = true;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: 16 numbers at `p`.
        unsafe { S::load_i8(p.cast()) }
    }
}

impl Stored for Half {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: 16 numbers at `p`.
        unsafe { S::load_f16(p.cast()) }
    }
}

impl Stored for Single {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: 16 numbers at `p`.
        unsafe { S::load(p.cast()) }
    }
}

/// The next rows, as many as a register tile takes, with one block of 64 keys. Returns how many.
#[inline(always)]
unsafe fn rows<S: Simd, C: Stored>(
    set: &RowSet<'_>,
    first: usize,
    left: usize,
    key: usize,
    end: usize,
    states: *mut f32,
    weights: *mut f32,
) -> usize {
    // SAFETY: the contract of `attention`; no tile takes more than `left` rows.
    unsafe {
        if left == 1 {
            return block::<S, C, 1, 4>(set, first, 1, key, end, states, weights);
        }
        if S::MANY_REGISTERS {
            match left {
                2 => block::<S, C, 2, 4>(set, first, 2, key, end, states, weights),
                _ => block::<S, C, 4, 4>(set, first, left.min(4), key, end, states, weights),
            }
        } else {
            match left {
                2 => block::<S, C, 2, 2>(set, first, 2, key, end, states, weights),
                3 | 4 => block::<S, C, 4, 1>(set, first, left, key, end, states, weights),
                _ => block::<S, C, 6, 1>(set, first, left.min(6), key, end, states, weights),
            }
        }
    }
}

/// `rows` rows (at most `R`), one block of 64 keys from `key`; keys from `end` on do not exist. Returns `rows`.
#[inline(always)]
unsafe fn block<S: Simd, C: Stored, const R: usize, const V: usize>(
    set: &RowSet<'_>,
    first: usize,
    rows: usize,
    key: usize,
    end: usize,
    states: *mut f32,
    weights: *mut f32,
) -> usize {
    let call = &set.call;
    let len = state_len(call.head_dim);
    // SAFETY: the contract of `attention`: blocks of keys and values are within the cache's capacity.
    unsafe {
        let mut scores = [[S::splat(0.0); VECTORS]; R];
        for i in (0..VECTORS).step_by(V) {
            let part = self::scores::<S, C, R, V>(set, first, rows, key + i * LANES);
            for (all, part) in scores.iter_mut().zip(part) {
                all[i..i + V].copy_from_slice(&part);
            }
        }
        let mut shrink = [S::splat(0.0); R];
        for r in 0..rows {
            let state = states.add((first + r) * len);
            let position = set.position(first + r);
            let from = call.first_key(position).saturating_sub(key);
            let to = (position + 1).saturating_sub(key);
            let mut s = scores[r];
            let mut top = S::splat(MASKED);
            let all_seen = from == 0 && to >= KEY_BLOCK;
            for (i, v) in s.iter_mut().enumerate() {
                let at = i * LANES;
                if !all_seen {
                    *v = S::keep(
                        *v,
                        S::splat(MASKED),
                        from.saturating_sub(at).min(LANES),
                        to.saturating_sub(at).min(LANES),
                    );
                }
                top = S::max(top, *v);
            }
            let old = *state;
            let new = S::largest(top).max(old);
            let m = S::splat(new);
            let mut sum = S::splat(0.0);
            for (i, v) in s.iter().enumerate() {
                let p = math::exp::<S>(S::sub(*v, m));
                S::store(weights.add(r * KEY_BLOCK + i * LANES), p);
                sum = S::add(sum, p);
            }
            let ratio = math::exp::<S>(S::splat(old - new));
            shrink[r] = ratio;
            *state = new;
            let mut lane = [0.0f32; LANES];
            S::store(lane.as_mut_ptr(), ratio);
            *state.add(1) = (*state.add(1)).mul_add(lane[0], S::sum(sum));
        }
        let keys = KEY_BLOCK.min(end - key);
        let mut d = 0;
        if C::IS_SCALED {
            // No more dimensions at once than share a scale.
            while d < call.head_dim {
                let weights = scaled_weights::<S>(set, rows, key, d, weights);
                if V >= 2 {
                    values::<S, C, R, 2>(set, first, rows, key, keys, d, &shrink, states, weights);
                    d += LANES * 2;
                } else {
                    values::<S, C, R, 1>(set, first, rows, key, keys, d, &shrink, states, weights);
                    d += LANES;
                }
            }
        }
        while d < call.head_dim {
            values::<S, C, R, V>(set, first, rows, key, keys, d, &shrink, states, weights);
            d += LANES * V;
        }
    }
    rows
}

/// The rows' weights times the scales of dimension `d` of the values, behind the weights themselves: written where a block of
/// dimensions begins.
#[inline(always)]
unsafe fn scaled_weights<S: Simd>(
    set: &RowSet<'_>,
    rows: usize,
    key: usize,
    d: usize,
    weights: *mut f32,
) -> *const f32 {
    let cache = set.call.cache;
    // SAFETY: as `block`; the scratch has room for the weights twice, scales lie behind their block's codes.
    unsafe {
        let scaled = weights.add(ROWS * KEY_BLOCK);
        if d.is_multiple_of(SCALED) {
            for i in 0..VECTORS {
                let block = cache.value_block(set.kv_head, key / LANES + i);
                let scales = block.add(cache.codes_bytes() + d / SCALED * 2 * LANES);
                let scale = S::load_f16(scales.cast());
                for r in 0..rows {
                    let at = r * KEY_BLOCK + i * LANES;
                    S::store(scaled.add(at), S::mul(S::load(weights.add(at)), scale));
                }
            }
        }
        scaled
    }
}

/// q . k for R rows by V vectors of keys: a chain over the dimensions in order.
#[inline(always)]
unsafe fn scores<S: Simd, C: Stored, const R: usize, const V: usize>(
    set: &RowSet<'_>,
    first: usize,
    rows: usize,
    key: usize,
) -> [[S::F; V]; R] {
    let call = &set.call;
    // SAFETY: as `block`; rows beyond `rows` repeat the last one.
    unsafe {
        let mut acc = [[S::splat(0.0); V]; R];
        let mut q = [set.query(first); R];
        for (r, q) in q.iter_mut().enumerate() {
            *q = set.query(first + r.min(rows - 1));
        }
        let base = call.cache.key_block(set.kv_head, key / LANES).cast_const();
        let stride = LANES * call.cache.kind().head_bytes(call.head_dim);
        let ahead = call.cache.run_bytes();
        let mut scales = [S::splat(0.0); V];
        // A macro, since closures are not always inlined.
        macro_rules! step {
            ($d:expr) => {{
                let d = $d;
                let at = base.add(d * LANES * C::BYTES);
                if C::IS_SCALED && d.is_multiple_of(SCALED) {
                    let at = base.add(call.cache.codes_bytes() + d / SCALED * 2 * LANES);
                    for (i, scale) in scales.iter_mut().enumerate() {
                        *scale = S::load_f16(at.add(i * stride).cast());
                    }
                }
                let mut k = [S::splat(0.0); V];
                for (i, k) in k.iter_mut().enumerate() {
                    *k = C::load::<S>(at.add(i * stride));
                    if C::IS_SCALED {
                        *k = S::mul(*k, scales[i]);
                    }
                }
                for r in 0..R {
                    let x = S::splat(*q[r].add(d));
                    for i in 0..V {
                        acc[r][i] = S::fma(x, k[i], acc[r][i]);
                    }
                }
            }};
        }
        let mut d = 0;
        if C::EARLY {
            while d + C::VECTORS_OF_LINE <= call.head_dim {
                for i in 0..V {
                    S::prefetch(base.wrapping_add(d * LANES * C::BYTES + i * stride + ahead));
                }
                for _ in 0..C::VECTORS_OF_LINE {
                    step!(d);
                    d += 1;
                }
            }
        }
        while d < call.head_dim {
            step!(d);
            d += 1;
        }
        acc
    }
}

/// Adds the weighted values of `keys` keys to V vectors of dimensions from `d` of R rows.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "one register tile of the innermost loop; a struct would only rename them"
)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several register tiles at once"
)]
unsafe fn values<S: Simd, C: Stored, const R: usize, const V: usize>(
    set: &RowSet<'_>,
    first: usize,
    rows: usize,
    key: usize,
    keys: usize,
    d: usize,
    shrink: &[S::F; R],
    states: *mut f32,
    weights: *const f32,
) {
    let call = &set.call;
    let len = state_len(call.head_dim);
    // SAFETY: states are padded to 64 dimensions, values to whole vectors.
    unsafe {
        let wide = (call.head_dim - d).div_ceil(LANES).min(V);
        let mut acc = [[S::splat(0.0); V]; R];
        for r in 0..rows {
            for i in 0..V {
                acc[r][i] = S::mul(
                    S::load(states.add((first + r) * len + LANES + d + i * LANES)),
                    shrink[r],
                );
            }
        }
        // Bytes of 16 dimensions of a value, and of the block's 16 values.
        let vector = LANES * C::BYTES;
        let ahead = call.cache.run_bytes();
        for from in (0..keys).step_by(LANES) {
            let block = call
                .cache
                .value_block(set.kv_head, (key + from) / LANES)
                .cast_const();
            let mut at = block.add(d * vector);
            let mut p = weights.add(from);
            let mut left = LANES.min(keys - from);
            // A macro, since closures are not always inlined.
            macro_rules! step {
                () => {{
                    let mut v = [S::splat(0.0); V];
                    for (i, v) in v.iter_mut().enumerate() {
                        // A constant count is unrolled.
                        if V == 1 || wide == V || i < wide {
                            *v = C::load::<S>(at.add(i * LANES * vector));
                        }
                    }
                    for r in 0..R {
                        let p = S::splat(*p.add(r * KEY_BLOCK));
                        for i in 0..V {
                            acc[r][i] = S::fma(p, v[i], acc[r][i]);
                        }
                    }
                    at = at.add(vector);
                    p = p.add(1);
                }};
            }
            if C::EARLY {
                while left >= C::VECTORS_OF_LINE {
                    for i in 0..V {
                        S::prefetch(at.wrapping_add(i * LANES * vector + ahead));
                    }
                    for _ in 0..C::VECTORS_OF_LINE {
                        step!();
                    }
                    left -= C::VECTORS_OF_LINE;
                }
            }
            while left > 0 {
                step!();
                left -= 1;
            }
        }
        for r in 0..rows {
            for i in 0..V {
                S::store(
                    states.add((first + r) * len + LANES + d + i * LANES),
                    acc[r][i],
                );
            }
        }
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

/// Divides by the sum, applies the gate, writes the head.
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
    }
}
