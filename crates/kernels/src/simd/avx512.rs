//! The lanes on AVX-512 with VNNI: one zmm register each.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is one or two intrinsics; the trait's contract (features present, pointers valid) is theirs"
)]

use std::arch::x86_64::*;

use super::{Kernel, Lanes, Simd};

/// AVX-512 F, BW, VL, DQ, VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Lanes for Avx512 {
    const LANES: usize = 16;
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: __m512) {
        _mm512_storeu_ps(p, x);
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn load_bf16_first(p: *const u16) -> __m512 {
        let pairs = _mm512_loadu_si512(p.cast());
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))
    }
    #[inline(always)]
    unsafe fn load_bf16_second(p: *const u16) -> __m512 {
        let pairs = _mm512_loadu_si512(p.cast());
        let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
        _mm512_castsi512_ps(_mm512_and_si512(pairs, high))
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> __m512i {
        _mm512_set1_epi32(x)
    }
    #[inline(always)]
    unsafe fn add_i32(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn to_f32(a: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(a)
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> __m512i {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn and_byte(a: __m512i, mask: u8) -> __m512i {
        _mm512_and_si512(a, _mm512_set1_epi8(mask as i8))
    }
    #[inline(always)]
    unsafe fn or_bytes(a: __m512i, b: __m512i) -> __m512i {
        _mm512_or_si512(a, b)
    }
    #[inline(always)]
    unsafe fn shr16<const N: u32>(a: __m512i) -> __m512i {
        _mm512_srli_epi16::<N>(a)
    }
    #[inline(always)]
    unsafe fn shl16<const N: u32>(a: __m512i) -> __m512i {
        _mm512_slli_epi16::<N>(a)
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        start: __m512i,
        codes: &[__m512i; N],
        a: *const i8,
        _most: u8,
    ) -> __m512i {
        let mut sum = start;
        for (g, &codes) in codes.iter().enumerate() {
            let four = _mm512_set1_epi32(a.add(4 * g).cast::<i32>().read_unaligned());
            sum = _mm512_dpbusd_epi32(sum, codes, four);
        }
        sum
    }
    #[inline(always)]
    unsafe fn dot_less_128<const N: usize>(
        minus_128_sum: __m512i,
        codes: &[__m512i; N],
        a: *const i8,
    ) -> __m512i {
        Self::dot(minus_128_sum, codes, a, u8::MAX)
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
}

impl Simd for Avx512 {
    const TILES: bool = true;
    const MANY_REGISTERS: bool = true;
    type Part = Self;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Out {
        kernel.enter_avx512()
    }

    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, x: __m512) {
        let h = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
        _mm256_storeu_si256(p.cast(), h);
    }
    #[inline(always)]
    unsafe fn store_as_bf16(p: *mut u16, x: __m512) -> __m512 {
        // Exponents of finite numbers below the largest, and the quiet NaN that arithmetic yields, stay what they are.
        let bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
        let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
        _mm256_storeu_si256(
            p.cast(),
            _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits)),
        );
        _mm512_castsi512_ps(_mm512_and_si512(bits, high))
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn abs(a: __m512) -> __m512 {
        _mm512_abs_ps(a)
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m512) -> __m512 {
        _mm512_sqrt_ps(a)
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
    }
    #[inline(always)]
    unsafe fn to_exponent(a: __m512) -> __m512 {
        _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a)))
    }
    #[inline(always)]
    unsafe fn sum(a: __m512) -> f32 {
        let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
        super::avx2::sum8(eight)
    }
    #[inline(always)]
    unsafe fn largest(a: __m512) -> f32 {
        let eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
        super::avx2::largest8(eight)
    }
    #[inline(always)]
    unsafe fn keep(a: __m512, b: __m512, from: usize, to: usize) -> __m512 {
        let below = |n: usize| ((1u32 << n.min(16)) - 1) as u16;
        _mm512_mask_blend_ps(below(to) & !below(from), b, a)
    }
    #[inline(always)]
    unsafe fn zero_below(x: __m512, limit: __m512, y: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, limit), y)
    }
    #[inline(always)]
    unsafe fn store_as_i8(p: *mut i8, a: __m512) {
        _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
    }
    #[inline(always)]
    unsafe fn store_as_i16(p: *mut i16, a: __m512) {
        _mm256_storeu_si256(p.cast(), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a)));
    }
    #[inline(always)]
    unsafe fn add_pairs(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        _mm512_dpwssd_epi32(sum, a, b)
    }
    #[inline(always)]
    unsafe fn transpose(rows: [__m512; 16]) -> [__m512; 16] {
        // Four steps that exchange neighbours 1, 2, 4 and 8 apart; between them a register holds four lanes of four rows.
        let mut pairs = rows;
        for i in 0..8 {
            let (a, b) = (rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i] = _mm512_unpacklo_ps(a, b);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(a, b);
        }
        let mut fours = rows;
        for i in 0..4 {
            for half in 0..2 {
                let a = _mm512_castps_pd(pairs[4 * i + half]);
                let b = _mm512_castps_pd(pairs[4 * i + 2 + half]);
                fours[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        // `fours[4 i + j]` holds in its quarter q lane 4 q + j of rows 4 i to 4 i + 3.
        let mut out = rows;
        for j in 0..4 {
            let low = _mm512_shuffle_f32x4::<0x88>(fours[j], fours[4 + j]);
            let high = _mm512_shuffle_f32x4::<0x88>(fours[8 + j], fours[12 + j]);
            let low_odd = _mm512_shuffle_f32x4::<0xdd>(fours[j], fours[4 + j]);
            let high_odd = _mm512_shuffle_f32x4::<0xdd>(fours[8 + j], fours[12 + j]);
            out[j] = _mm512_shuffle_f32x4::<0x88>(low, high);
            out[8 + j] = _mm512_shuffle_f32x4::<0xdd>(low, high);
            out[4 + j] = _mm512_shuffle_f32x4::<0x88>(low_odd, high_odd);
            out[12 + j] = _mm512_shuffle_f32x4::<0xdd>(low_odd, high_odd);
        }
        out
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, a: __m512i) {
        _mm512_storeu_si512(p.cast(), a);
    }
    #[inline(always)]
    unsafe fn sub_byte(a: __m512i, x: u8) -> __m512i {
        _mm512_sub_epi8(a, _mm512_set1_epi8(x as i8))
    }
    #[inline(always)]
    unsafe fn load_i32(p: *const i32) -> __m512i {
        _mm512_loadu_si512(p.cast())
    }
}
