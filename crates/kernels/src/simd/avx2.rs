//! The lanes on AVX2 with FMA and F16C: a pair of ymm registers each, lanes 0..8 first.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is a few intrinsics; the trait's contract (features present, pointers valid) is theirs"
)]

use std::arch::x86_64::*;

use super::Simd;

/// AVX2, FMA, F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Sum of 8 lanes as the tree ((4) (2) (1)).
#[inline(always)]
pub(super) unsafe fn sum8(a: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Largest of 8 lanes.
#[inline(always)]
pub(super) unsafe fn largest8(a: __m256) -> f32 {
    let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

/// Four unsigned-by-signed byte products summed into each of 8 i32 lanes; a pair's sum must fit in i16.
#[inline(always)]
unsafe fn dot8(acc: __m256i, codes: __m256i, a: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(codes, a);
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

macro_rules! both {
    ($f:ident, $a:expr) => {
        [$f($a[0]), $f($a[1])]
    };
    ($f:ident, $a:expr, $b:expr) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1])]
    };
    ($f:ident, $a:expr, $b:expr, $c:expr) => {
        [$f($a[0], $b[0], $c[0]), $f($a[1], $b[1], $c[1])]
    };
}

impl Simd for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    type B = [__m256i; 2];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        [_mm256_set1_ps(x); 2]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::F {
        [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))]
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: Self::F) {
        _mm256_storeu_ps(p, x[0]);
        _mm256_storeu_ps(p.add(8), x[1]);
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::F {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(p.add(8).cast())),
        ]
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, x: Self::F) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<NEAREST>(x[0]));
        _mm_storeu_si128(p.add(8).cast(), _mm256_cvtps_ph::<NEAREST>(x[1]));
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self::F {
        let lo = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
        let hi = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.add(8).cast()));
        [
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(lo)),
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(hi)),
        ]
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self::F {
        [
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))),
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(8).cast()))),
        ]
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::F {
        [
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.add(8).cast()))),
        ]
    }

    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_add_ps, a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_sub_ps, a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_mul_ps, a, b)
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_div_ps, a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(_mm256_fmadd_ps, a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_max_ps, a, b)
    }
    #[inline(always)]
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_min_ps, a, b)
    }
    #[inline(always)]
    unsafe fn abs(a: Self::F) -> Self::F {
        let sign = [_mm256_set1_ps(-0.0); 2];
        both!(_mm256_andnot_ps, sign, a)
    }
    #[inline(always)]
    unsafe fn round(a: Self::F) -> Self::F {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        [
            _mm256_round_ps::<NEAREST>(a[0]),
            _mm256_round_ps::<NEAREST>(a[1]),
        ]
    }
    #[inline(always)]
    unsafe fn exp2i(n: Self::F) -> Self::F {
        let bias = _mm256_set1_epi32(127);
        let lo = _mm256_add_epi32(_mm256_cvtps_epi32(n[0]), bias);
        let hi = _mm256_add_epi32(_mm256_cvtps_epi32(n[1]), bias);
        [
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(lo)),
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(hi)),
        ]
    }
    #[inline(always)]
    unsafe fn sum(a: Self::F) -> f32 {
        sum8(_mm256_add_ps(a[0], a[1]))
    }
    #[inline(always)]
    unsafe fn largest(a: Self::F) -> f32 {
        largest8(_mm256_max_ps(a[0], a[1]))
    }
    #[inline(always)]
    unsafe fn keep(a: Self::F, b: Self::F, from: usize, to: usize) -> Self::F {
        let index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let from = _mm256_set1_epi32(from as i32);
        let to = _mm256_set1_epi32(to as i32);
        let mut out = b;
        for half in 0..2 {
            let i = _mm256_add_epi32(index, _mm256_set1_epi32(8 * half as i32));
            let inside =
                _mm256_andnot_si256(_mm256_cmpgt_epi32(from, i), _mm256_cmpgt_epi32(to, i));
            out[half] = _mm256_blendv_ps(b[half], a[half], _mm256_castsi256_ps(inside));
        }
        out
    }

    #[inline(always)]
    unsafe fn zero_below(x: Self::F, limit: Self::F, y: Self::F) -> Self::F {
        [
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(x[0], limit[0]), y[0]),
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(x[1], limit[1]), y[1]),
        ]
    }

    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        [_mm256_set1_epi32(x); 2]
    }
    #[inline(always)]
    unsafe fn shl_i32<const N: u32>(a: Self::I) -> Self::I {
        let n = _mm_cvtsi32_si128(N as i32);
        [_mm256_sll_epi32(a[0], n), _mm256_sll_epi32(a[1], n)]
    }
    #[inline(always)]
    unsafe fn add_i32(a: Self::I, b: Self::I) -> Self::I {
        both!(_mm256_add_epi32, a, b)
    }
    #[inline(always)]
    unsafe fn to_f32(a: Self::I) -> Self::F {
        both!(_mm256_cvtepi32_ps, a)
    }
    #[inline(always)]
    unsafe fn store_as_i8(p: *mut i8, a: Self::F) {
        let words = _mm256_packs_epi32(_mm256_cvtps_epi32(a[0]), _mm256_cvtps_epi32(a[1]));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let bytes = _mm_packs_epi16(
            _mm256_castsi256_si128(words),
            _mm256_extracti128_si256::<1>(words),
        );
        _mm_storeu_si128(p.cast(), bytes);
    }

    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> Self::B {
        [
            _mm256_loadu_si256(p.cast()),
            _mm256_loadu_si256(p.add(32).cast()),
        ]
    }
    #[inline(always)]
    unsafe fn and_byte(a: Self::B, mask: u8) -> Self::B {
        let m = [_mm256_set1_epi8(mask as i8); 2];
        both!(_mm256_and_si256, a, m)
    }
    #[inline(always)]
    unsafe fn or_bytes(a: Self::B, b: Self::B) -> Self::B {
        both!(_mm256_or_si256, a, b)
    }
    #[inline(always)]
    unsafe fn shr16<const N: u32>(a: Self::B) -> Self::B {
        let n = _mm_cvtsi32_si128(N as i32);
        [_mm256_srl_epi16(a[0], n), _mm256_srl_epi16(a[1], n)]
    }
    #[inline(always)]
    unsafe fn shl16<const N: u32>(a: Self::B) -> Self::B {
        let n = _mm_cvtsi32_si128(N as i32);
        [_mm256_sll_epi16(a[0], n), _mm256_sll_epi16(a[1], n)]
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, a: Self::B) {
        _mm256_storeu_si256(p.cast(), a[0]);
        _mm256_storeu_si256(p.add(32).cast(), a[1]);
    }

    #[inline(always)]
    unsafe fn sub_byte(a: Self::B, x: u8) -> Self::B {
        let b = [_mm256_set1_epi8(x as i8); 2];
        both!(_mm256_sub_epi8, a, b)
    }
    #[inline(always)]
    unsafe fn load_i32(p: *const i32) -> Self::I {
        Self::load_bytes(p.cast())
    }

    #[inline(always)]
    unsafe fn dot4(acc: Self::I, codes: Self::B, a: *const i8) -> Self::I {
        let four = _mm256_set1_epi32(a.cast::<i32>().read_unaligned());
        [dot8(acc[0], codes[0], four), dot8(acc[1], codes[1], four)]
    }
    #[inline(always)]
    unsafe fn dot4_wide(acc: Self::I, codes: Self::B, a: *const i8) -> Self::I {
        // maddubs saturates at i16: the low 7 bits and the top bit are multiplied apart, each pair within 32512.
        let low = Self::and_byte(codes, 0x7f);
        let top = Self::and_byte(codes, 0x80);
        Self::dot4(Self::dot4(acc, low, a), top, a)
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
}
