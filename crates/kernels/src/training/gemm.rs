//! Dense products of f32 matrices, `C = A B` or `C += A B`, either operand transposed where it lies.
//!
//! As in Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008, with three levels:
//!
//! 1. columns of A (rows of B) in even blocks of at most [`DEPTH`]; all threads pack their share of A's rows into left panels;
//! 2. columns of B in blocks of about [`RIGHT`] numbers, packed into right panels that stay in the L2 cache of each core;
//! 3. threads take left panels, which stay in L1, and multiply each with all right panels.
//!
//! An element of C is one chain over a block's columns, and the blocks' sums added in order: shapes alone decide the bits.

use std::{marker::PhantomData, ops::Range};

use super::{
    Into, Machine,
    product::{Bf16, Exact, Rounding, Source, pack, tile},
};
use crate::{
    pool::Team,
    simd::{Isa, Kernel, LANES, Simd, dispatch_floats},
};

/// Columns of A at a time, at most.
const DEPTH: usize = 384;
/// Numbers of B that are packed at a time: half of an L2 cache of 1 MiB.
const RIGHT: usize = 128 << 10;
/// Numbers of A that are packed at a time.
const LEFT: usize = 1 << 20;
/// Columns of a right panel, at most.
const WIDEST: usize = 2 * LANES;
/// Room for both, with what packing may write behind a panel.
pub(super) const SCRATCH: usize = LEFT + RIGHT + (LEFT + RIGHT) / 8 + DEPTH * 64;

/// How operands are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    F32,
    /// Rounded to bfloat16; sums are f32.
    Bf16,
}

/// A matrix to be read, in rows or transposed.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From one row to the next.
    step: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `rows` of `columns` each, one behind the other.
    ///
    /// # Panics
    /// When there are not as many values.
    #[must_use]
    pub fn of(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "a matrix of {rows} x {columns}"
        );
        Self {
            values,
            rows,
            columns,
            step: columns,
            transposed: false,
        }
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub const fn transposed(self) -> Self {
        Self {
            transposed: !self.transposed,
            rows: self.columns,
            columns: self.rows,
            ..self
        }
    }

    fn source(self) -> Source {
        let (row_step, column_step) = if self.transposed {
            (1, self.step)
        } else {
            (self.step, 1)
        };
        Source {
            at: self.values.as_ptr(),
            rows: self.rows,
            columns: self.columns,
            row_step,
            column_step,
        }
    }
}

/// A matrix to be written: `rows` of `columns`, one behind the other.
pub struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
}

impl<'a> MatrixMut<'a> {
    /// `rows` of `columns` each, one behind the other.
    ///
    /// # Panics
    /// When there are not as many values.
    #[must_use]
    pub fn of(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "a matrix of {rows} x {columns}"
        );
        Self {
            values,
            rows,
            columns,
        }
    }
}

/// `out = a b`, or `out += a b`.
///
/// # Shape
/// `a` (m, k); `b` (k, n); `out` (m, n).
///
/// # Panics
/// When the shapes do not fit each other.
pub fn gemm(
    machine: &Machine,
    precision: Precision,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Into,
    out: MatrixMut<'_>,
) {
    assert_eq!(a.columns, b.rows, "columns of a and rows of b");
    assert_eq!(
        (a.rows, b.columns),
        (out.rows, out.columns),
        "shape of the product"
    );
    if out.values.is_empty() {
        return;
    }
    if a.columns == 0 {
        if into == Into::Set {
            out.values.fill(0.0);
        }
        return;
    }
    let mut scratch = machine.scratch(SCRATCH);
    let left = scratch.as_mut_slice().as_mut_ptr();
    let depth = a.columns.div_ceil(a.columns.div_ceil(DEPTH));
    let rows_at_a_time = (LEFT / depth).next_multiple_of(12 * 14);
    for first in (0..a.rows).step_by(rows_at_a_time) {
        let rows = first..a.rows.min(first + rows_at_a_time);
        let job = Job {
            a: a.source(),
            // The right operand is packed by its columns.
            b: b.source().transposed(),
            rows,
            depth,
            into,
            out: out.values.as_mut_ptr(),
            columns: out.columns,
            left,
            right: left.wrapping_add(LEFT + LEFT / 8 + DEPTH * 32),
        };
        machine.pool.run(|team| {
            // SAFETY: the shapes were checked; the scratch is this call's and has room for both; the processor has the set.
            unsafe {
                match precision {
                    Precision::F32 => run::<Exact>(machine.isa, &job, team),
                    Precision::Bf16 => run::<Bf16>(machine.isa, &job, team),
                }
            }
        });
    }
}

/// One product, as its threads see it.
struct Job {
    a: Source,
    /// Transposed.
    b: Source,
    /// Of A and of the product.
    rows: Range<usize>,
    /// Columns of A at a time.
    depth: usize,
    into: Into,
    out: *mut f32,
    /// Of the product.
    columns: usize,
    left: *mut f32,
    right: *mut f32,
}

// SAFETY: threads write disjoint parts of the product and of the scratch between two barriers.
unsafe impl Sync for Job {}

/// Rows and vectors of a tile: as many sums as there are registers for.
struct TileSize;

impl Kernel for TileSize {
    type Out = (usize, usize);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (usize, usize) {
        if S::MANY_REGISTERS { MANY } else { FEW }
    }
}

const MANY: (usize, usize) = (14, 2);
const FEW: (usize, usize) = (6, 1);

/// Numbers from one panel to the next: what packing writes behind a panel stays in front of the next.
const fn panel_len(depth: usize, wide: usize) -> usize {
    (depth * wide + LANES).next_multiple_of(LANES)
}

/// # Safety
/// As in [`gemm`].
unsafe fn run<R: Rounding>(isa: Isa, job: &Job, team: &Team<'_>) {
    // SAFETY: it needs nothing.
    let (tall, vectors) = unsafe { dispatch_floats(isa, TileSize) };
    let wide = vectors * LANES;
    let left_panels = job.rows.len().div_ceil(tall);
    let columns_at_a_time = (RIGHT / job.depth / wide).max(1) * wide;
    for from in (0..job.a.columns).step_by(job.depth) {
        let depth = from..job.a.columns.min(from + job.depth);
        let left = Pack::<R> {
            source: job.a,
            first: job.rows.start,
            wide: tall,
            depth: depth.clone(),
            panels: team.share(left_panels),
            to: job.left,
            panel_len: panel_len(job.depth, tall),
            rounding: PhantomData,
        };
        // SAFETY: the caller's contract; panels are cut from what exists, shares are disjoint, and barriers part packing from reading.
        unsafe { dispatch_floats(isa, left) };
        for column in (0..job.columns).step_by(columns_at_a_time) {
            let columns = column..job.columns.min(column + columns_at_a_time);
            let right = Pack::<R> {
                source: job.b,
                first: columns.start,
                wide,
                depth: depth.clone(),
                panels: team.share(columns.len().div_ceil(wide)),
                to: job.right,
                panel_len: panel_len(job.depth, wide),
                rounding: PhantomData,
            };
            // SAFETY: as above.
            unsafe { dispatch_floats(isa, right) };
            team.barrier();
            team.deal(0, left_panels, 1, |panels| {
                let multiply = Multiply {
                    job,
                    depth: depth.clone(),
                    panels,
                    columns: columns.clone(),
                };
                // SAFETY: as above.
                unsafe { dispatch_floats(isa, multiply) }
            });
            team.barrier();
        }
    }
}

/// Steps that are packed for all panels before the next where steps lie rows apart: as many pages are read by turns.
const STEPS: usize = 32;

/// Some panels of an operand, packed.
struct Pack<R> {
    source: Source,
    /// Row of the source that the first panel begins with.
    first: usize,
    wide: usize,
    depth: Range<usize>,
    panels: Range<usize>,
    to: *mut f32,
    panel_len: usize,
    rounding: PhantomData<R>,
}

impl<R: Rounding> Kernel for Pack<R> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let start = self.depth.start;
        let steps = if self.source.row_step == 1 {
            STEPS
        } else {
            self.depth.len().max(1)
        };
        for from in self.depth.clone().step_by(steps) {
            let to = self.depth.end.min(from + steps);
            for panel in self.panels.clone() {
                let first = self.first + panel * self.wide;
                let at = self
                    .to
                    .wrapping_add(panel * self.panel_len + (from - start) * self.wide);
                // SAFETY: the contract of `gemm`: there is room for all panels. What is left behind some steps, the next overwrite.
                unsafe { pack::<S, R>(self.source, first, self.wide, (from, to), at) };
            }
        }
    }
}

/// Some left panels with all right panels of a block.
struct Multiply<'a> {
    job: &'a Job,
    depth: Range<usize>,
    panels: Range<usize>,
    columns: Range<usize>,
}

impl Kernel for Multiply<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `gemm`.
        unsafe {
            if S::MANY_REGISTERS {
                self.panels::<S, { MANY.0 }, { MANY.1 }>();
            } else {
                self.panels::<S, { FEW.0 }, { FEW.1 }>();
            }
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    unsafe fn panels<S: Simd, const M: usize, const N: usize>(&self) {
        const { assert!(N * LANES <= WIDEST) }
        let job = self.job;
        for panel in self.panels.clone() {
            let row = job.rows.start + panel * M;
            let block = Block {
                job,
                depth: self.depth.len(),
                into: if self.depth.start == 0 {
                    job.into
                } else {
                    Into::Add
                },
                left: job.left.wrapping_add(panel * panel_len(job.depth, M)),
                rows: row..job.rows.end.min(row + M),
                columns: self.columns.clone(),
                right_len: panel_len(job.depth, N * LANES),
            };
            // SAFETY: the contract of `gemm`.
            unsafe { row_of_tiles::<S, M, N>(&block) };
        }
    }
}

/// One left panel with all right panels of a block.
struct Block<'a> {
    job: &'a Job,
    depth: usize,
    into: Into,
    left: *const f32,
    rows: Range<usize>,
    columns: Range<usize>,
    right_len: usize,
}

#[inline(always)]
unsafe fn row_of_tiles<S: Simd, const M: usize, const N: usize>(block: &Block<'_>) {
    let job = block.job;
    let wide = N * LANES;
    // SAFETY: tiles that are not whole go through a buffer of their own.
    unsafe {
        for (panel, column) in block.columns.clone().step_by(wide).enumerate() {
            let right = job.right.add(panel * block.right_len);
            let sums = tile::<S, M, N, 1>(block.depth, block.left, M, right, wide);
            let there = (block.columns.end - column).min(wide);
            let out = job.out.add(block.rows.start * job.columns + column);
            if block.rows.len() == M && there == wide {
                for (m, sums) in sums.into_iter().enumerate() {
                    for (n, mut sum) in sums.into_iter().enumerate() {
                        let out = out.add(m * job.columns + n * LANES);
                        if block.into == Into::Add {
                            sum = S::add(S::load(out), sum);
                        }
                        S::store(out, sum);
                    }
                }
            } else {
                let mut buffer = [[0.0f32; WIDEST]; M];
                for (sums, row) in sums.into_iter().zip(&mut buffer) {
                    for (n, sum) in sums.into_iter().enumerate() {
                        S::store(row.as_mut_ptr().add(n * LANES), sum);
                    }
                }
                for (m, row) in buffer.iter().enumerate().take(block.rows.len()) {
                    for (n, &sum) in row.iter().enumerate().take(there) {
                        let out = out.add(m * job.columns + n);
                        *out = if block.into == Into::Add {
                            *out + sum
                        } else {
                            sum
                        };
                    }
                }
            }
        }
    }
}
