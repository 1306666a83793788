//! Eight lanes in one ymm register: the width in which AVX2's sixteen registers hold a block's codes and its sums.
//!
//! There is no byte product with 32-bit sums here. `vpmaddubsw` sums pairs into 16 bits, and as long as no sum can overflow those
//! (which the largest code decides), pairs of several groups are added before one `vpmaddwd` widens them: for four-bit codes
//! 17 instructions for 32 columns instead of 24. All sums are exact, so the order does not matter.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is a few intrinsics; the trait's contract (features present, pointers valid) is theirs"
)]

use std::arch::x86_64::*;

use crate::simd::Lanes;

/// AVX2, FMA, F16C: half of sixteen lanes.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Half;

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

/// 16-bit pairs summed into 32 bits.
#[inline(always)]
unsafe fn widen(pairs: __m256i) -> __m256i {
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

impl Lanes for Avx2Half {
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
    unsafe fn load_bf16(p: *const u16) -> __m256 {
        let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
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
        _minus_128_sum: __m256i,
        codes: &[__m256i; N],
        a: *const i8,
    ) -> __m256i {
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
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
}
