//! Products with BF16 weights on AMX tiles. Each input is the sum of two bfloat16, which keep 17 bits of its significand; both are
//! multiplied with the weights as they lie, exactly, and summed in f32 by the tiles (in an order of theirs, subnormals as zero).
//!
//! A thread rounds the inputs of some tokens into its own memory, for all of its panels, and then takes 32 tokens by 2 panels at a
//! time: four tiles of sums, of which the last repeat others where there is only one group of 16 tokens or one panel. So an output's
//! chain is the same in any company, and one token takes this way too.

use std::{cell::RefCell, ops::Range};

use super::tiles;
use crate::{
    matmul::cpu::{
        Input, Product,
        integer::{prefetch, store},
    },
    memory::Aligned,
    packed::{BLOCK, PANEL_ROWS},
    simd::Simd,
};

/// Tokens of a tile.
const TILE: usize = 16;
/// Bytes of a tile: 16 tokens by 32 columns of one part, or 32 columns of a panel.
const TILE_BYTES: usize = 1024;
/// Bytes of rounded inputs that stay in the second cache.
const ROUNDED: usize = 512 << 10;

static SHAPES: tiles::Shapes = tiles::Shapes::of(&[(16, 64); 8]);

thread_local! {
    /// Rounded inputs: for each 16 tokens and 32 columns a tile of the first parts and one of the second. At least [`SUMS`] before them.
    static ROUNDED_INPUTS: RefCell<Option<Aligned<u8>>> = const { RefCell::new(None) };
}

/// Bytes of four tiles of sums.
const SUMS: usize = 4 * TILE_BYTES;

/// All tokens of `input` for the given panels. Returns whether they are done: not without memory for the
/// rounded inputs.
///
/// # Safety
/// As `matmul` with weights for which [`splits`](crate::matmul::splits); [`super::has_bf16`] is true and `S` is AVX-512.
#[inline(always)]
pub(in super::super) unsafe fn panels<S: Simd>(
    product: &Product<'_>,
    input: &Input<'_>,
    range: Range<usize>,
    prefetch_bytes: usize,
) -> bool {
    let cols = product.weights.cols;
    let group_bytes = cols / BLOCK * 2 * TILE_BYTES;
    let groups = (ROUNDED / group_bytes.max(1))
        .clamp(2, 16)
        .next_multiple_of(2);
    let groups = groups.min(input.tokens.div_ceil(TILE));
    let mut memory = ROUNDED_INPUTS.take();
    let wanted = SUMS + groups * group_bytes;
    if memory.as_ref().is_none_or(|m| m.len() < wanted) {
        memory = Aligned::zeroed(wanted).ok();
    }
    let Some(memory) = memory else { return false };
    let sums = memory.as_mut_pointer();
    // SAFETY: `wanted` bytes: the sums, then the groups; tiles are configured on this thread until `release`.
    unsafe {
        let rounded = sums.add(SUMS);
        tiles::configure(&SHAPES);
        for first in (0..input.tokens).step_by(groups * TILE) {
            let tokens = first..input.tokens.min(first + groups * TILE);
            for token in tokens.clone() {
                round::<S>(input, token, token - first, cols, rounded);
            }
            for panel in range.clone().step_by(2) {
                let panels = [panel, (panel + 1).min(range.end - 1)];
                for group in tokens.clone().step_by(2 * TILE) {
                    let two = group..tokens.end.min(group + 2 * TILE);
                    let at = rounded.add((group - first) / TILE * group_bytes);
                    // The first tokens of a pass over the panels bring the weights for the others.
                    let ahead = if group == first { prefetch_bytes } else { 0 };
                    products::<S>(product, panels, two.len(), at, ahead, sums.cast());
                    give::<S>(product, input, panels, two, sums.cast());
                }
            }
        }
        tiles::release();
    }
    ROUNDED_INPUTS.set(Some(memory));
    true
}

/// Rounds token `token` of the input to row `row` of the groups at `to`.
#[inline(always)]
unsafe fn round<S: Simd>(input: &Input<'_>, token: usize, row: usize, cols: usize, to: *mut u8) {
    // SAFETY: the input has the token, the groups the row.
    unsafe {
        let from = input.plain.row(input.row(token));
        let group = to.add(row / TILE * (cols / BLOCK * 2 * TILE_BYTES));
        let line = group.add(row % TILE * 2 * BLOCK);
        for block in 0..cols / BLOCK {
            let line = line.add(block * 2 * TILE_BYTES);
            for half in 0..2 {
                let x = S::load(from.add(block * BLOCK + half * PANEL_ROWS));
                let at = line.add(half * 2 * PANEL_ROWS);
                let rest = S::sub(x, S::store_as_bf16(at.cast(), x));
                S::store_as_bf16(at.add(TILE_BYTES).cast(), rest);
            }
        }
    }
}

/// The sums of 32 tokens, of which `tokens` are wanted, with two panels: 16 tokens and a panel, the same and the other panel, then the
/// other tokens. Asks for the weights `ahead` bytes further on.
#[inline(always)]
unsafe fn products<S: Simd>(
    product: &Product<'_>,
    panels: [usize; 2],
    tokens: usize,
    inputs: *const u8,
    ahead: usize,
    sums: *mut f32,
) {
    let weights = product.weights;
    let blocks = weights.cols / BLOCK;
    let other = if tokens > TILE {
        blocks * 2 * TILE_BYTES
    } else {
        0
    };
    // SAFETY: the caller configured the tiles; the panels and the groups have the blocks, `sums` four tiles.
    unsafe {
        let panels = panels.map(|p| weights.panel(product.first_panel + p));
        tiles::zero_4();
        for block in 0..blocks {
            let a = inputs.add(block * 2 * TILE_BYTES);
            let b = panels.map(|p| p.add(block * TILE_BYTES));
            if ahead > 0 {
                for b in b {
                    prefetch::<S>(b.wrapping_add(ahead), TILE_BYTES);
                }
            }
            tiles::add_bf16_2_by_2([a, a.add(other)], b);
        }
        tiles::store_4(sums);
    }
}

/// Writes the outputs of two panels, or of one twice.
#[inline(always)]
unsafe fn give<S: Simd>(
    product: &Product<'_>,
    input: &Input<'_>,
    panels: [usize; 2],
    tokens: Range<usize>,
    sums: *const f32,
) {
    let different = if panels[0] == panels[1] { 1 } else { 2 };
    for (t, token) in tokens.enumerate() {
        for (p, &panel) in panels.iter().take(different).enumerate() {
            let tile = t / TILE * 2 + p;
            // SAFETY: four tiles of 16 rows of 16 sums; the output has the row.
            unsafe {
                let y = S::load(sums.add((tile * TILE + t % TILE) * PANEL_ROWS));
                store::<S>(product, input.out_row(token), panel, 0, y);
            }
        }
    }
}
