//! Products with block-quantised weights on the lanes: a panel's codes are unpacked once for several tokens.
//!
//! An output's chain over the blocks is the same in every form here, so one token has the bits that it has among many:
//!
//! - [`one_token`]: the panels' bytes in order, the sums in registers; memory bounds it. A thread walks through several parts of
//!   its share at once: more requests are in flight than the processor's prefetcher keeps for one stream.
//! - [`in_registers`]: sums of a tile of tokens in registers, for sets with 32 of them.
//! - [`in_l1`]: the processor's own width (half a panel on AVX2): a block's codes fill half the registers, and the sums of up to
//!   [`TOKENS`] tokens lie in L1, a load and a store for each block.

use super::{Panels, Product, formats::Format};
use crate::{
    packed::{BLOCK, PANEL_ROWS},
    rows::QuantRow,
    simd::{Lanes, Simd},
};

/// Tokens whose sums share an unpacked block in L1.
pub(super) const TOKENS: usize = 16;

/// One token, all panels of the share, in as many streams as the profile says.
#[inline(always)]
pub(super) unsafe fn one_token<S: Simd, F: Format>(args: &Panels<'_>, token: usize) {
    let panels = args.to - args.from;
    // SAFETY: the streams lie within the share.
    unsafe {
        let done = match args.profile.matvec_streams {
            4.. => streams::<S, F, 4>(args, token, args.from, panels / 4),
            2..4 => streams::<S, F, 2>(args, token, args.from, panels / 2),
            _ => 0,
        };
        streams::<S, F, 1>(args, token, args.from + done, panels - done);
    }
}

/// `N` streams of `length` panels each, side by side from panel `from` on. Returns the panels done.
#[inline(always)]
unsafe fn streams<S: Simd, F: Format, const N: usize>(
    args: &Panels<'_>,
    token: usize,
    from: usize,
    length: usize,
) -> usize {
    let weights = args.product.weights;
    let blocks = weights.cols / BLOCK;
    let parts = PANEL_ROWS / S::Part::LANES;
    // SAFETY: panels stay within the matrix, the token within the input.
    unsafe {
        let input = args.input.quantised.row(args.input.row(token));
        let apart = length * weights.panel_bytes;
        for panel in from..from + length {
            let mut at = args.panel(panel);
            let mut sums = [[S::Part::splat(0.0); MOST_PARTS]; N];
            let mut block = 0;
            while block < blocks {
                let super_block = at;
                at = at.add(F::HEADER_BYTES);
                for _ in 0..F::BLOCKS {
                    for (n, sums) in sums.iter_mut().enumerate() {
                        let (super_block, at) = (super_block.add(n * apart), at.add(n * apart));
                        if args.profile.prefetch_bytes > 0 {
                            prefetch::<S>(
                                at.wrapping_add(args.profile.prefetch_bytes),
                                F::BLOCK_BYTES,
                            );
                        }
                        for (part, sum) in sums.iter_mut().take(parts).enumerate() {
                            let lane = part * S::Part::LANES;
                            let header = F::header::<S::Part>(super_block, lane);
                            let weights = Block::load::<F>(at, lane, header);
                            let dots = weights.dot_in_two_chains::<F>(input, block);
                            *sum = weights.scaled::<F>(dots, input, block, *sum);
                        }
                    }
                    at = at.add(F::BLOCK_BYTES);
                    block += 1;
                }
            }
            for (n, sums) in sums.iter().enumerate() {
                for (part, &y) in sums.iter().take(parts).enumerate() {
                    let panel = panel + n * length;
                    store::<S::Part>(
                        &args.product,
                        args.input.out_row(token),
                        panel,
                        part * S::Part::LANES,
                        y,
                    );
                }
            }
        }
    }
    N * length
}

/// Vectors of a panel's rows in the narrowest width.
const MOST_PARTS: usize = 2;

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
                    let weights = Block::<S>::load::<F>(at, 0, header);
                    for t in 0..T {
                        let sum = weights.dot::<F>(inputs[t], block);
                        sums[t] = weights.scaled::<F>(sum, inputs[t], block, sums[t]);
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

/// Sums of `TOKENS` tokens and half a panel or a whole one.
#[repr(align(64))]
struct Sums([f32; TOKENS * PANEL_ROWS]);

/// `count` tokens from `first` (at most [`TOKENS`]), all panels of the share. Returns `count`.
#[inline(always)]
pub(super) unsafe fn in_l1<P: Lanes, F: Format>(
    args: &Panels<'_>,
    first: usize,
    count: usize,
) -> usize {
    let weights = args.product.weights;
    let blocks = weights.cols / BLOCK;
    let mut sums = Sums([0.0; TOKENS * PANEL_ROWS]);
    // SAFETY: panels stay within the matrix, tokens within the input, `count` within the sums.
    unsafe {
        let mut inputs = [args.input.quantised.row(0); TOKENS];
        for (t, row) in inputs.iter_mut().take(count).enumerate() {
            *row = args.input.quantised.row(args.input.row(first + t));
        }
        for panel in args.from..args.to {
            // A panel is read once for each of its parts: what is asked for beside is the next one, evenly.
            let mut next = args.panel(panel).wrapping_add(weights.panel_bytes);
            for lane in (0..PANEL_ROWS).step_by(P::LANES) {
                sums.0[..count * P::LANES].fill(0.0);
                let mut at = args.panel(panel);
                let mut block = 0;
                while block < blocks {
                    let header = F::header::<P>(at, lane);
                    at = at.add(F::HEADER_BYTES);
                    for _ in 0..F::BLOCKS {
                        if args.profile.prefetch_bytes > 0 {
                            prefetch::<P>(next, F::BLOCK_BYTES * P::LANES / PANEL_ROWS);
                            next = next.wrapping_add(F::BLOCK_BYTES * P::LANES / PANEL_ROWS);
                        }
                        let weights = Block::<P>::load::<F>(at, lane, header);
                        let mut slot = sums.0.as_mut_ptr();
                        for &input in inputs.iter().take(count) {
                            let sum = weights.dot::<F>(input, block);
                            P::store(slot, weights.scaled::<F>(sum, input, block, P::load(slot)));
                            slot = slot.add(P::LANES);
                        }
                        at = at.add(F::BLOCK_BYTES);
                        block += 1;
                    }
                }
                for t in 0..count {
                    let y = P::load(sums.0.as_ptr().add(t * P::LANES));
                    store::<P>(&args.product, args.input.out_row(first + t), panel, lane, y);
                }
            }
        }
    }
    count
}

/// The cache lines of the `bytes` at `p`.
#[inline(always)]
unsafe fn prefetch<S: Lanes>(p: *const u8, bytes: usize) {
    let mut line = 0;
    while line < bytes {
        // SAFETY: a prefetch may name any address.
        unsafe { S::prefetch(p.wrapping_add(line)) };
        line += 64;
    }
}

/// 32 columns of some rows, unpacked.
#[derive(Clone, Copy)]
struct Block<P: Lanes> {
    codes: [P::B; 8],
    scales: [P::F; 2],
}

/// The integer sums of 32 columns, or of each half of 16.
type Dots<P> = [<P as Lanes>::I; 2];

impl<P: Lanes> Block<P> {
    #[inline(always)]
    unsafe fn load<F: Format>(at: *const u8, lane: usize, header: F::Header<P>) -> Self {
        // SAFETY: a whole block lies at `at`.
        unsafe {
            Self {
                codes: F::codes::<P>(at, lane),
                scales: F::scales::<P>(at, lane, header),
            }
        }
    }

    #[inline(always)]
    fn halves(&self) -> [[P::B; 4]; 2] {
        let c = &self.codes;
        [[c[0], c[1], c[2], c[3]], [c[4], c[5], c[6], c[7]]]
    }

    /// Sums of each half of 16, where the format has a scale for each.
    #[inline(always)]
    unsafe fn dot_halves<F: Format>(&self, input: QuantRow, block: usize) -> Dots<P> {
        let [low, high] = self.halves();
        // SAFETY: the input has the block.
        unsafe {
            let a = input.codes().add(block * BLOCK).cast_const();
            let sums = input.minus_8_half_sums().add(2 * block);
            [
                F::dot::<P, _>(F::correction::<P>(*sums), &low, a),
                F::dot::<P, _>(F::correction::<P>(*sums.add(1)), &high, a.add(16)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn start<F: Format>(input: QuantRow, block: usize) -> P::I {
        // SAFETY: the input has the block.
        unsafe {
            if F::OFFSET {
                F::correction::<P>(*input.minus_8_sums().add(block))
            } else {
                P::splat_i32(0)
            }
        }
    }

    /// One chain: other tokens' chains hide its latency.
    #[inline(always)]
    unsafe fn dot<F: Format>(&self, input: QuantRow, block: usize) -> Dots<P> {
        // SAFETY: the input has the block.
        unsafe {
            if F::HALVES {
                return self.dot_halves::<F>(input, block);
            }
            let a = input.codes().add(block * BLOCK).cast_const();
            let sum = F::dot::<P, _>(Self::start::<F>(input, block), &self.codes, a);
            [sum, sum]
        }
    }

    /// Two chains for a token alone. The sums are exact either way.
    #[inline(always)]
    unsafe fn dot_in_two_chains<F: Format>(&self, input: QuantRow, block: usize) -> Dots<P> {
        // SAFETY: the input has the block.
        unsafe {
            if F::HALVES {
                return self.dot_halves::<F>(input, block);
            }
            let [low, high] = self.halves();
            let a = input.codes().add(block * BLOCK).cast_const();
            let zero = P::splat_i32(0);
            let sum = P::add_i32(
                F::dot::<P, _>(Self::start::<F>(input, block), &low, a),
                F::dot::<P, _>(zero, &high, a.add(16)),
            );
            [sum, sum]
        }
    }

    /// `y` plus the sums in the weights' and the activations' scales, plus the minimum's share.
    #[inline(always)]
    unsafe fn scaled<F: Format>(
        &self,
        sums: Dots<P>,
        input: QuantRow,
        block: usize,
        y: P::F,
    ) -> P::F {
        // SAFETY: the input has the block.
        unsafe {
            let scale = P::splat(*input.scales().add(block));
            let mut y = P::fma(P::to_f32(sums[0]), P::mul(self.scales[0], scale), y);
            if F::HALVES {
                y = P::fma(P::to_f32(sums[1]), P::mul(self.scales[1], scale), y);
            }
            if F::MINIMA {
                y = P::fma(self.scales[1], P::splat(*input.scaled_sums().add(block)), y);
            }
            y
        }
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
