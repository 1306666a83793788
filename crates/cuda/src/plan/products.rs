//! Where the matrices of products lie, and how a product's chunks are dealt to a block's warps.

use kernels::program::{MatrixId, Program};
use ops::Dtype;

use super::{Format, Input, Output, PANEL, Place, ProductStep, WARPS};
use crate::memory::Layout;

/// Above so many bytes of partial sums, a warp takes whole panels.
const MOST_PARTIAL: usize = 16_000;

/// What grows with each product.
pub(super) struct Products {
    pub places: Vec<Option<Place>>,
    pub weights: Layout,
    /// Shared memory that the largest of them needs for its input and its sums.
    pub scratch: usize,
    multiprocessors: usize,
}

/// How the rows of several matrices become a product's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// One matrix behind the other, each from a new panel on.
    Behind,
    /// A row of each in turn.
    InTurn,
}

impl Products {
    pub(super) fn new(matrices: usize, multiprocessors: usize) -> Self {
        Self {
            places: vec![None; matrices],
            weights: Layout::default(),
            scratch: 0,
            multiprocessors,
        }
    }

    /// Blocks among which panels are shared out.
    pub(super) fn multiprocessors(&self) -> usize {
        self.multiprocessors
    }

    /// In which format the GPU reads a matrix.
    pub(super) fn format_of(program: &Program, matrix: MatrixId) -> Format {
        match program.matrix(matrix).dtype() {
            Dtype::Q4_0 => Format::Q4_0,
            _ => Format::Bf16,
        }
    }

    /// A product of `matrices`, all with the same columns; `None` where one of them has its place already.
    pub(super) fn add(
        &mut self,
        program: &Program,
        (matrices, rows, format): (&[MatrixId], Rows, Format),
        input: Input,
        output: Output,
    ) -> Option<ProductStep> {
        let width = matrices.first().map(|&id| program.matrix(id).cols())?;
        let chunks = width.div_ceil(format.columns());
        let rows_of = |id: &MatrixId| program.matrix(*id).rows();
        let panels = match rows {
            Rows::Behind => matrices.iter().map(|id| rows_of(id).div_ceil(PANEL)).sum(),
            Rows::InTurn => matrices.iter().map(rows_of).sum::<usize>().div_ceil(PANEL),
        };
        let offset = self.weights.add(panels * chunks * format.bytes());
        let mut behind = 0;
        for (turn, id) in matrices.iter().enumerate() {
            let (first, stride) = match rows {
                Rows::Behind => (behind, 1),
                Rows::InTurn => (turn, matrices.len()),
            };
            behind += rows_of(id).next_multiple_of(PANEL);
            let place = Place {
                offset,
                format,
                chunks,
                first,
                stride,
            };
            if self.places[id.index()].replace(place).is_some() {
                return None;
            }
        }
        // Panels of a block, and bytes of its partial sums where chunks are dealt one by one.
        let own = panels.div_ceil(self.multiprocessors);
        let partial = own * chunks.min(WARPS) * PANEL * 4;
        let is_even = own.next_multiple_of(WARPS) * 10 <= own * 11;
        let by_panel = partial > MOST_PARTIAL || is_even;
        let sums = if by_panel { own * PANEL * 4 } else { partial };
        let columns = chunks * format.columns();
        self.scratch = self.scratch.max(format.row_bytes(columns) + sums);
        Some(ProductStep {
            offset,
            format,
            input,
            output,
            panels,
            chunks,
            width,
            by_panel,
        })
    }
}
