//! The inner part of all matrix products: a tile of sums in registers, and operands laid out for it.
//!
//! A tile has `M` rows and `N` vectors of 16 columns. At each step `k` it multiplies `M` numbers of the left operand, each spread over a
//! vector, with `N` vectors of the right one: `2 M N` floating-point operations a lane for `M + N` loads. Every sum is one chain of fused
//! multiply-adds in the order of `k`, whatever the tile's size, so that sizes and instruction sets change no bit.
//!
//! *Left panels* hold `M` rows as `[k][M]`, *right panels* 16 `N` columns as `[k][16 N]`; what a matrix has not is zero there.

use crate::simd::{LANES, Simd};

/// Steps ahead that the right operand is asked for: it comes from the L2 cache.
const AHEAD: usize = 16;

/// Sums of `M` rows and `N` vectors over `depth` steps. The left number of row `m` at step `k` lies at `left + k * left_step + m * ACROSS`, the
/// right vector `n` at `right + k * right_step + 16 n`.
///
/// # Safety
/// Those addresses hold values; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const M: usize, const N: usize, const ACROSS: usize>(
    depth: usize,
    left: *const f32,
    left_step: usize,
    right: *const f32,
    right_step: usize,
) -> [[S::F; N]; M] {
    // SAFETY: the caller's contract.
    unsafe {
        let sums = [[S::splat(0.0); N]; M];
        tile_onto::<S, M, N>(sums, depth, (left, left_step, ACROSS), (right, right_step))
    }
}

/// As [`tile`], going on from `sums`: a chain over several calls does not depend on where it is cut. Rows of the left operand lie `across`
/// apart, which is the third of its numbers.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(super) unsafe fn tile_onto<S: Simd, const M: usize, const N: usize>(
    mut sums: [[S::F; N]; M],
    depth: usize,
    (mut left, left_step, across): (*const f32, usize, usize),
    (mut right, right_step): (*const f32, usize),
) -> [[S::F; N]; M] {
    // SAFETY: the caller's contract.
    unsafe {
        for _ in 0..depth {
            let mut vectors = [S::splat(0.0); N];
            for (n, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(right.add(n * LANES));
                S::prefetch(right.wrapping_add(AHEAD * right_step + n * LANES).cast());
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let x = S::splat(*left.add(m * across));
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = S::fma(x, vector, *sum);
                }
            }
            left = left.wrapping_add(left_step);
            right = right.wrapping_add(right_step);
        }
        sums
    }
}

/// A matrix where it lies: element (i, j) at `i * row_step + j * column_step`.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub at: *const f32,
    pub rows: usize,
    pub columns: usize,
    pub row_step: usize,
    pub column_step: usize,
}

// SAFETY: an address that threads read from only.
unsafe impl Send for Source {}
// SAFETY: as above.
unsafe impl Sync for Source {}

impl Source {
    pub(super) const fn transposed(self) -> Self {
        Self {
            at: self.at,
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
        }
    }
}

/// Packs rows `first..first + wide` (those that exist) and columns `from..to` of `source` as `[column][wide]`: a left panel of it, or a
/// right panel of its transpose. `change` is applied to every value. Up to 15 values behind the panel are overwritten.
///
/// # Safety
/// `to_panel` has room for `(to - from) * wide + 15` values; one of the steps is 1; columns exist; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd, R: Rounding>(
    source: Source,
    first: usize,
    wide: usize,
    (from, to): (usize, usize),
    panel: *mut f32,
) {
    let there = wide.min(source.rows - first);
    // SAFETY: rows below `first + there` and columns below `to` exist; what is stored beyond a row is written again or behind the panel.
    unsafe {
        let start = source
            .at
            .add(first * source.row_step + from * source.column_step);
        if source.row_step == 1 {
            let readable = wide.next_multiple_of(LANES) <= source.rows - first;
            let there = if readable {
                wide.next_multiple_of(LANES)
            } else {
                there
            };
            pack_along::<S, R>(start, source.column_step, there, wide, to - from, panel);
        } else {
            pack_across::<S, R>(start, source.row_step, there, wide, to - from, panel);
        }
    }
}

/// Neighbours in the panel are neighbours in memory. More of them than the panel is wide may be `there` to be read.
#[inline(always)]
unsafe fn pack_along<S: Simd, R: Rounding>(
    start: *const f32,
    step: usize,
    there: usize,
    wide: usize,
    count: usize,
    panel: *mut f32,
) {
    // SAFETY: the contract of `pack`: `there` values exist at each step.
    unsafe {
        let whole = there / LANES * LANES;
        // A loop that does nothing else: at narrow models packing is a good part of a product.
        if whole == LANES && wide <= LANES {
            for k in 0..count {
                let x = R::round::<S>(S::load(start.add(k * step)));
                S::store(panel.add(k * wide), x);
            }
            return;
        }
        for k in 0..count {
            let (from, to) = (start.add(k * step), panel.add(k * wide));
            for i in (0..whole).step_by(LANES) {
                S::store(to.add(i), R::round::<S>(S::load(from.add(i))));
            }
            if whole < wide {
                let mut rest = [0.0f32; LANES];
                rest.as_mut_ptr()
                    .copy_from_nonoverlapping(from.add(whole), there - whole);
                S::store(to.add(whole), R::round::<S>(S::load(rest.as_ptr())));
                for i in (whole + LANES..wide).step_by(LANES) {
                    S::store(to.add(i), S::splat(0.0));
                }
            }
        }
    }
}

/// Neighbours in the panel are rows apart in memory: squares of 16 are turned.
#[inline(always)]
unsafe fn pack_across<S: Simd, R: Rounding>(
    start: *const f32,
    step: usize,
    there: usize,
    wide: usize,
    count: usize,
    panel: *mut f32,
) {
    let whole = count / LANES * LANES;
    // SAFETY: the contract of `pack`: `count` values of each of `there` rows exist. Stores go up in both directions, so that what one of
    // them leaves beyond its row is overwritten by the next.
    unsafe {
        for k in (0..whole).step_by(LANES) {
            for i in (0..wide).step_by(LANES) {
                let mut square = [S::splat(0.0); LANES];
                if i + LANES <= there {
                    for (r, row) in square.iter_mut().enumerate() {
                        *row = R::round::<S>(S::load(start.add((i + r) * step + k)));
                    }
                } else {
                    for (r, row) in square.iter_mut().enumerate() {
                        if i + r < there {
                            *row = R::round::<S>(S::load(start.add((i + r) * step + k)));
                        }
                    }
                }
                for (c, column) in S::transpose(square).into_iter().enumerate() {
                    S::store(panel.add((k + c) * wide + i), column);
                }
            }
        }
        for k in whole..count {
            for i in 0..wide {
                let x = if i < there {
                    *start.add(i * step + k)
                } else {
                    0.0
                };
                *panel.add(k * wide + i) = R::round_one(x);
            }
        }
    }
}

/// What becomes of a number on its way into a panel.
pub(super) trait Rounding {
    /// Of a vector.
    ///
    /// # Safety
    /// The features of `S` are there.
    unsafe fn round<S: Simd>(x: S::F) -> S::F;
    /// Of one.
    fn round_one(x: f32) -> f32;
}

/// It stays.
pub(super) struct Exact;

impl Rounding for Exact {
    #[inline(always)]
    unsafe fn round<S: Simd>(x: S::F) -> S::F {
        x
    }
    #[inline(always)]
    fn round_one(x: f32) -> f32 {
        x
    }
}

/// It is rounded to the nearest bfloat16, ties to even, and kept as f32.
pub(super) struct Bf16;

impl Rounding for Bf16 {
    #[inline(always)]
    unsafe fn round<S: Simd>(x: S::F) -> S::F {
        // Veltkamp's splitting: the upper 8 of 24 bits. Numbers above 2^111 become infinite, and a run that has them stops.
        // SAFETY: lane arithmetic only.
        unsafe {
            let wide = S::mul(x, S::splat(65537.0));
            S::sub(wide, S::sub(wide, x))
        }
    }
    #[inline(always)]
    fn round_one(x: f32) -> f32 {
        let wide = x * 65537.0;
        wide - (wide - x)
    }
}
