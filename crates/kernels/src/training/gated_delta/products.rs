//! Small products of operands in L1 or L2, which meanwhile ask for what is read or written a chunk later.
//!
//! A head's rows lie too far apart for the processor to guess the next one, and a chunk's rows asked for at once are more than it can wait
//! for: it then stands still until most have come. So they are put in a list, and each tile of each product asks for some.

use super::{CHUNK, Rows};
use crate::{
    simd::{Isa, Kernel, LANES, Simd, dispatch_floats},
    training::product::tile_onto,
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

/// Blocks of rows that are waited for, at most: what comes beyond is read without having been asked for.
const BLOCKS: usize = 8;
/// Rows that a tile asks for.
const ROWS: usize = 4;

/// Rows that are still to be asked for.
#[derive(Clone, Copy)]
struct Block {
    rows: Rows,
    columns: usize,
    left: usize,
}

/// The instruction set of products, and the list of what they ask for.
pub(super) struct Products {
    isa: Isa,
    blocks: [Option<Block>; BLOCKS],
    /// The first block that is not yet through.
    at: usize,
}

impl Products {
    pub(super) const fn on(isa: Isa) -> Self {
        Self {
            isa,
            blocks: [None; BLOCKS],
            at: 0,
        }
    }

    /// Forgets what has not been asked for.
    pub(super) const fn begin(&mut self) {
        self.blocks = [None; BLOCKS];
        self.at = 0;
    }

    /// Puts a chunk's rows of `columns` in the list.
    pub(super) fn will_need(&mut self, rows: Rows, columns: usize) {
        if let Some(free) = self.blocks.iter_mut().find(|block| block.is_none()) {
            *free = Some(Block {
                rows,
                columns,
                left: CHUNK,
            });
        }
    }

    /// Asks for some rows.
    #[inline(always)]
    unsafe fn ask<S: Simd>(&mut self) {
        for _ in 0..ROWS {
            let Some(Some(block)) = self.blocks.get_mut(self.at) else {
                return;
            };
            for column in (0..block.columns).step_by(LANES) {
                // SAFETY: asking for an address reads nothing.
                unsafe { S::prefetch(block.rows.at.wrapping_add(column).cast()) };
            }
            block.rows = block.rows.from(1);
            block.left -= 1;
            if block.left == 0 {
                self.at += 1;
            }
        }
    }

    /// `out = start + left right`, in a function of its own for each instruction set: two dozen of them within one take minutes to compile.
    ///
    /// # Safety
    /// The operands have values for all rows, columns and steps; the processor has the instruction set.
    pub(super) unsafe fn multiply(
        &mut self,
        size: Size,
        left: Left,
        right: Rows,
        start: Option<Start>,
        out: Rows,
    ) {
        let (isa, step) = (self.isa, left.across == 1);
        let operands = Operands {
            size,
            left,
            right,
            start,
            out,
        };
        // SAFETY: the caller's contract.
        unsafe {
            if step {
                dispatch_floats(isa, Product::<true>(operands, self));
            } else {
                dispatch_floats(isa, Product::<false>(operands, self));
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Operands {
    size: Size,
    left: Left,
    right: Rows,
    start: Option<Start>,
    out: Rows,
}

/// One product; whether the left operand's rows are neighbours.
struct Product<'a, const BY_STEP: bool>(Operands, &'a mut Products);

impl<const BY_STEP: bool> Kernel for Product<'_, BY_STEP> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self(mut operands, products) = self;
        if BY_STEP {
            operands.left.across = 1;
        }
        // SAFETY: the contract of `multiply`. Tiles have as many sums as there are registers for.
        unsafe {
            if S::MANY_REGISTERS {
                tiles::<S, 8, 2>(&operands, products);
            } else {
                tiles::<S, 4, 1>(&operands, products);
            }
        }
    }
}

#[inline(always)]
unsafe fn tiles<S: Simd, const M: usize, const N: usize>(
    operands: &Operands,
    products: &mut Products,
) {
    let size = operands.size;
    for row in (0..size.rows).step_by(M) {
        let steps = match size.part {
            Part::StepsUpTo => (0, size.depth.min(row + M)),
            Part::StepsFrom => (row.min(size.depth), size.depth),
            Part::All | Part::ColumnsUpTo => (0, size.depth),
        };
        let columns = match size.part {
            Part::ColumnsUpTo => (row + M).next_multiple_of(LANES),
            _ => size.columns,
        };
        let mut column = 0;
        // SAFETY: the contract of `multiply`.
        unsafe {
            while column + N * LANES <= columns {
                products.ask::<S>();
                one::<S, M, N>(operands, (row, column), steps);
                column += N * LANES;
            }
            while N > 1 && column < columns {
                one::<S, M, 1>(operands, (row, column), steps);
                column += LANES;
            }
        }
    }
}

#[inline(always)]
unsafe fn one<S: Simd, const M: usize, const N: usize>(
    operands: &Operands,
    (row, column): (usize, usize),
    (from, to): (usize, usize),
) {
    let Operands {
        left, right, out, ..
    } = *operands;
    // SAFETY: the contract of `multiply`.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; M];
        if let Some(start) = operands.start {
            for (m, sums) in sums.iter_mut().enumerate() {
                let factor = S::splat(*start.factors.add((row + m) * start.step));
                for (n, sum) in sums.iter_mut().enumerate() {
                    let at = start.rows.row(row + m).add(column + n * LANES);
                    *sum = S::mul(S::load(at), factor);
                }
            }
        }
        let at = left.at.wrapping_add(from * left.step + row * left.across);
        let right_at = right.row(from).wrapping_add(column).cast_const();
        let sums = tile_onto::<S, M, N>(
            sums,
            to - from,
            (at, left.step, left.across),
            (right_at, right.step),
        );
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                S::store(out.row(row + m).add(column + n * LANES), sum);
            }
        }
    }
}
