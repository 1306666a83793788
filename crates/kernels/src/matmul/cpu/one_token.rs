//! Products of one token: the panels' bytes in order, the sums in registers; memory bounds it. A thread walks through several parts
//! of its share at once: more requests are in flight than the processor's prefetcher keeps for one stream.
#![expect(
    clippy::needless_range_loop,
    reason = "constant indices into the registers of several parts at once"
)]

use std::marker::PhantomData;

use super::{
    Panels,
    activations::Activation,
    formats::Format,
    integer::{Dots, corrected, dot_halves, halves, prefetch, scaled, store},
};
use crate::{
    packed::{BLOCK, PANEL_ROWS},
    simd::{Kernel, Lanes, Pairs, Simd},
};

/// Token `token`, all panels of the share: a function of its own, so that it is compiled beside this module's.
pub(super) struct OneToken<'p, 'a, F> {
    pub(super) panels: &'p Panels<'a>,
    pub(super) token: usize,
    pub(super) format: PhantomData<F>,
}

impl<F: Format> Kernel for OneToken<'_, '_, F> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `matmul`.
        unsafe { one_token::<S, F>(self.panels, self.token) }
    }
}

/// In as many streams as the profile says.
#[inline(always)]
unsafe fn one_token<S: Simd, F: Format>(args: &Panels<'_>, token: usize) {
    let panels = args.to - args.from;
    // SAFETY: the streams lie within the share; a panel has one part or two.
    unsafe {
        if S::Part::LANES == PANEL_ROWS {
            let done = match args.profile.matvec_streams {
                4.. => streams::<S::Part, F, 4, 4>(args, token, args.from, panels / 4),
                2..4 => streams::<S::Part, F, 2, 2>(args, token, args.from, panels / 2),
                _ => 0,
            };
            streams::<S::Part, F, 1, 1>(args, token, args.from + done, panels - done);
        } else {
            let done = match args.profile.matvec_streams {
                4.. => streams::<S::Part, F, 4, 8>(args, token, args.from, panels / 4),
                2..4 => streams::<S::Part, F, 2, 4>(args, token, args.from, panels / 2),
                _ => 0,
            };
            streams::<S::Part, F, 1, 2>(args, token, args.from + done, panels - done);
        }
    }
}

/// One block of the parts of panels that are read side by side.
struct Side<F, const M: usize> {
    /// Where each part's block begins, and its first lane.
    at: [(*const u8, usize); M],
    format: PhantomData<F>,
}

impl<P: Lanes, F: Format, const M: usize> Pairs<P> for Side<F, M> {
    #[inline(always)]
    unsafe fn pair(&self, m: usize, g: usize) -> [P::B; 2] {
        let (at, lane) = self.at[m];
        // SAFETY: whole blocks lie there. What is not asked for is not unpacked: all of it is inlined.
        let codes = unsafe { F::codes::<P>(at, lane) };
        [codes[g], codes[g + 4]]
    }
}

/// `N` streams of `length` panels each, side by side from panel `from` on: `M` parts at once. Returns the panels done.
#[inline(always)]
unsafe fn streams<P: Lanes, F: Format, const N: usize, const M: usize>(
    args: &Panels<'_>,
    token: usize,
    from: usize,
    length: usize,
) -> usize {
    let weights = args.product.weights;
    let blocks = weights.cols / BLOCK;
    let parts = M / N;
    // SAFETY: panels stay within the matrix, the token within the input.
    unsafe {
        let input = args.input.quantised.row(args.input.row(token));
        let apart = length * weights.panel_bytes;
        for panel in from..from + length {
            let mut at = args.panel(panel);
            let mut sums = [P::splat(0.0); M];
            let mut block = 0;
            while block < blocks {
                let super_block = at;
                at = at.add(F::HEADER_BYTES);
                for _ in 0..F::BLOCKS {
                    let mut side = Side::<F, M> {
                        at: [(at, 0); M],
                        format: std::marker::PhantomData,
                    };
                    let mut headers = [F::header::<P>(super_block, 0); M];
                    for m in 0..M {
                        let (further, lane) = (m / parts * apart, m % parts * P::LANES);
                        side.at[m] = (at.add(further), lane);
                        headers[m] = F::header::<P>(super_block.add(further), lane);
                    }
                    if args.profile.prefetch_bytes > 0 {
                        for n in 0..N {
                            let ahead = n * apart + args.profile.prefetch_bytes;
                            prefetch::<P>(at.wrapping_add(ahead), F::BLOCK_BYTES);
                        }
                    }
                    let activation = Activation::<P>::of::<F>(input, block);
                    let dots = dots::<P, F, M>(&side, &activation);
                    for m in 0..M {
                        let (at, lane) = side.at[m];
                        let scales = F::scales::<P>(at, lane, headers[m]);
                        sums[m] = scaled::<P, F>(scales, dots[m], &activation, sums[m]);
                    }
                    at = at.add(F::BLOCK_BYTES);
                    block += 1;
                }
            }
            for (m, &y) in sums.iter().enumerate() {
                let (panel, lane) = (panel + m / parts * length, m % parts * P::LANES);
                store::<P>(&args.product, args.input.out_row(token), panel, lane, y);
            }
        }
    }
    N * length
}

/// The integer sums of one block of each part.
#[inline(always)]
unsafe fn dots<P: Lanes, F: Format, const M: usize>(
    side: &Side<F, M>,
    activation: &Activation<P>,
) -> [Dots<P>; M] {
    // SAFETY: whole blocks lie where `side` says, and a block's bytes at the activation's.
    unsafe {
        let start = activation.corrections[0];
        let mut dots = [[start; 2]; M];
        if F::HALVES || F::WHOLE_BYTE {
            for (dots, &(at, lane)) in dots.iter_mut().zip(&side.at) {
                let codes = F::codes::<P>(at, lane);
                *dots = if F::HALVES {
                    dot_halves::<P, F>(&codes, activation)
                } else {
                    // Two chains: there are no other tokens' to hide the latency.
                    let [low, high] = halves(&codes);
                    let a = activation.codes;
                    let second = F::dot::<P, _>(P::splat_i32(0), &high, a.add(16));
                    [P::add_i32(F::dot::<P, _>(start, &low, a), second); 2]
                };
            }
        } else {
            let sums = P::dot_parts::<M, _>(side, activation.codes, F::MOST);
            for (dots, sum) in dots.iter_mut().zip(sums) {
                *dots = [corrected::<P, F>(sum, start); 2];
            }
        }
        dots
    }
}
