//! Rounding to 8 bits on the lanes: two vectors a block, divided (not multiplied by a reciprocal) so that codes are exact.

use crate::{
    packed::BLOCK,
    pool::Team,
    rows::{QuantRow, QuantRows, Rows},
    simd::{Isa, Kernel, Simd, dispatch},
};

/// This thread's share of the rows.
///
/// # Safety
/// Both views have `tokens` rows of `to.cols` elements, a multiple of 32.
pub(crate) unsafe fn quantize(isa: Isa, from: Rows, to: QuantRows, tokens: usize, team: &Team<'_>) {
    let share = team.share(tokens);
    // SAFETY: the caller's contract; shares are disjoint.
    unsafe { dispatch(isa, Quantize { from, to, share }) }
}

struct Quantize {
    from: Rows,
    to: QuantRows,
    share: std::ops::Range<usize>,
}

impl Kernel for Quantize {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for token in self.share {
            // SAFETY: the contract of `quantize`.
            unsafe { row::<S>(self.from.row(token), self.to.row(token), 0, self.to.cols) }
        }
    }
}

/// Columns `from..to` (whole blocks) of one row.
///
/// # Safety
/// `x` and `out` hold the columns.
#[inline(always)]
pub(crate) unsafe fn row<S: Simd>(x: *const f32, out: QuantRow, from: usize, to: usize) {
    let mut col = from;
    while col < to {
        // SAFETY: the block is within the row.
        unsafe { block::<S>(x.add(col), out, col) }
        col += BLOCK;
    }
}

#[inline(always)]
unsafe fn block<S: Simd>(x: *const f32, out: QuantRow, col: usize) {
    // SAFETY: 32 values at `x`, and the block's slots in `out`.
    unsafe {
        let (low, high) = (S::load(x), S::load(x.add(16)));
        let largest = S::largest(S::max(S::abs(low), S::abs(high)));
        // Zero times a NaN or an infinity is NaN, and stays NaN in any sum.
        let zero = S::splat(0.0);
        let probe = S::sum(S::fma(low, zero, S::mul(high, zero)));
        let mut scale = largest / 127.0;
        let usable = probe == 0.0 && scale >= f32::MIN_POSITIVE;
        let (low, high) = if usable {
            let s = S::splat(scale);
            (S::round(S::div(low, s)), S::round(S::div(high, s)))
        } else {
            scale = if probe == 0.0 { 0.0 } else { f32::NAN };
            (zero, zero)
        };
        S::store_as_i8(out.codes().add(col), low);
        S::store_as_i8(out.codes().add(col + 16), high);
        // Sums of at most 16 integers below 128: exact.
        let (sum_low, sum_high) = (S::sum(low), S::sum(high));
        let block = col / BLOCK;
        *out.scales().add(block) = scale;
        *out.scaled_sums().add(block) = scale * (sum_low + sum_high);
        *out.minus_8_half_sums().add(2 * block) = -8 * sum_low as i32;
        *out.minus_8_half_sums().add(2 * block + 1) = -8 * sum_high as i32;
        *out.minus_8_sums().add(block) = -8 * (sum_low + sum_high) as i32;
    }
}
