//! Products with block-quantised weights on the lanes: a panel's codes are unpacked once for `T` tokens.

use super::{Panels, Product, formats::Format};
use crate::{
    packed::{BLOCK, PANEL_ROWS},
    rows::QuantRow,
    simd::Simd,
};

/// `T` tokens from `first`, all panels of the share. Returns `T`.
#[inline(always)]
pub(super) unsafe fn panels<S: Simd, F: Format, const T: usize>(
    args: &Panels<'_>,
    first: usize,
) -> usize {
    let weights = args.product.weights;
    // SAFETY: panels stay within the matrix, tokens within the input.
    unsafe {
        let mut inputs = [args.input.quantised.row(first); T];
        for (t, row) in inputs.iter_mut().enumerate() {
            *row = args.input.quantised.row(first + t);
        }
        let data = weights.data.as_slice().as_ptr();
        let ahead = if T == 1 {
            args.profile.prefetch_bytes
        } else {
            0
        };
        for panel in args.from..args.to {
            let base = data.add(panel * weights.panel_bytes);
            let acc = dot_panel::<S, F, T>(base, weights.cols, &inputs, ahead);
            for (t, &y) in acc.iter().enumerate() {
                store::<S>(&args.product, first + t, panel, y);
            }
        }
    }
    T
}

/// 16 outputs of `T` tokens.
#[inline(always)]
unsafe fn dot_panel<S: Simd, F: Format, const T: usize>(
    mut at: *const u8,
    cols: usize,
    inputs: &[QuantRow; T],
    ahead: usize,
) -> [S::F; T] {
    // SAFETY: the panel holds `cols / (32 * BLOCKS)` super-blocks, every input row `cols` codes and its scales.
    unsafe {
        let mut acc = [S::splat(0.0); T];
        let mut block = 0;
        while block * BLOCK < cols {
            let header = F::header::<S>(at);
            at = at.add(F::HEADER_BYTES);
            for _ in 0..F::BLOCKS {
                if ahead > 0 {
                    prefetch::<S, F>(at.wrapping_add(ahead));
                }
                one_block::<S, F, T>(at, header, block, inputs, &mut acc);
                at = at.add(F::BLOCK_BYTES);
                block += 1;
            }
        }
        acc
    }
}

/// The cache lines of the block at `p`.
#[inline(always)]
unsafe fn prefetch<S: Simd, F: Format>(p: *const u8) {
    let mut line = 0;
    while line < F::BLOCK_BYTES {
        // SAFETY: a prefetch may name any address.
        unsafe { S::prefetch(p.wrapping_add(line)) };
        line += 64;
    }
}

#[inline(always)]
unsafe fn one_block<S: Simd, F: Format, const T: usize>(
    at: *const u8,
    header: F::Header<S>,
    block: usize,
    inputs: &[QuantRow; T],
    acc: &mut [S::F; T],
) {
    // SAFETY: as `dot_panel`; `block` is below `cols / 32`.
    unsafe {
        let codes = F::codes::<S>(at);
        let scales = F::scales::<S>(at, header);
        for t in 0..T {
            let a = inputs[t].codes().add(block * BLOCK).cast_const();
            let scale = S::splat(*inputs[t].scales().add(block));
            if F::HALVES {
                let sums = inputs[t].minus_8_half_sums().add(2 * block);
                let (mut low, mut high) =
                    (F::correction::<S>(*sums), F::correction::<S>(*sums.add(1)));
                for g in 0..4 {
                    low = F::dot::<S>(low, codes[g], a.add(4 * g));
                    high = F::dot::<S>(high, codes[g + 4], a.add(4 * g + 16));
                }
                acc[t] = S::fma(S::to_f32(low), S::mul(scales[0], scale), acc[t]);
                acc[t] = S::fma(S::to_f32(high), S::mul(scales[1], scale), acc[t]);
            } else {
                let start = if F::OFFSET {
                    F::correction::<S>(*inputs[t].minus_8_sums().add(block))
                } else {
                    S::splat_i32(0)
                };
                let sum = dot_32::<S, F, T>(start, &codes, a);
                acc[t] = S::fma(S::to_f32(sum), S::mul(scales[0], scale), acc[t]);
                if F::MINIMA {
                    acc[t] = S::fma(
                        scales[1],
                        S::splat(*inputs[t].scaled_sums().add(block)),
                        acc[t],
                    );
                }
            }
        }
    }
}

/// 32 columns. A single token has two chains to hide latency; with more tokens their chains do. The sums are exact either way.
#[inline(always)]
unsafe fn dot_32<S: Simd, F: Format, const T: usize>(
    start: S::I,
    codes: &[S::B; 8],
    a: *const i8,
) -> S::I {
    // SAFETY: `a` holds 32 codes.
    unsafe {
        let mut sum = start;
        if T == 1 {
            let mut other = S::splat_i32(0);
            for g in 0..4 {
                sum = F::dot::<S>(sum, codes[g], a.add(4 * g));
                other = F::dot::<S>(other, codes[g + 4], a.add(4 * g + 16));
            }
            S::add_i32(sum, other)
        } else {
            for (g, &code) in codes.iter().enumerate() {
                sum = F::dot::<S>(sum, code, a.add(4 * g));
            }
            sum
        }
    }
}

/// Writes 16 outputs of one token, or adds them.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(product: &Product<'_>, token: usize, panel: usize, y: S::F) {
    // SAFETY: the output has the row, padded to whole panels.
    unsafe {
        let out = product.out.row(token).add(panel * PANEL_ROWS);
        let y = match product.bias {
            Some(bias) => S::add(S::load(bias.as_ptr().add(panel * PANEL_ROWS)), y),
            None => y,
        };
        let y = if product.add {
            S::add(S::load(out), y)
        } else {
            y
        };
        S::store(out, y);
    }
}
