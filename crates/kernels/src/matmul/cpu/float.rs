//! Products with float weights: a register tile of P panels by T tokens, one fused multiply-add per column and output.
//!
//! A few tokens widen the weights as they read them. Many go over a block of columns that was widened into L1 once for all of them, and
//! keep their sums beside it between blocks. An output's chain over the columns is the same in both.

use std::{marker::PhantomData, ops::Range};

use super::{Panels, integer::store};
use crate::{
    packed::PANEL_ROWS,
    simd::{Kernel, Simd},
};

/// A stored float format.
pub(super) trait Element {
    /// Bytes of one weight.
    const BYTES: usize;
    /// The 16 weights of the first or the second of the two columns at `p`.
    unsafe fn column<S: Simd>(p: *const u8, second: bool) -> S::F;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

impl Element for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn column<S: Simd>(p: *const u8, second: bool) -> S::F {
        // SAFETY: the caller's pointer holds the column.
        unsafe { S::load(p.cast::<f32>().add(PANEL_ROWS * usize::from(second))) }
    }
}

impl Element for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn column<S: Simd>(p: *const u8, second: bool) -> S::F {
        // SAFETY: the caller's pointer holds the column.
        unsafe { S::load_f16(p.cast::<u16>().add(PANEL_ROWS * usize::from(second))) }
    }
}

impl Element for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn column<S: Simd>(p: *const u8, second: bool) -> S::F {
        // SAFETY: the caller's pointer holds both columns, or the first and the padding behind it.
        unsafe {
            if second {
                S::load_bf16_second(p.cast())
            } else {
                S::load_bf16_first(p.cast())
            }
        }
    }
}

/// Tokens whose sums lie in L1 at a time; whole tiles of both widths.
const TOKENS: usize = 96;
/// Tokens of the widest tile.
const MOST_TOKENS: usize = 12;
/// Panels at a time where there are many tokens.
const MOST_PANELS: usize = 2;
/// Widened weights in L1.
const WEIGHTS: usize = 5120;

/// Sums of tokens and panels: 16 for each panel of each token.
#[repr(align(64))]
struct Sums([f32; TOKENS * MOST_PANELS * PANEL_ROWS]);

#[repr(align(64))]
struct Widened([f32; WEIGHTS]);

/// Where tokens' inputs begin; behind them the last one's again, for tiles that are not full.
type Inputs = [*const f32; TOKENS];

/// # Safety
/// The input has the tokens, at least one.
#[inline(always)]
unsafe fn inputs(args: &Panels<'_>, tokens: Range<usize>) -> Inputs {
    let mut inputs = [std::ptr::null(); TOKENS];
    let whole = tokens.len().next_multiple_of(MOST_TOKENS);
    for (t, input) in inputs[..whole].iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        *input = unsafe {
            args.input
                .plain
                .row(args.input.row((tokens.start + t).min(tokens.end - 1)))
        };
    }
    inputs
}

/// All tokens, all panels of the share: a function of its own, so that it is compiled beside this module's.
pub(super) struct Floats<'p, 'a, E> {
    pub(super) panels: &'p Panels<'a>,
    pub(super) element: PhantomData<E>,
}

impl<E: Element> Kernel for Floats<'_, '_, E> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `matmul`.
        unsafe { panels::<S, E>(self.panels) }
    }
}

/// Tiles have as many sums as there are registers for, beside a column's weights and a token's value.
#[inline(always)]
unsafe fn panels<S: Simd, E: Element>(args: &Panels<'_>) {
    let tokens = args.input.tokens;
    if tokens == 0 {
        return;
    }
    let mut sums = Sums([0.0; TOKENS * MOST_PANELS * PANEL_ROWS]);
    // SAFETY: token ranges stay below `tokens`.
    unsafe {
        match tokens {
            // Several panels hide the latency of few tokens' chains.
            1 => few::<S, E, 1, 4>(args, &mut sums),
            2 => few::<S, E, 2, 2>(args, &mut sums),
            3..=4 => few::<S, E, 4, 1>(args, &mut sums),
            5..=6 => few::<S, E, 6, 1>(args, &mut sums),
            _ => {
                let mut widened = Widened([0.0; WEIGHTS]);
                for first in (0..tokens).step_by(TOKENS) {
                    let some = first..tokens.min(first + TOKENS);
                    if S::MANY_REGISTERS {
                        many::<S, E, 12, 2>(args, some, &mut widened, &mut sums);
                    } else {
                        many::<S, E, 6, 1>(args, some, &mut widened, &mut sums);
                    }
                }
            }
        }
    }
}

/// At most `T` tokens, `P` panels at a time.
#[inline(always)]
unsafe fn few<S: Simd, E: Element, const T: usize, const P: usize>(
    args: &Panels<'_>,
    sums: &mut Sums,
) {
    let mut panel = args.from;
    // SAFETY: panels stay below `to`.
    unsafe {
        let inputs = inputs(args, 0..args.input.tokens);
        while panel + P <= args.to {
            whole::<S, E, T, P>(args, panel, &inputs, sums);
            panel += P;
        }
        while panel < args.to {
            whole::<S, E, T, 1>(args, panel, &inputs, sums);
            panel += 1;
        }
    }
}

/// At most `T` tokens with all columns of `P` panels.
#[inline(always)]
unsafe fn whole<S: Simd, E: Element, const T: usize, const P: usize>(
    args: &Panels<'_>,
    panel: usize,
    inputs: &Inputs,
    sums: &mut Sums,
) {
    const { assert!(T * P <= TOKENS * MOST_PANELS) }
    let (tokens, weights) = (0..args.input.tokens, args.product.weights);
    sums.0[..T * P * PANEL_ROWS].fill(0.0);
    // SAFETY: `P` panels from `panel` on exist.
    unsafe {
        let block = Block::<P> {
            at: args.panel(panel),
            apart: weights.panel_bytes,
            columns: 0..weights.cols,
        };
        tile::<S, E, T, P>(block, inputs.as_ptr(), sums.0.as_mut_ptr());
        give::<S, P>(args, panel, tokens, sums);
    }
}

/// `tokens` (at most [`TOKENS`]) in tiles of `T`, `P` panels at a time.
#[inline(always)]
unsafe fn many<S: Simd, E: Element, const T: usize, const P: usize>(
    args: &Panels<'_>,
    tokens: Range<usize>,
    widened: &mut Widened,
    sums: &mut Sums,
) {
    const { assert!(TOKENS.is_multiple_of(T) && P <= MOST_PANELS) }
    let mut panel = args.from;
    // SAFETY: panels stay below `to`.
    unsafe {
        let inputs = inputs(args, tokens.clone());
        while panel + P <= args.to {
            by_blocks::<S, E, T, P>(args, panel, tokens.clone(), &inputs, widened, sums);
            panel += P;
        }
        while panel < args.to {
            by_blocks::<S, E, T, 1>(args, panel, tokens.clone(), &inputs, widened, sums);
            panel += 1;
        }
    }
}

#[inline(always)]
unsafe fn by_blocks<S: Simd, E: Element, const T: usize, const P: usize>(
    args: &Panels<'_>,
    panel: usize,
    tokens: Range<usize>,
    inputs: &Inputs,
    widened: &mut Widened,
    sums: &mut Sums,
) {
    let weights = args.product.weights;
    // Even blocks: a short one would be mostly its beginning and end.
    let blocks = weights.cols.div_ceil(WEIGHTS / (P * PANEL_ROWS));
    let most = weights.cols.div_ceil(blocks).next_multiple_of(2);
    sums.0[..TOKENS * P * PANEL_ROWS].fill(0.0);
    // SAFETY: the panels exist; there is room for `P` times `most` columns in `widened`; tiles round `tokens` up to whole
    // ones at most, for which there is room in `sums`.
    unsafe {
        for first in (0..weights.cols).step_by(most) {
            let columns = first..weights.cols.min(first + most);
            for p in 0..P {
                let from = args.panel(panel + p).add(first * PANEL_ROWS * E::BYTES);
                let to = widened.0.as_mut_ptr().add(p * most * PANEL_ROWS);
                for pair in 0..columns.len().div_ceil(2) {
                    let from = from.add(pair * 2 * PANEL_ROWS * E::BYTES);
                    let to = to.add(pair * 2 * PANEL_ROWS);
                    S::store(to, E::column::<S>(from, false));
                    if 2 * pair + 1 < columns.len() {
                        S::store(to.add(PANEL_ROWS), E::column::<S>(from, true));
                    }
                }
            }
            let mut done = 0;
            while done < tokens.len() {
                let block = Block::<P> {
                    at: widened.0.as_ptr().cast(),
                    apart: most * PANEL_ROWS * F32::BYTES,
                    columns: columns.clone(),
                };
                let inputs = inputs.as_ptr().add(done);
                let sums = sums.0.as_mut_ptr().add(done * P * PANEL_ROWS);
                done += match tokens.len() - done {
                    9.. if T == 12 => tile::<S, F32, T, P>(block, inputs, sums),
                    5.. if T == 12 => tile::<S, F32, 8, P>(block, inputs, sums),
                    5.. => tile::<S, F32, T, P>(block, inputs, sums),
                    3.. => tile::<S, F32, 4, P>(block, inputs, sums),
                    _ => tile::<S, F32, 2, P>(block, inputs, sums),
                };
            }
        }
        give::<S, P>(args, panel, tokens, sums);
    }
}

/// Some columns of `P` panels, `apart` bytes from one to the next.
struct Block<const P: usize> {
    at: *const u8,
    apart: usize,
    columns: Range<usize>,
}

/// Adds a block's products with `T` tokens to their `sums`. Returns `T`.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several register tiles at once"
)]
unsafe fn tile<S: Simd, E: Element, const T: usize, const P: usize>(
    block: Block<P>,
    inputs: *const *const f32,
    sums: *mut f32,
) -> usize {
    // SAFETY: the block has its columns, there are `T` inputs of them, and sums.
    unsafe {
        let mut acc = [[S::splat(0.0); P]; T];
        let mut rows = [std::ptr::null::<f32>(); T];
        for t in 0..T {
            rows[t] = (*inputs.add(t)).add(block.columns.start);
            for p in 0..P {
                acc[t][p] = S::load(sums.add((t * P + p) * PANEL_ROWS));
            }
        }
        let (mut at, mut col) = (block.at, 0);
        macro_rules! column {
            ($second:literal, $col:expr) => {
                let mut w = [S::splat(0.0); P];
                for (p, w) in w.iter_mut().enumerate() {
                    *w = E::column::<S>(at.add(p * block.apart), $second);
                }
                for t in 0..T {
                    let x = S::splat(*rows[t].add($col));
                    for p in 0..P {
                        acc[t][p] = S::fma(w[p], x, acc[t][p]);
                    }
                }
            };
        }
        let columns = block.columns.len();
        while col + 1 < columns {
            column!(false, col);
            column!(true, col + 1);
            at = at.add(2 * PANEL_ROWS * E::BYTES);
            col += 2;
        }
        if col < columns {
            column!(false, col);
        }
        for t in 0..T {
            for p in 0..P {
                S::store(sums.add((t * P + p) * PANEL_ROWS), acc[t][p]);
            }
        }
    }
    T
}

/// Writes the sums of `tokens` and `P` panels from `panel` on.
#[inline(always)]
unsafe fn give<S: Simd, const P: usize>(
    args: &Panels<'_>,
    panel: usize,
    tokens: Range<usize>,
    sums: &Sums,
) {
    for (t, token) in tokens.enumerate() {
        for p in 0..P {
            // SAFETY: the sums were made; the output has the row.
            unsafe {
                let y = S::load(sums.0.as_ptr().add((t * P + p) * PANEL_ROWS));
                let token = args.input.out_row(token);
                store::<S>(&args.product, token, panel + p, 0, y);
            }
        }
    }
}
