//! What both passes do within a chunk besides products: triangular systems, and rows by channel.

use super::{CHUNK, Rows};
use crate::{
    simd::{LANES, Simd},
    training::product::{Exact, pack, tile_onto},
};

/// Rows that are solved at once: the same everywhere, since the order of a chain depends on it.
const SOLVED: usize = 4;

/// `A^-1 rows` in place, with A's strictly lower part negated.
///
/// # Safety
/// `minus_a` is a square; there are `CHUNK` rows of `columns`, a multiple of 16; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn solve<S: Simd>(minus_a: *const f32, rows: Rows, columns: usize) {
    let mut column = 0;
    // SAFETY: the caller's contract.
    unsafe {
        while S::MANY_REGISTERS && column + 2 * LANES <= columns {
            solve_columns::<S, 2>(minus_a, rows, column);
            column += 2 * LANES;
        }
        while column < columns {
            solve_columns::<S, 1>(minus_a, rows, column);
            column += LANES;
        }
    }
}

#[inline(always)]
unsafe fn solve_columns<S: Simd, const N: usize>(minus_a: *const f32, rows: Rows, column: usize) {
    for row in (0..CHUNK).step_by(SOLVED) {
        // SAFETY: the contract of `solve`.
        unsafe {
            let sums = load::<S, N>(rows.from(row), column);
            let left = (minus_a.add(row * CHUNK), 1, CHUNK);
            let right = (rows.at.add(column).cast_const(), rows.step);
            let mut sums = tile_onto::<S, SOLVED, N>(sums, row, left, right);
            for m in 1..SOLVED {
                for p in 0..m {
                    let a = S::splat(*minus_a.add((row + m) * CHUNK + row + p));
                    let solved = sums[p];
                    for (sum, solved) in sums[m].iter_mut().zip(solved) {
                        *sum = S::fma(a, solved, *sum);
                    }
                }
            }
            store::<S, N>(sums, rows.from(row), column);
        }
    }
}

/// `A^-T rows` in place, likewise.
///
/// # Safety
/// As [`solve`].
#[inline(always)]
pub(super) unsafe fn solve_transposed<S: Simd>(minus_a: *const f32, rows: Rows, columns: usize) {
    let mut column = 0;
    // SAFETY: the caller's contract.
    unsafe {
        while S::MANY_REGISTERS && column + 2 * LANES <= columns {
            solve_columns_transposed::<S, 2>(minus_a, rows, column);
            column += 2 * LANES;
        }
        while column < columns {
            solve_columns_transposed::<S, 1>(minus_a, rows, column);
            column += LANES;
        }
    }
}

#[inline(always)]
unsafe fn solve_columns_transposed<S: Simd, const N: usize>(
    minus_a: *const f32,
    rows: Rows,
    column: usize,
) {
    for row in (0..CHUNK).step_by(SOLVED).rev() {
        let next = row + SOLVED;
        // SAFETY: the contract of `solve`.
        unsafe {
            let sums = load::<S, N>(rows.from(row), column);
            let left = (minus_a.wrapping_add(next * CHUNK + row), CHUNK, 1);
            let right = (rows.row(next).wrapping_add(column).cast_const(), rows.step);
            let mut sums = tile_onto::<S, SOLVED, N>(sums, CHUNK - next, left, right);
            for m in (0..SOLVED).rev() {
                for p in m + 1..SOLVED {
                    let a = S::splat(*minus_a.add((row + p) * CHUNK + row + m));
                    let solved = sums[p];
                    for (sum, solved) in sums[m].iter_mut().zip(solved) {
                        *sum = S::fma(a, solved, *sum);
                    }
                }
            }
            store::<S, N>(sums, rows.from(row), column);
        }
    }
}

#[inline(always)]
unsafe fn load<S: Simd, const N: usize>(rows: Rows, column: usize) -> [[S::F; N]; SOLVED] {
    // SAFETY: the contract of `solve`.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; SOLVED];
        for (m, sums) in sums.iter_mut().enumerate() {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(rows.row(m).add(column + n * LANES));
            }
        }
        sums
    }
}

#[inline(always)]
unsafe fn store<S: Simd, const N: usize>(sums: [[S::F; N]; SOLVED], rows: Rows, column: usize) {
    // SAFETY: the contract of `solve`.
    unsafe {
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                S::store(rows.row(m).add(column + n * LANES), sum);
            }
        }
    }
}

/// A chunk's rows by channel, zeros where there is no token. Up to 15 values behind `to` are overwritten.
///
/// # Safety
/// There are `count` rows of `channels`; there is room; the features of `S` are there.
#[inline(always)]
pub(super) unsafe fn by_channel<S: Simd>(rows: Rows, count: usize, channels: usize, to: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { pack::<S, Exact>(rows.source(count, channels), 0, CHUNK, (0, channels), to) };
}
