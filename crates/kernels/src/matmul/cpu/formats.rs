//! How each integer format's packed blocks are read: see `packed` for the layout.

use crate::{packed::IntLayout, simd::Lanes};
use ops::Dtype;

/// A packed integer format. `lane` is the first row of the panel that is read: a vector may be narrower than a panel.
pub(super) trait Format {
    /// d and d_min of the rows, or nothing.
    type Header<S: Lanes>: Copy;
    /// Its layout.
    const LAYOUT: IntLayout;
    /// Blocks of 32 columns behind one header.
    const BLOCKS: usize = Self::LAYOUT.blocks_per_super;
    const HEADER_BYTES: usize = Self::LAYOUT.header_bytes;
    const BLOCK_BYTES: usize = Self::LAYOUT.block_bytes();
    /// Whether codes have an offset, corrected by the activations' sum.
    const OFFSET: bool = Self::CODE_OFFSET != 0;
    /// What is subtracted from a code before scaling.
    const CODE_OFFSET: u8;
    /// Largest code.
    const MOST: u8;
    /// Whether there is a minimum per block.
    const MINIMA: bool = false;
    /// Whether each half of 16 columns has its own scale.
    const HALVES: bool = false;
    /// Whether codes fill the byte, so that [`Lanes::dot`] has no room for their sums.
    const WHOLE_BYTE: bool = Self::MOST == u8::MAX;

    unsafe fn header<S: Lanes>(at: *const u8, lane: usize) -> Self::Header<S>;
    /// Scale and minimum, or the scales of the two halves.
    unsafe fn scales<S: Lanes>(at: *const u8, lane: usize, header: Self::Header<S>) -> [S::F; 2];
    /// Codes of the 8 groups.
    unsafe fn codes<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8];
    /// -offset * sum from -8 * sum.
    #[inline(always)]
    fn correction(minus_8_sum: i32) -> i32 {
        // Offsets are 8, 16, 32 and 128.
        i32::from(Self::CODE_OFFSET) / 8 * minus_8_sum
    }
    /// The products of `4 N` codes, less the offset, with the bytes at `a`; `correction` is [`Format::correction`] of their sum.
    #[inline(always)]
    unsafe fn dot<S: Lanes, const N: usize>(
        correction: S::I,
        codes: &[S::B; N],
        a: *const i8,
    ) -> S::I {
        // SAFETY: activations are within -127..=127; `a` holds 4 N.
        unsafe {
            if Self::WHOLE_BYTE {
                S::dot_less_128(correction, codes, a)
            } else {
                S::dot(correction, codes, a, Self::MOST)
            }
        }
    }
}

const fn layout(dtype: Dtype) -> IntLayout {
    match IntLayout::of(dtype) {
        Some(layout) => layout,
        None => panic!("an integer format"),
    }
}

#[inline(always)]
unsafe fn nibbles<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8] {
    // SAFETY: 256 bytes of codes at `at`.
    unsafe {
        let at = at.add(4 * lane);
        let mut out = [S::load_bytes(at); 8];
        for g in 0..4 {
            let both = S::load_bytes(at.add(64 * g));
            out[g] = S::and_byte(both, 0x0f);
            out[g + 4] = S::and_byte(S::shr16::<4>(both), 0x0f);
        }
        out
    }
}

/// Adds bit 4 from the plane: bit g of its byte belongs to group g.
#[inline(always)]
unsafe fn fifth_bits<S: Lanes>(mut codes: [S::B; 8], plane: *const u8) -> [S::B; 8] {
    // SAFETY: 64 bytes of plane.
    unsafe {
        let bits = S::load_bytes(plane);
        let shifted = [
            S::shl16::<4>(bits),
            S::shl16::<3>(bits),
            S::shl16::<2>(bits),
            S::shl16::<1>(bits),
            bits,
            S::shr16::<1>(bits),
            S::shr16::<2>(bits),
            S::shr16::<3>(bits),
        ];
        for g in 0..8 {
            codes[g] = S::or_bytes(codes[g], S::and_byte(shifted[g], 0x10));
        }
        codes
    }
}

/// Adds bits 4 and 5 from two planes: pair g % 4 of plane g / 4.
#[inline(always)]
unsafe fn bit_pairs<S: Lanes>(mut codes: [S::B; 8], planes: *const u8) -> [S::B; 8] {
    // SAFETY: 128 bytes of planes.
    unsafe {
        for half in 0..2 {
            let bits = S::load_bytes(planes.add(64 * half));
            let shifted = [
                S::shl16::<4>(bits),
                S::shl16::<2>(bits),
                bits,
                S::shr16::<2>(bits),
            ];
            for (i, &pair) in shifted.iter().enumerate() {
                codes[4 * half + i] = S::or_bytes(codes[4 * half + i], S::and_byte(pair, 0x30));
            }
        }
        codes
    }
}

/// A format with its scale (and minimum) as f16 in front of the codes.
macro_rules! plain_format {
    ($name:ident, $dtype:expr, minima: $minima:expr, offset: $offset:expr, most: $most:expr, $codes:expr) => {
        pub(super) struct $name;

        impl Format for $name {
            type Header<S: Lanes> = ();
            const LAYOUT: IntLayout = layout($dtype);
            const CODE_OFFSET: u8 = $offset;
            const MOST: u8 = $most;
            const MINIMA: bool = $minima;

            #[inline(always)]
            unsafe fn header<S: Lanes>(_at: *const u8, _lane: usize) {}
            #[inline(always)]
            unsafe fn scales<S: Lanes>(at: *const u8, lane: usize, _header: ()) -> [S::F; 2] {
                // SAFETY: 32 bytes of scales, and as many of minima where the format has them.
                unsafe {
                    let at = at.add(2 * lane);
                    let scale = S::load_f16(at.cast());
                    [
                        scale,
                        if $minima {
                            S::load_f16(at.add(32).cast())
                        } else {
                            scale
                        },
                    ]
                }
            }
            #[inline(always)]
            unsafe fn codes<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8] {
                const SCALES: usize = layout($dtype).scale_bytes;
                // SAFETY: the codes follow the scales.
                unsafe { $codes(at.add(SCALES), lane) }
            }
        }
    };
}

#[inline(always)]
unsafe fn nibbles_and_fifth<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8] {
    // SAFETY: 256 bytes of codes, 64 of plane.
    unsafe { fifth_bits::<S>(nibbles::<S>(at, lane), at.add(256 + 4 * lane)) }
}

plain_format!(Q4_0, Dtype::Q4_0, minima: false, offset: 8, most: 15, nibbles::<S>);
plain_format!(Q4_1, Dtype::Q4_1, minima: true, offset: 0, most: 15, nibbles::<S>);
plain_format!(Q5_0, Dtype::Q5_0, minima: false, offset: 16, most: 31, nibbles_and_fifth::<S>);
plain_format!(Q5_1, Dtype::Q5_1, minima: true, offset: 0, most: 31, nibbles_and_fifth::<S>);

/// 8-bit codes over the whole byte, offset 128.
pub(super) struct Q8_0;

impl Format for Q8_0 {
    type Header<S: Lanes> = ();
    const LAYOUT: IntLayout = layout(Dtype::Q8_0);
    const CODE_OFFSET: u8 = 128;
    const MOST: u8 = u8::MAX;

    #[inline(always)]
    unsafe fn header<S: Lanes>(_at: *const u8, _lane: usize) {}
    #[inline(always)]
    unsafe fn scales<S: Lanes>(at: *const u8, lane: usize, _header: ()) -> [S::F; 2] {
        // SAFETY: 32 bytes of scales.
        unsafe { [S::load_f16(at.add(2 * lane).cast()); 2] }
    }
    #[inline(always)]
    unsafe fn codes<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8] {
        // SAFETY: 512 bytes of codes behind the scales.
        unsafe {
            let at = at.add(32 + 4 * lane);
            let mut out = [S::load_bytes(at); 8];
            for (g, codes) in out.iter_mut().enumerate() {
                *codes = S::load_bytes(at.add(64 * g));
            }
            out
        }
    }
}

/// A format of super-blocks with d, d_min and byte-sized scales and minima.
macro_rules! super_format {
    ($name:ident, $dtype:expr, most: $most:expr, $codes:expr) => {
        pub(super) struct $name;

        impl Format for $name {
            type Header<S: Lanes> = [S::F; 2];
            const LAYOUT: IntLayout = layout($dtype);
            const CODE_OFFSET: u8 = 0;
            const MOST: u8 = $most;
            const MINIMA: bool = true;

            #[inline(always)]
            unsafe fn header<S: Lanes>(at: *const u8, lane: usize) -> [S::F; 2] {
                // SAFETY: 64 bytes of header.
                unsafe {
                    let at = at.add(2 * lane);
                    [
                        S::load_f16(at.cast()),
                        S::sub(S::splat(0.0), S::load_f16(at.add(32).cast())),
                    ]
                }
            }
            #[inline(always)]
            unsafe fn scales<S: Lanes>(at: *const u8, lane: usize, header: [S::F; 2]) -> [S::F; 2] {
                // SAFETY: 16 bytes of scales, 16 of minima.
                unsafe {
                    let at = at.add(lane);
                    [
                        S::mul(header[0], S::load_u8(at)),
                        S::mul(header[1], S::load_u8(at.add(16))),
                    ]
                }
            }
            #[inline(always)]
            unsafe fn codes<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8] {
                // SAFETY: the codes follow the 32 bytes of scales and minima.
                unsafe { $codes(at.add(32), lane) }
            }
        }
    };
}

super_format!(Q4K, Dtype::Q4K, most: 15, nibbles::<S>);
super_format!(Q5K, Dtype::Q5K, most: 31, nibbles_and_fifth::<S>);

/// 6-bit codes, offset 32, a signed scale for each half of 16 columns.
pub(super) struct Q6K;

impl Format for Q6K {
    type Header<S: Lanes> = S::F;
    const LAYOUT: IntLayout = layout(Dtype::Q6K);
    const CODE_OFFSET: u8 = 32;
    const MOST: u8 = 63;
    const HALVES: bool = true;

    #[inline(always)]
    unsafe fn header<S: Lanes>(at: *const u8, lane: usize) -> S::F {
        // SAFETY: 32 bytes of header.
        unsafe { S::load_f16(at.add(2 * lane).cast()) }
    }
    #[inline(always)]
    unsafe fn scales<S: Lanes>(at: *const u8, lane: usize, d: S::F) -> [S::F; 2] {
        // SAFETY: two times 16 signed scales.
        unsafe {
            let at = at.add(lane);
            [
                S::mul(d, S::load_i8(at.cast())),
                S::mul(d, S::load_i8(at.add(16).cast())),
            ]
        }
    }
    #[inline(always)]
    unsafe fn codes<S: Lanes>(at: *const u8, lane: usize) -> [S::B; 8] {
        // SAFETY: the codes follow the 32 bytes of scales, the planes the codes.
        unsafe { bit_pairs::<S>(nibbles::<S>(at.add(32), lane), at.add(32 + 256 + 4 * lane)) }
    }
}
