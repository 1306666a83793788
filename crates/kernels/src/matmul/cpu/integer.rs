//! Products with block-quantised weights on the lanes: a panel's codes are unpacked once for several tokens.
//!
//! An output's chain over the blocks is the same in every form here, so one token has the bits that it has among many:
//!
//! - [`one_token`](super::one_token): the panels' bytes in order, the sums in registers; memory bounds it.
//! - [`in_registers`]: sums of a tile of tokens in registers, for sets with 32 of them.
//! - [`in_l1`](super::in_l1): codes and sums in L1, a few tokens' chains side by side in registers, for sets with 16.

use super::{Panels, Product, activations::Activation, formats::Format};
use crate::{
    packed::{BLOCK, PANEL_ROWS},
    simd::{Lanes, Simd},
};

/// `count` tokens from `first` (at most `T`), all panels of the share. Returns `count`. Sums beyond `count` repeat the last token:
/// that costs less than reading the weights again for a smaller tile.
#[inline(always)]
pub(super) unsafe fn in_registers<S: Simd, F: Format, const T: usize>(
    args: &Panels<'_>,
    first: usize,
    count: usize,
) -> usize {
    let weights = args.product.weights;
    let blocks = weights.cols / BLOCK;
    // SAFETY: panels stay within the matrix, tokens within the input.
    unsafe {
        let mut inputs = [args.input.quantised.row(0); T];
        for (t, row) in inputs.iter_mut().enumerate() {
            let token = first + t.min(count - 1);
            *row = args.input.quantised.row(args.input.row(token));
        }
        for panel in args.from..args.to {
            let mut at = args.panel(panel);
            let mut sums = [S::splat(0.0); T];
            let mut block = 0;
            while block < blocks {
                let header = F::header::<S>(at, 0);
                at = at.add(F::HEADER_BYTES);
                for _ in 0..F::BLOCKS {
                    if args.profile.prefetch_bytes > 0 {
                        prefetch::<S>(at.wrapping_add(weights.panel_bytes), F::BLOCK_BYTES);
                    }
                    let codes = F::codes::<S>(at, 0);
                    let scales = F::scales::<S>(at, 0, header);
                    for t in 0..T {
                        let activation = Activation::<S>::of::<F>(inputs[t], block);
                        let dots = dot::<S, F>(&codes, &activation);
                        sums[t] = scaled::<S, F>(scales, dots, &activation, sums[t]);
                    }
                    at = at.add(F::BLOCK_BYTES);
                    block += 1;
                }
            }
            for (t, &y) in sums.iter().take(count).enumerate() {
                store::<S>(&args.product, args.input.out_row(first + t), panel, 0, y);
            }
        }
    }
    count
}

/// The cache lines of the `bytes` at `p`.
#[inline(always)]
pub(super) unsafe fn prefetch<S: Lanes>(p: *const u8, bytes: usize) {
    let mut line = 0;
    while line < bytes {
        // SAFETY: a prefetch may name any address.
        unsafe { S::prefetch(p.wrapping_add(line)) };
        line += 64;
    }
}

/// The integer sums of 32 columns, or of each half of 16.
pub(super) type Dots<P> = [<P as Lanes>::I; 2];

/// The first 16 columns' groups and the others'.
#[inline(always)]
pub(super) fn halves<B: Copy>(codes: &[B; 8]) -> [[B; 4]; 2] {
    let c = codes;
    [[c[0], c[1], c[2], c[3]], [c[4], c[5], c[6], c[7]]]
}

/// A sum that began at zero, less the codes' offset.
#[inline(always)]
pub(super) unsafe fn corrected<P: Lanes, F: Format>(sum: P::I, correction: P::I) -> P::I {
    if F::OFFSET {
        // SAFETY: arithmetic on lanes.
        unsafe { P::add_i32(sum, correction) }
    } else {
        sum
    }
}

/// Sums of each half of 16, where the format has a scale for each.
#[inline(always)]
pub(super) unsafe fn dot_halves<P: Lanes, F: Format>(
    codes: &[P::B; 8],
    activation: &Activation<P>,
) -> Dots<P> {
    let [low, high] = halves(codes);
    // SAFETY: the activation's codes are a whole block's.
    unsafe {
        let a = activation.codes;
        [
            F::dot::<P, _>(activation.corrections[0], &low, a),
            F::dot::<P, _>(activation.corrections[1], &high, a.add(16)),
        ]
    }
}

/// One chain: other tokens' chains hide its latency.
#[inline(always)]
unsafe fn dot<P: Lanes, F: Format>(codes: &[P::B; 8], activation: &Activation<P>) -> Dots<P> {
    // SAFETY: the activation's codes are a whole block's.
    unsafe {
        if F::HALVES {
            return dot_halves::<P, F>(codes, activation);
        }
        let sum = F::dot::<P, _>(activation.corrections[0], codes, activation.codes);
        [sum, sum]
    }
}

/// `y` plus the sums in the weights' and the activations' scales, plus the minimum's share.
#[inline(always)]
pub(super) unsafe fn scaled<P: Lanes, F: Format>(
    scales: [P::F; 2],
    sums: Dots<P>,
    activation: &Activation<P>,
    y: P::F,
) -> P::F {
    // SAFETY: arithmetic on lanes.
    unsafe {
        let scale = activation.scale;
        let mut y = P::fma(P::to_f32(sums[0]), P::mul(scales[0], scale), y);
        if F::HALVES {
            y = P::fma(P::to_f32(sums[1]), P::mul(scales[1], scale), y);
        }
        if F::MINIMA {
            y = P::fma(scales[1], activation.scaled_sum, y);
        }
        y
    }
}

/// Writes outputs of one token from `lane` of a panel on, or adds them.
#[inline(always)]
pub(super) unsafe fn store<P: Lanes>(
    product: &Product<'_>,
    token: usize,
    panel: usize,
    lane: usize,
    y: P::F,
) {
    let row = panel * PANEL_ROWS + lane;
    // SAFETY: the output has the row, padded to whole panels.
    unsafe {
        let out = product.out.row(token).add(row);
        let y = match product.bias {
            Some(bias) => P::add(P::load(bias.as_ptr().add(row)), y),
            None => y,
        };
        // Exact where the factor is 1.
        let scale = P::splat(product.scale);
        let y = if product.add {
            P::fma(y, scale, P::load(out))
        } else {
            P::mul(y, scale)
        };
        P::store(out, y);
    }
}
