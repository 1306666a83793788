//! What both passes do within a chunk: small products of operands in L1 or L2, triangular systems, transpositions.

use super::{CHUNK, Rows};
use crate::{
    simd::{Isa, Kernel, LANES, Simd, dispatch_floats},
    training::product::{Exact, pack, tile_onto},
};

/// The left operand of a product: row `m` at step `k` is at `at + k step + m across`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub at: *const f32,
    pub step: usize,
    pub across: usize,
}

impl Left {
    /// A matrix whose rows are the product's steps.
    pub(super) const fn by_step(rows: Rows) -> Self {
        Self {
            at: rows.at,
            step: rows.step,
            across: 1,
        }
    }

    /// A matrix whose rows are the product's rows.
    pub(super) const fn by_row(rows: Rows) -> Self {
        Self {
            at: rows.at,
            step: 1,
            across: rows.step,
        }
    }
}

/// What a product is added to: rows, each times a factor. Factors lie `step` apart (0: all have one).
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub rows: Rows,
    pub factors: *const f32,
    pub step: usize,
}

impl Start {
    pub(super) const fn at(rows: Rows) -> Self {
        Self {
            rows,
            factors: &1.0,
            step: 0,
        }
    }
}

/// Where a triangular operand or result of chunk by chunk is not zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everywhere.
    All,
    /// Row i needs steps up to i.
    StepsUpTo,
    /// Row i needs steps from i on.
    StepsFrom,
    /// Row i has columns up to i.
    ColumnsUpTo,
}

/// Rows, columns and steps of a product: rows and columns are multiples of 16.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub part: Part,
}

/// `out = start + left right`, in a function of its own for each instruction set: two dozen of them within one take minutes to compile.
///
/// # Safety
/// The operands have values for all rows, columns and steps; the processor has `isa`.
pub(super) unsafe fn product(
    isa: Isa,
    size: Size,
    left: Left,
    right: Rows,
    start: Option<Start>,
    out: Rows,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if left.across == 1 {
            dispatch_floats(isa, Product::<true>(size, left, right, start, out));
        } else {
            dispatch_floats(isa, Product::<false>(size, left, right, start, out));
        }
    }
}

/// The arguments of [`product`]; whether the left operand's rows are neighbours.
struct Product<const BY_STEP: bool>(Size, Left, Rows, Option<Start>, Rows);

impl<const BY_STEP: bool> Kernel for Product<BY_STEP> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self(size, mut left, right, start, out) = self;
        if BY_STEP {
            left.across = 1;
        }
        // SAFETY: the contract of `product`. Tiles have as many sums as there are registers for.
        unsafe {
            if S::MANY_REGISTERS {
                tiles::<S, 8, 2>(size, left, right, start, out);
            } else {
                tiles::<S, 4, 1>(size, left, right, start, out);
            }
        }
    }
}

#[inline(always)]
unsafe fn tiles<S: Simd, const M: usize, const N: usize>(
    size: Size,
    left: Left,
    right: Rows,
    start: Option<Start>,
    out: Rows,
) {
    for row in (0..size.rows).step_by(M) {
        let (from, to) = match size.part {
            Part::StepsUpTo => (0, size.depth.min(row + M)),
            Part::StepsFrom => (row.min(size.depth), size.depth),
            Part::All | Part::ColumnsUpTo => (0, size.depth),
        };
        let columns = match size.part {
            Part::ColumnsUpTo => (row + M).next_multiple_of(LANES),
            _ => size.columns,
        };
        let mut column = 0;
        // SAFETY: the contract of `product`.
        unsafe {
            while column + N * LANES <= columns {
                one::<S, M, N>((row, column), (from, to), left, right, start, out);
                column += N * LANES;
            }
            while N > 1 && column < columns {
                one::<S, M, 1>((row, column), (from, to), left, right, start, out);
                column += LANES;
            }
        }
    }
}

#[inline(always)]
unsafe fn one<S: Simd, const M: usize, const N: usize>(
    (row, column): (usize, usize),
    (from, to): (usize, usize),
    left: Left,
    right: Rows,
    start: Option<Start>,
    out: Rows,
) {
    // SAFETY: the contract of `product`.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; M];
        if let Some(start) = start {
            for (m, sums) in sums.iter_mut().enumerate() {
                let factor = S::splat(*start.factors.add((row + m) * start.step));
                for (n, sum) in sums.iter_mut().enumerate() {
                    let at = start.rows.row(row + m).add(column + n * LANES);
                    *sum = S::mul(S::load(at), factor);
                }
            }
        }
        let at = left.at.wrapping_add(from * left.step + row * left.across);
        let right_at = right.row(from).wrapping_add(column);
        let operands = (
            (at, left.step, left.across),
            (right_at.cast_const(), right.step),
        );
        let sums = tile_onto::<S, M, N>(sums, to - from, operands.0, operands.1);
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                S::store(out.row(row + m).add(column + n * LANES), sum);
            }
        }
    }
}

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

/// Asks for rows that are read a chunk later: they lie too far apart for the processor to guess.
///
/// # Safety
/// The features of `S` are there.
#[inline(always)]
pub(super) unsafe fn ask<S: Simd>(rows: Rows, columns: usize) {
    for row in 0..CHUNK {
        for column in (0..columns).step_by(LANES) {
            // SAFETY: asking for an address reads nothing.
            unsafe { S::prefetch(rows.row(row).wrapping_add(column).cast()) };
        }
    }
}
