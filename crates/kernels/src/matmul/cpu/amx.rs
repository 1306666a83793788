//! Products with block-quantised weights on AMX tiles, 16 tokens by 16 rows at a time.
//!
//! 1. A panel is expanded once for all tokens: codes minus their offset as signed bytes (the packed groups already are what a
//!    B tile wants), scales and minima as f32.
//! 2. For each tile of 16 tokens and each block of 32 columns one `tdpbssd` gives the exact integer sums of 16 x 16 outputs;
//!    they go through a 1 KiB scratch in L1 back to the vector registers, which scale and accumulate exactly as the lanes do.
//!
//! So the bits equal the lanes' (the integer sums are exact, the floating chain is the same), at about 1.3 times their rate: a
//! block of 32 columns is short, and the way from the tile to the vector registers bounds it (`docs/log.md` has the parts).
//!
//! Rust's AMX intrinsics are not stable; the six instructions are written as `asm!`. Source: Intel SDM, AMX; Linux
//! `arch_prctl(ARCH_REQ_XCOMP_PERM)`.

use std::{cell::RefCell, ops::Range};

use super::{Input, Product, formats::Format};
use crate::{memory::Aligned, packed::BLOCK, simd::Simd};

/// Tokens of a tile.
const TILE: usize = 16;

/// Whether the processor has AMX int8 and the system lets this process use it (asked once).
pub(super) fn is_available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        use std::sync::OnceLock;
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        *AVAILABLE.get_or_init(tiles::request)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

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
/// As `matmul`; [`is_available`] is true, `S` is AVX-512, and the input's rows are consecutive.
#[inline(always)]
pub(super) unsafe fn panels<S: Simd, F: Format>(
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
            tiles::configure();
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
            super::integer::store::<S>(product, first + t, panel, 0, y);
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    //! The instructions. Tiles: 0, 3 sums (16 x 16 i32); 1 A of 16 x 32 bytes; 2 B of 8 x 64; 4 A of 16 x 16; 5 B of 4 x 64.

    use std::arch::{asm, x86_64::__cpuid_count};

    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;

    pub(super) fn request() -> bool {
        let features = __cpuid_count(7, 0).edx;
        if features & (AMX_TILE | AMX_INT8) != AMX_TILE | AMX_INT8 {
            return false;
        }
        let answer: i64;
        // SAFETY: a system call that reads no memory of ours; rcx and r11 are declared as overwritten.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") SYS_ARCH_PRCTL => answer,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack)
            );
        }
        answer == 0
    }

    #[repr(C, align(64))]
    struct Config([u8; 64]);

    static CONFIG: Config = {
        let mut c = [0u8; 64];
        c[0] = 1; // palette
        let shapes = [(16, 64), (16, 32), (8, 64), (16, 64), (16, 16), (4, 64)];
        let mut i = 0;
        while i < shapes.len() {
            c[48 + i] = shapes[i].0;
            c[16 + 2 * i] = shapes[i].1;
            i += 1;
        }
        Config(c)
    };

    /// # Safety
    /// `request` answered true. [`release`] follows on this thread.
    #[inline(always)]
    pub(super) unsafe fn configure() {
        // SAFETY: the configuration is 64 valid bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly)) }
    }

    /// # Safety
    /// As `configure`.
    #[inline(always)]
    pub(super) unsafe fn release() {
        // SAFETY: no tile is in use after it.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }

    /// sums (16 x 16) = A (16 rows of 32 bytes, `stride` apart) times B (8 rows of 64 bytes).
    ///
    /// # Safety
    /// Configured; the operands have those sizes. The compiler keeps nothing in tiles, so none is declared.
    #[inline(always)]
    pub(super) unsafe fn product_32(a: *const i8, stride: usize, b: *const u8, sums: *mut i32) {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tileloadd tmm1, [{a} + {stride}*1]",
                "tileloadd tmm2, [{b} + {line}*1]",
                "tdpbssd tmm0, tmm1, tmm2",
                "tilestored [{sums} + {line}*1], tmm0",
                a = in(reg) a, b = in(reg) b, sums = in(reg) sums, stride = in(reg) stride, line = in(reg) 64usize,
                options(nostack)
            );
        }
    }

    /// As [`product_32`] for 16 columns: A rows of 16 bytes, B of 4 rows.
    ///
    /// # Safety
    /// As [`product_32`].
    #[inline(always)]
    pub(super) unsafe fn product_16(a: *const i8, stride: usize, b: *const u8, sums: *mut i32) {
        // SAFETY: the caller's contract.
        unsafe {
            asm!(
                "tilezero tmm3",
                "tileloadd tmm4, [{a} + {stride}*1]",
                "tileloadd tmm5, [{b} + {line}*1]",
                "tdpbssd tmm3, tmm4, tmm5",
                "tilestored [{sums} + {line}*1], tmm3",
                a = in(reg) a, b = in(reg) b, sums = in(reg) sums, stride = in(reg) stride, line = in(reg) 64usize,
                options(nostack)
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod tiles {
    //! Never reached: [`super::is_available`] is false here.
    pub(super) unsafe fn configure() {}
    pub(super) unsafe fn release() {}
    pub(super) unsafe fn product_32(_a: *const i8, _stride: usize, _b: *const u8, _sums: *mut i32) {
    }
    pub(super) unsafe fn product_16(_a: *const i8, _stride: usize, _b: *const u8, _sums: *mut i32) {
    }
}
