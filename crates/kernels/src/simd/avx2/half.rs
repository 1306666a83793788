//! Eight lanes in one ymm register: the width in which AVX2's sixteen registers hold a block's codes and its sums.
//!
//! There is no byte product with 32-bit sums here. `vpmaddubsw` sums pairs into 16 bits, and as long as no sum can overflow those
//! (which the largest code decides), pairs of several groups are added before one `vpmaddwd` widens them: for four-bit codes
//! 17 instructions for 32 columns instead of 24. All sums are exact, so the order does not matter.
//!
//! The order of instructions does: a product's chain is about 25 cycles long, and while an instruction waits it keeps one of the 64 or
//! so places of the processor's queue. Several chains side by side, step by step, wait less than one behind the other, and
//! [`in_order`] keeps the compiler from sorting them otherwise (`docs/log.md` has the figures).
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is a few intrinsics; the trait's contract (features present, pointers valid) is theirs"
)]

use std::arch::x86_64::*;

use crate::simd::{Lanes, Pairs};

/// AVX2, FMA, F16C: half of sixteen lanes. With AVX-VNNI, four products are added to 32 bits at once.
#[derive(Clone, Copy)]
pub(crate) struct Half<const VNNI: bool>;

pub(super) type Avx2Half = Half<false>;

/// Largest magnitude of a signed byte operand.
const MOST_BYTE: u32 = 127;

/// Groups whose 16-bit pair sums can be added without overflow, for codes of at most `most`.
#[inline(always)]
const fn groups_in_16_bits(most: u8) -> usize {
    i16::MAX as usize / (2 * most as usize * MOST_BYTE as usize)
}

/// The four bytes at `a` in every lane.
#[inline(always)]
unsafe fn four(a: *const i8) -> __m256i {
    _mm256_set1_epi32(a.cast::<i32>().read_unaligned())
}

/// The body once for each constant: loops of it are too long for the compiler to unroll, and an index that is not constant would put
/// the registers into memory.
macro_rules! unrolled {
    ($g:ident in $($i:literal)* => $body:block) => {
        $({
            let $g: usize = $i;
            $body
        })*
    };
}

/// Keeps what makes `x` before all later calls, and what reads it behind this one. Not an instruction.
#[inline(always)]
unsafe fn in_order(x: __m256i) {
    // An empty statement of a register's lower half: the class of the whole needs a feature that only the caller enables.
    std::arch::asm!("/* {0} */", in(xmm_reg) _mm256_castsi256_si128(x), options(nomem, nostack, preserves_flags));
}

/// 16-bit pairs summed into 32 bits.
#[inline(always)]
unsafe fn widen(pairs: __m256i) -> __m256i {
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

/// A chain of four products each.
#[inline(always)]
unsafe fn dpbusd<const N: usize>(mut sum: __m256i, codes: &[__m256i; N], a: *const i8) -> __m256i {
    for (g, &codes) in codes.iter().enumerate() {
        sum = _mm256_dpbusd_avx_epi32(sum, codes, four(a.add(4 * g)));
    }
    sum
}

/// As [`Lanes::dot_tile`], from each token's start.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several chains at once"
)]
unsafe fn dpbusd_tile<const M: usize, const N: usize, const T: usize>(
    start: [__m256i; T],
    codes: [&[__m256i; N]; M],
    a: *const i8,
) -> [[__m256i; M]; T] {
    let mut sums = start.map(|start| [start; M]);
    unrolled!(g in 0 1 2 3 4 5 6 7 => {
        if g < N {
            for t in 0..T {
                let four = four(a.add(32 * t + 4 * g));
                for m in 0..M {
                    sums[t][m] = _mm256_dpbusd_avx_epi32(sums[t][m], codes[m][g], four);
                    in_order(sums[t][m]);
                }
            }
        }
    });
    sums
}

impl<const VNNI: bool> Lanes for Half<VNNI> {
    const WIDE_SUMS: bool = VNNI;
    const LANES: usize = 8;
    type F = __m256;
    type I = __m256i;
    type B = __m256i;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        _mm256_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: __m256) {
        _mm256_storeu_ps(p, x);
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> __m256 {
        _mm256_cvtph_ps(_mm_loadu_si128(p.cast()))
    }
    #[inline(always)]
    unsafe fn load_bf16_first(p: *const u16) -> __m256 {
        let pairs = _mm256_loadu_si256(p.cast());
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))
    }
    #[inline(always)]
    unsafe fn load_bf16_second(p: *const u16) -> __m256 {
        let pairs = _mm256_loadu_ps(p.cast());
        let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
        _mm256_and_ps(pairs, _mm256_castsi256_ps(high))
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> __m256 {
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())))
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        _mm256_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> __m256i {
        _mm256_set1_epi32(x)
    }
    #[inline(always)]
    unsafe fn add_i32(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn to_f32(a: __m256i) -> __m256 {
        _mm256_cvtepi32_ps(a)
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> __m256i {
        _mm256_loadu_si256(p.cast())
    }
    #[inline(always)]
    unsafe fn and_byte(a: __m256i, mask: u8) -> __m256i {
        _mm256_and_si256(a, _mm256_set1_epi8(mask as i8))
    }
    #[inline(always)]
    unsafe fn or_bytes(a: __m256i, b: __m256i) -> __m256i {
        _mm256_or_si256(a, b)
    }
    #[inline(always)]
    unsafe fn shr16<const N: u32>(a: __m256i) -> __m256i {
        _mm256_srl_epi16(a, _mm_cvtsi32_si128(N as i32))
    }
    #[inline(always)]
    unsafe fn shl16<const N: u32>(a: __m256i) -> __m256i {
        _mm256_sll_epi16(a, _mm_cvtsi32_si128(N as i32))
    }

    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "the index is also an offset of the bytes"
    )]
    unsafe fn dot<const N: usize>(
        start: __m256i,
        codes: &[__m256i; N],
        a: *const i8,
        most: u8,
    ) -> __m256i {
        if VNNI {
            return dpbusd(start, codes, a);
        }
        let room = groups_in_16_bits(most).max(1);
        let mut sum = start;
        let mut group = 0;
        while group < N {
            let mut pairs = _mm256_maddubs_epi16(codes[group], four(a.add(4 * group)));
            for more in group + 1..(group + room).min(N) {
                let product = _mm256_maddubs_epi16(codes[more], four(a.add(4 * more)));
                pairs = _mm256_add_epi16(pairs, product);
            }
            sum = _mm256_add_epi32(sum, widen(pairs));
            group += room;
        }
        sum
    }
    /// |w| times the byte with w's sign: a pair's sum is at most 2 * 128 * 127, within 16 bits.
    #[inline(always)]
    unsafe fn dot_less_128<const N: usize>(
        minus_128_sum: __m256i,
        codes: &[__m256i; N],
        a: *const i8,
    ) -> __m256i {
        if VNNI {
            return dpbusd(minus_128_sum, codes, a);
        }
        let mut sum = _mm256_setzero_si256();
        for (g, &code) in codes.iter().enumerate() {
            let w = _mm256_xor_si256(code, _mm256_set1_epi8(i8::MIN));
            let signed = _mm256_sign_epi8(four(a.add(4 * g)), w);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), signed);
            sum = _mm256_add_epi32(sum, widen(pairs));
        }
        sum
    }
    #[inline(always)]
    unsafe fn dot_parts<const M: usize, C: Pairs<Self>>(
        codes: &C,
        a: *const i8,
        most: u8,
    ) -> [__m256i; M] {
        if VNNI {
            let mut sums = [_mm256_setzero_si256(); M];
            unrolled!(g in 0 1 2 3 => {
                let (low, high) = (four(a.add(4 * g)), four(a.add(16 + 4 * g)));
                for (m, sum) in sums.iter_mut().enumerate() {
                    let codes = codes.pair(m, g);
                    *sum = _mm256_dpbusd_avx_epi32(*sum, codes[0], low);
                    *sum = _mm256_dpbusd_avx_epi32(*sum, codes[1], high);
                    in_order(*sum);
                }
            });
            return sums;
        }
        // A pair's two groups always fit.
        let room = (groups_in_16_bits(most) / 2).max(1);
        let mut sums = [_mm256_setzero_si256(); M];
        let mut pairs = sums;
        unrolled!(g in 0 1 2 3 => {
            let (low, high) = (four(a.add(4 * g)), four(a.add(16 + 4 * g)));
            for m in 0..M {
                let codes = codes.pair(m, g);
                let low = _mm256_maddubs_epi16(codes[0], low);
                if g.is_multiple_of(room) {
                    pairs[m] = low;
                } else {
                    pairs[m] = _mm256_add_epi16(pairs[m], low);
                }
                pairs[m] = _mm256_add_epi16(pairs[m], _mm256_maddubs_epi16(codes[1], high));
                in_order(pairs[m]);
                if (g + 1).is_multiple_of(room) || g + 1 == 4 {
                    sums[m] = _mm256_add_epi32(sums[m], widen(pairs[m]));
                }
            }
        });
        sums
    }
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "constant indices into several chains at once"
    )]
    unsafe fn dot_tile<const M: usize, const N: usize, const T: usize>(
        codes: &[[__m256i; N]; M],
        a: *const i8,
        most: u8,
    ) -> [[__m256i; M]; T] {
        if VNNI {
            return dpbusd_tile([_mm256_setzero_si256(); T], codes.each_ref(), a);
        }
        let room = groups_in_16_bits(most).max(1);
        let mut sums = [[_mm256_setzero_si256(); M]; T];
        let mut pairs = sums;
        unrolled!(g in 0 1 2 3 4 5 6 7 => {
            if g < N {
                for t in 0..T {
                    let four = four(a.add(32 * t + 4 * g));
                    for m in 0..M {
                        let product = _mm256_maddubs_epi16(codes[m][g], four);
                        if g.is_multiple_of(room) {
                            pairs[t][m] = product;
                        } else {
                            pairs[t][m] = _mm256_add_epi16(pairs[t][m], product);
                        }
                        in_order(pairs[t][m]);
                    }
                }
                if (g + 1).is_multiple_of(room) || g + 1 == N {
                    for t in 0..T {
                        for m in 0..M {
                            sums[t][m] = _mm256_add_epi32(sums[t][m], widen(pairs[t][m]));
                        }
                    }
                }
            }
        });
        sums
    }
    /// The signed weights and their magnitudes; with AVX-VNNI the codes as they are.
    #[inline(always)]
    unsafe fn for_less_128(codes: [__m256i; 8]) -> [[__m256i; 8]; 2] {
        if VNNI {
            return [codes, codes];
        }
        let (mut signed, mut magnitudes) = (codes, codes);
        for (s, m) in signed.iter_mut().zip(&mut magnitudes) {
            *s = _mm256_xor_si256(*s, _mm256_set1_epi8(i8::MIN));
            *m = _mm256_abs_epi8(*s);
        }
        [signed, magnitudes]
    }
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "constant indices into several chains at once"
    )]
    unsafe fn dot_tile_less_128<const M: usize, const T: usize>(
        minus_128_sums: [__m256i; T],
        codes: &[[[__m256i; 8]; 2]; M],
        a: *const i8,
    ) -> [[__m256i; M]; T] {
        if VNNI {
            return dpbusd_tile(minus_128_sums, codes.each_ref().map(|c| &c[0]), a);
        }
        let mut sums = [[_mm256_setzero_si256(); M]; T];
        unrolled!(g in 0 1 2 3 4 5 6 7 => {
            for t in 0..T {
                let four = four(a.add(32 * t + 4 * g));
                for m in 0..M {
                    let [signed, magnitudes] = &codes[m];
                    let signed = _mm256_sign_epi8(four, signed[g]);
                    let pairs = _mm256_maddubs_epi16(magnitudes[g], signed);
                    sums[t][m] = _mm256_add_epi32(sums[t][m], widen(pairs));
                    in_order(sums[t][m]);
                }
            }
        });
        sums
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
}
