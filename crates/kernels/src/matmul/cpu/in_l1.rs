//! Products of several tokens where there are 16 registers. A block of a panel is unpacked into L1, and so are the sums of up to
//! [`TOKENS`] tokens, a load and a store for each block; the tokens' activations were gathered block by block before. The integer
//! sums of a few tokens with the whole panel grow side by side in registers ([`Lanes::dot_tile`]).
#![expect(
    clippy::needless_range_loop,
    reason = "constant indices into the registers of several parts at once"
)]

use std::marker::PhantomData;

use super::{
    Panels,
    activations::{Gathered, TOKENS},
    formats::Format,
    integer::{Dots, corrected, halves, prefetch, scaled, store},
};
use crate::{
    packed::{BLOCK, PANEL_ROWS},
    simd::{Kernel, Lanes, Simd},
};

/// Sums of `TOKENS` tokens and a panel.
#[repr(align(64))]
struct Sums([f32; TOKENS * PANEL_ROWS]);

/// `count` tokens from `first` (at most [`TOKENS`]), all panels of the share: a function of its own, so that it is compiled beside this
/// module's.
pub(super) struct InL1<'p, 'a, F> {
    pub(super) panels: &'p Panels<'a>,
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) format: PhantomData<F>,
}

impl<F: Format> Kernel for InL1<'_, '_, F> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (panels, first, count) = (self.panels, self.first, self.count);
        // SAFETY: the contract of `matmul`.
        unsafe {
            if S::Part::LANES == PANEL_ROWS {
                in_l1::<S::Part, F, 1>(panels, first, count);
            } else {
                in_l1::<S::Part, F, 2>(panels, first, count);
            }
        }
    }
}

/// Each panel in `M` parts.
#[inline(always)]
unsafe fn in_l1<P: Lanes, F: Format, const M: usize>(
    args: &Panels<'_>,
    first: usize,
    count: usize,
) {
    let weights = args.product.weights;
    let blocks = weights.cols / BLOCK;
    let mut sums = Sums([0.0; TOKENS * PANEL_ROWS]);
    // SAFETY: panels stay within the matrix, tokens within the input, `count` within the sums.
    unsafe {
        let gathered = Gathered::fill::<F>(&args.input, first, count);
        for panel in args.from..args.to {
            sums.0[..count * PANEL_ROWS].fill(0.0);
            let mut at = args.panel(panel);
            let mut block = 0;
            while block < blocks {
                let mut headers = [F::header::<P>(at, 0); M];
                for (m, header) in headers.iter_mut().enumerate() {
                    *header = F::header::<P>(at, m * P::LANES);
                }
                at = at.add(F::HEADER_BYTES);
                for _ in 0..F::BLOCKS {
                    if args.profile.prefetch_bytes > 0 {
                        prefetch::<P>(at.wrapping_add(weights.panel_bytes), F::BLOCK_BYTES);
                    }
                    let part = Parts::<P, M>::load::<F>(at, headers);
                    let mut t = 0;
                    while t < count {
                        let (tile, sums) = ((gathered, block, t), &mut sums);
                        t += match count - t {
                            3.. if F::MOST <= FOUR_BITS || F::WHOLE_BYTE || P::WIDE_SUMS => {
                                part.tokens::<F, 4>(tile, sums)
                            }
                            _ => part.tokens::<F, 2>(tile, sums),
                        };
                    }
                    at = at.add(F::BLOCK_BYTES);
                    block += 1;
                }
            }
            for t in 0..count {
                for m in 0..M {
                    let lane = m * P::LANES;
                    let y = P::load(sums.0.as_ptr().add(t * PANEL_ROWS + lane));
                    store::<P>(&args.product, args.input.out_row(first + t), panel, lane, y);
                }
            }
        }
    }
}

/// The largest code of four bits: of wider ones two kinds of sums are kept at a time, so for half as many tokens.
const FOUR_BITS: u8 = 15;

/// A block of a panel, in parts of the processor's width.
struct Parts<P: Lanes, const M: usize> {
    codes: [[P::B; 8]; M],
    /// What whole bytes are multiplied as.
    whole: [[[P::B; 8]; 2]; M],
    scales: [[P::F; 2]; M],
}

impl<P: Lanes, const M: usize> Parts<P, M> {
    #[inline(always)]
    unsafe fn load<F: Format>(at: *const u8, headers: [F::Header<P>; M]) -> Self {
        // SAFETY: a whole block lies at `at`.
        unsafe {
            let codes = F::codes::<P>(at, 0);
            let mut parts = Self {
                codes: [codes; M],
                whole: [[codes; 2]; M],
                scales: [F::scales::<P>(at, 0, headers[0]); M],
            };
            for m in 0..M {
                let lane = m * P::LANES;
                parts.codes[m] = F::codes::<P>(at, lane);
                parts.scales[m] = F::scales::<P>(at, lane, headers[m]);
                if F::WHOLE_BYTE {
                    parts.whole[m] = P::for_less_128(parts.codes[m]);
                }
            }
            parts
        }
    }

    /// `T` tokens of a gathered tile's block, from the given one on. Returns `T`. Tokens that the tile lacks have sums nobody reads.
    #[inline(always)]
    unsafe fn tokens<F: Format, const T: usize>(
        &self,
        (gathered, block, first): (Gathered, usize, usize),
        sums: &mut Sums,
    ) -> usize {
        // SAFETY: the tile has room for whole groups of tokens, and so have the sums.
        unsafe {
            let dots = self.dots::<F, T>(gathered, block, first);
            for (t, dots) in dots.iter().enumerate() {
                let token = gathered.activation::<P, F>(block, first + t);
                let [low, high] = token.corrections;
                for m in 0..M {
                    let at = (first + t) * PANEL_ROWS + m * P::LANES;
                    let sum = sums.0.as_mut_ptr().add(at);
                    let dots = if F::WHOLE_BYTE {
                        dots[m]
                    } else {
                        [
                            corrected::<P, F>(dots[m][0], low),
                            corrected::<P, F>(dots[m][1], high),
                        ]
                    };
                    let y = scaled::<P, F>(self.scales[m], dots, &token, P::load(sum));
                    P::store(sum, y);
                }
            }
        }
        T
    }

    /// The tokens' integer sums with each part; of whole bytes less the offset already.
    #[inline(always)]
    unsafe fn dots<F: Format, const T: usize>(
        &self,
        gathered: Gathered,
        block: usize,
        first: usize,
    ) -> [[Dots<P>; M]; T] {
        // SAFETY: the tile has the tokens, whose bytes lie 32 apart.
        unsafe {
            let a = gathered.activation::<P, F>(block, first).codes;
            let sums: [[[P::I; M]; T]; 2] = if F::HALVES {
                let mut parts = [[[self.codes[0][0]; 4]; M]; 2];
                for m in 0..M {
                    [parts[0][m], parts[1][m]] = halves(&self.codes[m]);
                }
                [
                    P::dot_tile::<M, 4, T>(&parts[0], a, F::MOST),
                    P::dot_tile::<M, 4, T>(&parts[1], a.add(16), F::MOST),
                ]
            } else if F::WHOLE_BYTE {
                let mut start = [P::splat_i32(0); T];
                for (t, start) in start.iter_mut().enumerate() {
                    [*start, _] = gathered.activation::<P, F>(block, first + t).corrections;
                }
                [P::dot_tile_less_128::<M, T>(start, &self.whole, a); 2]
            } else {
                [P::dot_tile::<M, 8, T>(&self.codes, a, F::MOST); 2]
            };
            let mut dots = [[[sums[0][0][0]; 2]; M]; T];
            for t in 0..T {
                for m in 0..M {
                    dots[t][m] = [sums[0][t][m], sums[1][t][m]];
                }
            }
            dots
        }
    }
}
