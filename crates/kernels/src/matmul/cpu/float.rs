//! Products with float weights: a register tile of P panels by T tokens, one fused multiply-add per column and output.

use super::Panels;
use crate::{packed::PANEL_ROWS, simd::Simd};

/// A stored float format.
pub(super) trait Element {
    /// Bytes of one weight.
    const BYTES: usize;
    /// 16 weights.
    unsafe fn load<S: Simd>(p: *const u8) -> S::F;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

impl Element for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: the caller's pointer holds 16 weights.
        unsafe { S::load(p.cast()) }
    }
}

impl Element for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: the caller's pointer holds 16 weights.
        unsafe { S::load_f16(p.cast()) }
    }
}

impl Element for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: the caller's pointer holds 16 weights.
        unsafe { S::load_bf16(p.cast()) }
    }
}

/// `count` tokens from `first` (at most `T`; sums beyond it repeat the last token), all panels of the share, `P` at a time
/// (several panels hide the latency of a single token's chain). Returns `count`.
#[inline(always)]
pub(super) unsafe fn panels<S: Simd, E: Element, const T: usize, const P: usize>(
    args: &Panels<'_>,
    first: usize,
    count: usize,
) -> usize {
    let mut panel = args.from;
    // SAFETY: panels stay below `to`, tokens below the input's.
    unsafe {
        while panel + P <= args.to {
            tile::<S, E, T, P>(args, first, count, panel);
            panel += P;
        }
        while panel < args.to {
            tile::<S, E, T, 1>(args, first, count, panel);
            panel += 1;
        }
    }
    count
}

#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several register tiles at once"
)]
unsafe fn tile<S: Simd, E: Element, const T: usize, const P: usize>(
    args: &Panels<'_>,
    first: usize,
    count: usize,
    panel: usize,
) {
    let weights = args.product.weights;
    // SAFETY: `panel + P` panels and `first + count` rows exist; a panel holds `cols` times 16 weights.
    unsafe {
        let base = args.panel(panel);
        let mut acc = [[S::splat(0.0); T]; P];
        let mut inputs = [std::ptr::null::<f32>(); T];
        for (t, x) in inputs.iter_mut().enumerate() {
            *x = args
                .input
                .plain
                .row(args.input.row(first + t.min(count - 1)));
        }
        for col in 0..weights.cols {
            for p in 0..P {
                let w =
                    E::load::<S>(base.add(p * weights.panel_bytes + col * PANEL_ROWS * E::BYTES));
                for t in 0..T {
                    acc[p][t] = S::fma(w, S::splat(*inputs[t].add(col)), acc[p][t]);
                }
            }
        }
        for p in 0..P {
            for t in 0..count {
                let token = args.input.out_row(first + t);
                super::integer::store::<S>(&args.product, token, panel + p, 0, acc[p][t]);
            }
        }
    }
}
