//! The lanes on AVX2 with FMA and F16C: a pair of ymm registers each, lanes 0..8 first.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is a few intrinsics; the trait's contract (features present, pointers valid) is theirs"
)]

mod half;

use std::arch::x86_64::*;

use half::{Avx2Half, Half};

use super::{Kernel, Lanes, Simd};

/// AVX2, FMA, F16C; and AVX-VNNI, which only the integer products use.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Set<const VNNI: bool>;

pub(crate) type Avx2 = Avx2Set<false>;
pub(crate) type AvxVnni = Avx2Set<true>;

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

macro_rules! both {
    ($f:ident, $a:expr) => {
        [$f($a[0]), $f($a[1])]
    };
    ($f:ident, $a:expr, $b:expr) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1])]
    };
}

/// The halves of several pairs of registers.
#[inline(always)]
unsafe fn halves<const N: usize>(pairs: &[[__m256i; 2]; N]) -> [[__m256i; N]; 2] {
    let mut out = [[_mm256_setzero_si256(); N]; 2];
    for (i, pair) in pairs.iter().enumerate() {
        out[0][i] = pair[0];
        out[1][i] = pair[1];
    }
    out
}

impl<const VNNI: bool> Lanes for Avx2Set<VNNI> {
    const LANES: usize = 16;
    type F = [__m256; 2];
    type I = [__m256i; 2];
    type B = [__m256i; 2];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        [Avx2Half::splat(x), Avx2Half::splat(x)]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::F {
        [Avx2Half::load(p), Avx2Half::load(p.add(8))]
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: Self::F) {
        Avx2Half::store(p, x[0]);
        Avx2Half::store(p.add(8), x[1]);
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::F {
        [Avx2Half::load_f16(p), Avx2Half::load_f16(p.add(8))]
    }
    #[inline(always)]
    unsafe fn load_bf16_first(p: *const u16) -> Self::F {
        [
            Avx2Half::load_bf16_first(p),
            Avx2Half::load_bf16_first(p.add(16)),
        ]
    }
    #[inline(always)]
    unsafe fn load_bf16_second(p: *const u16) -> Self::F {
        [
            Avx2Half::load_bf16_second(p),
            Avx2Half::load_bf16_second(p.add(16)),
        ]
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self::F {
        [Avx2Half::load_u8(p), Avx2Half::load_u8(p.add(8))]
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::F {
        [Avx2Half::load_i8(p), Avx2Half::load_i8(p.add(8))]
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        [Avx2Half::add(a[0], b[0]), Avx2Half::add(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        [Avx2Half::sub(a[0], b[0]), Avx2Half::sub(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        [Avx2Half::mul(a[0], b[0]), Avx2Half::mul(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        [
            Avx2Half::fma(a[0], b[0], c[0]),
            Avx2Half::fma(a[1], b[1], c[1]),
        ]
    }
    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        [Avx2Half::splat_i32(x), Avx2Half::splat_i32(x)]
    }
    #[inline(always)]
    unsafe fn add_i32(a: Self::I, b: Self::I) -> Self::I {
        [Avx2Half::add_i32(a[0], b[0]), Avx2Half::add_i32(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn to_f32(a: Self::I) -> Self::F {
        [Avx2Half::to_f32(a[0]), Avx2Half::to_f32(a[1])]
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> Self::B {
        [Avx2Half::load_bytes(p), Avx2Half::load_bytes(p.add(32))]
    }
    #[inline(always)]
    unsafe fn and_byte(a: Self::B, mask: u8) -> Self::B {
        [
            Avx2Half::and_byte(a[0], mask),
            Avx2Half::and_byte(a[1], mask),
        ]
    }
    #[inline(always)]
    unsafe fn or_bytes(a: Self::B, b: Self::B) -> Self::B {
        [
            Avx2Half::or_bytes(a[0], b[0]),
            Avx2Half::or_bytes(a[1], b[1]),
        ]
    }
    #[inline(always)]
    unsafe fn shr16<const N: u32>(a: Self::B) -> Self::B {
        [Avx2Half::shr16::<N>(a[0]), Avx2Half::shr16::<N>(a[1])]
    }
    #[inline(always)]
    unsafe fn shl16<const N: u32>(a: Self::B) -> Self::B {
        [Avx2Half::shl16::<N>(a[0]), Avx2Half::shl16::<N>(a[1])]
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        start: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
        most: u8,
    ) -> Self::I {
        let halves = halves(codes);
        [
            Avx2Half::dot(start[0], &halves[0], a, most),
            Avx2Half::dot(start[1], &halves[1], a, most),
        ]
    }
    #[inline(always)]
    unsafe fn dot_less_128<const N: usize>(
        minus_128_sum: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
    ) -> Self::I {
        let halves = halves(codes);
        [
            Avx2Half::dot_less_128(minus_128_sum[0], &halves[0], a),
            Avx2Half::dot_less_128(minus_128_sum[1], &halves[1], a),
        ]
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
}

impl<const VNNI: bool> Simd for Avx2Set<VNNI> {
    const MANY_REGISTERS: bool = false;
    type Part = Half<VNNI>;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Out {
        if VNNI {
            kernel.enter_avx_vnni()
        } else {
            kernel.enter_avx2()
        }
    }

    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, x: Self::F) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<NEAREST>(x[0]));
        _mm_storeu_si128(p.add(8).cast(), _mm256_cvtps_ph::<NEAREST>(x[1]));
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_div_ps, a, b)
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
    unsafe fn sqrt(a: Self::F) -> Self::F {
        both!(_mm256_sqrt_ps, a)
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
    unsafe fn to_exponent(a: Self::F) -> Self::F {
        let bits = both!(_mm256_castps_si256, a);
        [
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits[0])),
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits[1])),
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
    unsafe fn store_as_i16(p: *mut i16, a: Self::F) {
        let words = _mm256_packs_epi32(_mm256_cvtps_epi32(a[0]), _mm256_cvtps_epi32(a[1]));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        _mm256_storeu_si256(p.cast(), words);
    }
    #[inline(always)]
    unsafe fn add_pairs(sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        if VNNI {
            [
                _mm256_dpwssd_avx_epi32(sum[0], a[0], b[0]),
                _mm256_dpwssd_avx_epi32(sum[1], a[1], b[1]),
            ]
        } else {
            Self::add_i32(sum, both!(_mm256_madd_epi16, a, b))
        }
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
}
