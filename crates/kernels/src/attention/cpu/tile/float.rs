//! Numbers of the cache as f32: binary16, bytes with scales, or f32 itself.

use std::marker::PhantomData;

use super::{Kind, Room, Span, weigh};
use crate::{
    attention::{
        cache::KEY_BLOCK,
        cpu::{ROWS, RowSet, VECTORS, state_len},
    },
    profile::SCALED,
    simd::{LANES, Simd},
};

/// How the cache's numbers are read, apart from their scales.
pub(in crate::attention::cpu) trait Stored {
    const BYTES: usize;
    /// Whether there is a scale for every [`SCALED`] dimensions.
    const IS_SCALED: bool = false;
    /// Whether to ask for the next block while one is read: line by line, since processors drop what is asked for in bursts.
    const EARLY: bool = false;
    /// Vectors that share a cache line.
    const VECTORS_OF_LINE: usize = 64 / (LANES * Self::BYTES);
    unsafe fn load<S: Simd>(p: *const u8) -> S::F;
}

pub(in crate::attention::cpu) struct Half;
pub(in crate::attention::cpu) struct Byte;
pub(in crate::attention::cpu) struct Single;

/// For one token, whose few rows leave the memory to wait for.
pub(in crate::attention::cpu) struct Early<C>(PhantomData<C>);

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

/// Products of f32, one dimension of 16 keys, or 16 dimensions of one value, at a time.
pub(in crate::attention::cpu) struct Floats<C>(PhantomData<C>);

impl<C: Stored> Kind for Floats<C> {
    #[inline(always)]
    unsafe fn block<S: Simd, const R: usize, const V: usize>(
        set: &RowSet<'_>,
        span: Span,
        states: *mut f32,
        room: Room,
    ) {
        let Span {
            first,
            rows,
            key,
            end,
        } = span;
        let head_dim = set.call.head_dim;
        // SAFETY: the contract of `attention`: blocks of keys and values are within the cache's capacity.
        unsafe {
            let mut scores = [[S::splat(0.0); VECTORS]; R];
            for i in (0..VECTORS).step_by(V) {
                let part = self::scores::<S, C, R, V>(set, first, rows, key + i * LANES);
                for (all, part) in scores.iter_mut().zip(part) {
                    all[i..i + V].copy_from_slice(&part);
                }
            }
            let shrink = weigh::<S, R>(set, span, scores, states, room);
            let keys = KEY_BLOCK.min(end - key);
            let mut d = 0;
            if C::IS_SCALED {
                // No more dimensions at once than share a scale.
                while d < head_dim {
                    let weights = scaled_weights::<S>(set, rows, key, d, room.weights);
                    if V >= 2 {
                        values::<S, C, R, 2>(
                            set, first, rows, key, keys, d, &shrink, states, weights,
                        );
                        d += LANES * 2;
                    } else {
                        values::<S, C, R, 1>(
                            set, first, rows, key, keys, d, &shrink, states, weights,
                        );
                        d += LANES;
                    }
                }
            }
            while d < head_dim {
                values::<S, C, R, V>(
                    set,
                    first,
                    rows,
                    key,
                    keys,
                    d,
                    &shrink,
                    states,
                    room.weights,
                );
                d += LANES * V;
            }
        }
    }
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
