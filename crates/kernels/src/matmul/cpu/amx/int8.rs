//! Products with block-quantised weights on AMX tiles, 16 tokens by 16 rows at a time.
//!
//! 1. A panel is expanded once for all tokens: codes minus their offset as signed bytes (the packed groups already are what a
//!    B tile wants), scales and minima as f32.
//! 2. For each tile of 16 tokens and each block of 32 columns one `tdpbssd` gives the exact integer sums of 16 x 16 outputs;
//!    they go through a 1 KiB scratch in L1 back to the vector registers, which scale and accumulate exactly as the lanes do.
//!
//! So the bits equal the lanes' (the integer sums are exact, the floating chain is the same), at about 1.3 times their rate: a
//! block of 32 columns is short, and the way from the tile to the vector registers bounds it (`docs/log.md` has the parts).

use std::{cell::RefCell, ops::Range};

use super::tiles;
use crate::{
    matmul::cpu::{Input, Product, formats::Format, integer::store},
    memory::Aligned,
    packed::BLOCK,
    simd::Simd,
};

/// Tokens of a tile.
const TILE: usize = 16;

/// Tiles: 0, 3 sums (16 x 16 i32); 1 A of 16 x 32 bytes; 2 B of 8 x 64; 4 A of 16 x 16; 5 B of 4 x 64.
static SHAPES: tiles::Shapes =
    tiles::Shapes::of(&[(16, 64), (16, 32), (8, 64), (16, 64), (16, 16), (4, 64)]);

/// A panel expanded for the tiles; one per thread, grown to the widest matrix once.
struct Expanded {
    /// 512 signed bytes a block.
    codes: Aligned<u8>,
    /// Per block 16 scales and 16 minima (or the scales of the two halves).
    scales: Aligned<f32>,
    /// Two tiles of sums.
    sums: Aligned<i32>,
}

impl Expanded {
    fn ensure(&mut self, blocks: usize) -> bool {
        if self.codes.len() >= blocks * 512 && !self.sums.is_empty() {
            return true;
        }
        let (Ok(codes), Ok(scales), Ok(sums)) = (
            Aligned::zeroed(blocks * 512),
            Aligned::zeroed(blocks * 32),
            Aligned::zeroed(512),
        ) else {
            return false;
        };
        *self = Self {
            codes,
            scales,
            sums,
        };
        true
    }
}

thread_local! {
    static EXPANDED: RefCell<Option<Expanded>> = const { RefCell::new(None) };
}

/// The whole tiles of 16 tokens of `input` for the given panels. Returns the tokens done (a multiple of 16; 0 without memory
/// for the scratch: the lanes then do them).
///
/// # Safety
/// As `matmul`; [`super::has_int8`] is true, `S` is AVX-512, and the input's rows are consecutive.
#[inline(always)]
pub(in super::super) unsafe fn panels<S: Simd, F: Format>(
    product: Product<'_>,
    input: Input<'_>,
    range: Range<usize>,
) -> usize {
    let tokens = input.tokens / TILE * TILE;
    if tokens == 0 {
        return 0;
    }
    let weights = product.weights;
    let blocks = weights.cols / BLOCK;
    let mut slot = EXPANDED.take().unwrap_or_else(empty);
    let ready = slot.ensure(blocks);
    if ready {
        // SAFETY: tiles are configured on this thread until `release`; panels and tokens are within the operands.
        unsafe {
            tiles::configure(&SHAPES);
            for panel in range {
                let at = weights.panel(product.first_panel + panel);
                expand::<S, F>(at, blocks, &slot);
                let mut first = 0;
                while first < tokens {
                    tile::<S, F>(&product, &input, panel, first, blocks, &slot);
                    first += TILE;
                }
            }
            tiles::release();
        }
    }
    EXPANDED.set(Some(slot));
    if ready { tokens } else { 0 }
}

fn empty() -> Expanded {
    let nothing = "an empty buffer needs no memory";
    Expanded {
        codes: Aligned::zeroed(0).expect(nothing),
        scales: Aligned::zeroed(0).expect(nothing),
        sums: Aligned::zeroed(0).expect(nothing),
    }
}

#[inline(always)]
unsafe fn expand<S: Simd, F: Format>(mut at: *const u8, blocks: usize, into: &Expanded) {
    let (codes, scales) = (into.codes.as_mut_pointer(), into.scales.as_mut_pointer());
    let mut block = 0;
    // SAFETY: the panel holds `blocks` blocks, `into` was grown to as many.
    unsafe {
        while block < blocks {
            let header = F::header::<S>(at, 0);
            at = at.add(F::HEADER_BYTES);
            for _ in 0..F::BLOCKS {
                for (g, &group) in F::codes::<S>(at, 0).iter().enumerate() {
                    let signed = S::sub_byte(group, F::CODE_OFFSET);
                    S::store_bytes(codes.add(block * 512 + g * 64), signed);
                }
                let [first, second] = F::scales::<S>(at, 0, header);
                S::store(scales.add(block * 32), first);
                S::store(scales.add(block * 32 + 16), second);
                at = at.add(F::BLOCK_BYTES);
                block += 1;
            }
        }
    }
}

/// 16 tokens by 16 rows.
#[inline(always)]
unsafe fn tile<S: Simd, F: Format>(
    product: &Product<'_>,
    input: &Input<'_>,
    panel: usize,
    first: usize,
    blocks: usize,
    expanded: &Expanded,
) {
    let sums = expanded.sums.as_mut_pointer();
    // SAFETY: as `panels`; `first + 16` tokens exist.
    unsafe {
        let mut acc = [S::splat(0.0); TILE];
        let start = input.quantised.row(first);
        let stride = crate::rows::QuantRows::row_bytes(input.quantised.cols);
        let (codes, scales, scaled_sums) = (start.codes(), start.scales(), start.scaled_sums());
        for block in 0..blocks {
            let a = codes.add(block * BLOCK).cast_const();
            let b = expanded
                .codes
                .as_mut_pointer()
                .add(block * 512)
                .cast_const();
            let first_scale = S::load(expanded.scales.as_mut_pointer().add(block * 32));
            let second = S::load(expanded.scales.as_mut_pointer().add(block * 32 + 16));
            if F::HALVES {
                tiles::product_16(a, stride, b, sums);
                tiles::product_16(a.add(16), stride, b.add(256), sums.add(256));
            } else {
                tiles::product_32(a, stride, b, sums.add(256 * (block % 2)));
            }
            let sums = sums.add(if F::HALVES { 0 } else { 256 * (block % 2) });
            for (t, y) in acc.iter_mut().enumerate() {
                let scale = S::splat(*scales.byte_add(t * stride).add(block));
                *y = S::fma(
                    S::to_f32(S::load_i32(sums.add(16 * t))),
                    S::mul(first_scale, scale),
                    *y,
                );
                if F::HALVES {
                    *y = S::fma(
                        S::to_f32(S::load_i32(sums.add(256 + 16 * t))),
                        S::mul(second, scale),
                        *y,
                    );
                }
                if F::MINIMA {
                    *y = S::fma(
                        second,
                        S::splat(*scaled_sums.byte_add(t * stride).add(block)),
                        *y,
                    );
                }
            }
        }
        for (t, &y) in acc.iter().enumerate() {
            store::<S>(product, first + t, panel, 0, y);
        }
    }
}
