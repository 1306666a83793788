//! A block of a token's activations as products read it, from its row or from a tile gathered block by block.

use super::{Input, formats::Format};
use crate::{packed::BLOCK, rows::QuantRow, simd::Lanes};

/// Tokens of a gathered tile.
pub(super) const TOKENS: usize = 16;

/// 32 columns of one token.
#[derive(Clone, Copy)]
pub(super) struct Activation<P: Lanes> {
    pub codes: *const i8,
    pub scale: P::F,
    /// What the offset of the weights' codes adds to the sum, or to each half's.
    pub corrections: [P::I; 2],
    /// Scale times the sum of the codes, for formats with minima.
    pub scaled_sum: P::F,
}

impl<P: Lanes> Activation<P> {
    /// Block `block` of a row.
    ///
    /// # Safety
    /// The row has the block.
    #[inline(always)]
    pub(super) unsafe fn of<F: Format>(row: QuantRow, block: usize) -> Self {
        // SAFETY: the caller's contract.
        unsafe {
            let [first, second] = corrections::<F>(row, block);
            let scaled_sum = if F::MINIMA {
                *row.scaled_sums().add(block)
            } else {
                0.0
            };
            Self {
                codes: row.codes().add(block * BLOCK),
                scale: P::splat(*row.scales().add(block)),
                corrections: [P::splat_i32(first), P::splat_i32(second)],
                scaled_sum: P::splat(scaled_sum),
            }
        }
    }
}

#[inline(always)]
unsafe fn corrections<F: Format>(row: QuantRow, block: usize) -> [i32; 2] {
    // SAFETY: the row has the block.
    unsafe {
        if F::HALVES {
            let sums = row.minus_8_half_sums().add(2 * block);
            [F::correction(*sums), F::correction(*sums.add(1))]
        } else if F::OFFSET {
            [F::correction(*row.minus_8_sums().add(block)), 0]
        } else {
            [0, 0]
        }
    }
}

/// Up to [`TOKENS`] tokens, one block of all of them behind the other: codes `i8[16][32]`, scales `f32[16]`, and two more numbers of
/// each token: corrections `i32[2][16]`, or scaled sums `f32[16]` where the format has minima. Beside rows that lie far apart a pass
/// over the blocks reads one stream, at constant offsets.
#[derive(Clone, Copy)]
pub(super) struct Gathered(*const u8);

/// Bytes of the tokens' codes in a block.
const CODES: usize = TOKENS * BLOCK;
/// Bytes of a number of each token.
const NUMBERS: usize = TOKENS * 4;
/// Bytes of a block.
const STRIDE: usize = CODES + 3 * NUMBERS;

/// f32 elements of scratch for `columns` activations of a tile.
pub(crate) const fn gathered_len(columns: usize) -> usize {
    columns.div_ceil(BLOCK) * STRIDE / size_of::<f32>()
}

impl Gathered {
    /// `count` tokens (at most [`TOKENS`]) from `first`, for weights of format `F`.
    ///
    /// # Safety
    /// The input has the tokens; its scratch has [`gathered_len`] elements and is this thread's.
    pub(super) unsafe fn fill<F: Format>(input: &Input<'_>, first: usize, count: usize) -> Self {
        let start = input.scratch.cast::<u8>();
        // SAFETY: the caller's contract.
        unsafe {
            for t in 0..count {
                let row = input.quantised.row(input.row(first + t));
                for block in 0..input.quantised.cols / BLOCK {
                    let to = start.add(block * STRIDE);
                    let codes = row.codes().add(block * BLOCK);
                    to.add(t * BLOCK)
                        .copy_from_nonoverlapping(codes.cast(), BLOCK);
                    let numbers = to.add(CODES).cast::<f32>().add(t);
                    *numbers = *row.scales().add(block);
                    if F::MINIMA {
                        *numbers.add(TOKENS) = *row.scaled_sums().add(block);
                    } else {
                        let [first, second] = corrections::<F>(row, block);
                        *numbers.add(TOKENS).cast::<i32>() = first;
                        *numbers.add(2 * TOKENS).cast::<i32>() = second;
                    }
                }
            }
        }
        Self(start)
    }

    /// Block `block` of token `t`.
    ///
    /// # Safety
    /// The tile was filled with both.
    #[inline(always)]
    pub(super) unsafe fn activation<P: Lanes, F: Format>(
        self,
        block: usize,
        t: usize,
    ) -> Activation<P> {
        // SAFETY: the caller's contract.
        unsafe {
            let at = self.0.add(block * STRIDE);
            let numbers = at.add(CODES).cast::<f32>().add(t);
            let (first, second) = (numbers.add(TOKENS), numbers.add(2 * TOKENS));
            let (mut corrections, mut scaled_sum) = ([0, 0], 0.0);
            if F::MINIMA {
                scaled_sum = *first;
            } else {
                corrections = [*first.cast(), *second.cast()];
            }
            Activation {
                codes: at.add(t * BLOCK).cast(),
                scale: P::splat(*numbers),
                corrections: [P::splat_i32(corrections[0]), P::splat_i32(corrections[1])],
                scaled_sum: P::splat(scaled_sum),
            }
        }
    }
}
