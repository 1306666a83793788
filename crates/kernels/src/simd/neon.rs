//! The lanes on NEON with the dot-product instructions of ARMv8.2: four q registers each, lanes 0..4 first.
//!
//! `sdot`, `fcvtl` and `fcvtn` are written as `asm!`: Rust's intrinsics for them are not stable. Tested under an emulator only
//! (`scripts/test-aarch64`); nothing is known of its speed.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is a few intrinsics; the trait's contract (features present, pointers valid) is theirs"
)]

use std::arch::{aarch64::*, asm};

use super::{Kernel, Lanes, Simd};

/// NEON with dot products.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// Registers of 16 lanes.
const PARTS: usize = 4;

/// One expression for each register.
macro_rules! each {
    ($i:ident => $e:expr) => {{
        let mut out = [{
            let $i = 0;
            $e
        }; PARTS];
        for $i in 1..PARTS {
            out[$i] = $e;
        }
        out
    }};
}

/// `sum` plus the products of four signed bytes in each lane.
#[inline(always)]
unsafe fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sum;
    asm!(
        ".arch_extension dotprod",
        "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
        inout(vreg) out,
        in(vreg) a,
        in(vreg) b,
        options(pure, nomem, nostack, preserves_flags),
    );
    out
}

/// The four bytes at `a` in every lane.
#[inline(always)]
unsafe fn four(a: *const i8) -> int8x16_t {
    vreinterpretq_s8_s32(vdupq_n_s32(a.cast::<i32>().read_unaligned()))
}

/// Codes less 128, as signed bytes.
#[inline(always)]
unsafe fn less_128(codes: [uint8x16_t; PARTS]) -> [uint8x16_t; PARTS] {
    each!(i => veorq_u8(codes[i], vdupq_n_u8(0x80)))
}

/// `M` parts and `T` tokens side by side: a register of codes is read once for all of them.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "constant indices into several chains at once"
)]
unsafe fn tile<const M: usize, const N: usize, const T: usize>(
    codes: [&[[uint8x16_t; PARTS]; N]; M],
    a: *const i8,
) -> [[[int32x4_t; PARTS]; M]; T] {
    let mut sums = [[[vdupq_n_s32(0); PARTS]; M]; T];
    for g in 0..N {
        for t in 0..T {
            let four = four(a.add(32 * t + 4 * g));
            for m in 0..M {
                for i in 0..PARTS {
                    let code = vreinterpretq_s8_u8(codes[m][g][i]);
                    sums[t][m][i] = sdot(sums[t][m][i], code, four);
                }
            }
        }
    }
    sums
}

impl Lanes for Neon {
    const LANES: usize = 16;
    const WIDE_SUMS: bool = true;
    type F = [float32x4_t; PARTS];
    type I = [int32x4_t; PARTS];
    type B = [uint8x16_t; PARTS];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        [vdupq_n_f32(x); PARTS]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::F {
        each!(i => vld1q_f32(p.add(4 * i)))
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: Self::F) {
        for (i, x) in x.into_iter().enumerate() {
            vst1q_f32(p.add(4 * i), x);
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::F {
        each!(i => {
            let half = vld1_u16(p.add(4 * i));
            let out: float32x4_t;
            asm!(
                "fcvtl {0:v}.4s, {1:v}.4h",
                out(vreg) out,
                in(vreg) half,
                options(pure, nomem, nostack, preserves_flags),
            );
            out
        })
    }
    #[inline(always)]
    unsafe fn load_bf16_first(p: *const u16) -> Self::F {
        each!(i => {
            let pairs = vreinterpretq_u32_u16(vld1q_u16(p.add(8 * i)));
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs))
        })
    }
    #[inline(always)]
    unsafe fn load_bf16_second(p: *const u16) -> Self::F {
        each!(i => {
            let pairs = vreinterpretq_u32_u16(vld1q_u16(p.add(8 * i)));
            vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff_0000)))
        })
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self::F {
        let bytes = vld1q_u8(p);
        let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
        [
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
            vcvtq_f32_u32(vmovl_high_u16(low)),
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
            vcvtq_f32_u32(vmovl_high_u16(high)),
        ]
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::F {
        let bytes = vld1q_s8(p);
        let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
        [
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
            vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
            vcvtq_f32_s32(vmovl_high_s16(high)),
        ]
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        each!(i => vaddq_f32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        each!(i => vsubq_f32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        each!(i => vmulq_f32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each!(i => vfmaq_f32(c[i], a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        [vdupq_n_s32(x); PARTS]
    }
    #[inline(always)]
    unsafe fn add_i32(a: Self::I, b: Self::I) -> Self::I {
        each!(i => vaddq_s32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn to_f32(a: Self::I) -> Self::F {
        each!(i => vcvtq_f32_s32(a[i]))
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> Self::B {
        each!(i => vld1q_u8(p.add(16 * i)))
    }
    #[inline(always)]
    unsafe fn and_byte(a: Self::B, mask: u8) -> Self::B {
        each!(i => vandq_u8(a[i], vdupq_n_u8(mask)))
    }
    #[inline(always)]
    unsafe fn or_bytes(a: Self::B, b: Self::B) -> Self::B {
        each!(i => vorrq_u8(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn shr16<const N: u32>(a: Self::B) -> Self::B {
        let by = vdupq_n_s16(-(N as i16));
        each!(i => vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(a[i]), by)))
    }
    #[inline(always)]
    unsafe fn shl16<const N: u32>(a: Self::B) -> Self::B {
        let by = vdupq_n_s16(N as i16);
        each!(i => vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(a[i]), by)))
    }

    /// Codes below 128 are the same as signed bytes.
    #[inline(always)]
    unsafe fn dot<const N: usize>(
        start: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
        _most: u8,
    ) -> Self::I {
        let mut sum = start;
        for (g, codes) in codes.iter().enumerate() {
            let four = four(a.add(4 * g));
            sum = each!(i => sdot(sum[i], vreinterpretq_s8_u8(codes[i]), four));
        }
        sum
    }
    #[inline(always)]
    unsafe fn dot_less_128<const N: usize>(
        _minus_128_sum: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
    ) -> Self::I {
        let mut signed = *codes;
        for codes in &mut signed {
            *codes = less_128(*codes);
        }
        Self::dot([vdupq_n_s32(0); PARTS], &signed, a, u8::MAX)
    }
    #[inline(always)]
    unsafe fn dot_tile<const M: usize, const N: usize, const T: usize>(
        codes: &[[Self::B; N]; M],
        a: *const i8,
        _most: u8,
    ) -> [[Self::I; M]; T] {
        tile(codes.each_ref(), a)
    }
    #[inline(always)]
    unsafe fn for_less_128(codes: [Self::B; 8]) -> [[Self::B; 8]; 2] {
        let mut signed = codes;
        for codes in &mut signed {
            *codes = less_128(*codes);
        }
        [signed, signed]
    }
    #[inline(always)]
    unsafe fn dot_tile_less_128<const M: usize, const T: usize>(
        _minus_128_sums: [Self::I; T],
        codes: &[[[Self::B; 8]; 2]; M],
        a: *const i8,
    ) -> [[Self::I; M]; T] {
        tile(codes.each_ref().map(|c| &c[0]), a)
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        asm!(
            "prfm pldl1keep, [{0}]",
            in(reg) p,
            options(nostack, preserves_flags, readonly),
        );
    }
}

impl Simd for Neon {
    /// A tile of six rows by a vector fills 24 of the 32 registers.
    const MANY_REGISTERS: bool = false;
    type Part = Self;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Out {
        kernel.enter_neon()
    }

    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, x: Self::F) {
        for (i, x) in x.into_iter().enumerate() {
            let half: uint16x4_t;
            asm!(
                "fcvtn {0:v}.4h, {1:v}.4s",
                out(vreg) half,
                in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
            vst1_u16(p.add(4 * i), half);
        }
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        each!(i => vdivq_f32(a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        each!(i => vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F {
        each!(i => vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i]))
    }
    #[inline(always)]
    unsafe fn abs(a: Self::F) -> Self::F {
        each!(i => vabsq_f32(a[i]))
    }
    #[inline(always)]
    unsafe fn sqrt(a: Self::F) -> Self::F {
        each!(i => vsqrtq_f32(a[i]))
    }
    #[inline(always)]
    unsafe fn round(a: Self::F) -> Self::F {
        each!(i => vrndnq_f32(a[i]))
    }
    #[inline(always)]
    unsafe fn to_exponent(a: Self::F) -> Self::F {
        each!(i => vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(a[i]))))
    }
    #[inline(always)]
    unsafe fn sum(a: Self::F) -> f32 {
        let four = vaddq_f32(vaddq_f32(a[0], a[2]), vaddq_f32(a[1], a[3]));
        let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
        vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
    }
    #[inline(always)]
    unsafe fn largest(a: Self::F) -> f32 {
        let two = vmaxnmq_f32(vmaxnmq_f32(a[0], a[1]), vmaxnmq_f32(a[2], a[3]));
        vmaxnmvq_f32(two)
    }
    #[inline(always)]
    unsafe fn keep(a: Self::F, b: Self::F, from: usize, to: usize) -> Self::F {
        const INDEX: [i32; 4] = [0, 1, 2, 3];
        let index = vld1q_s32(INDEX.as_ptr());
        let (from, to) = (vdupq_n_s32(from as i32), vdupq_n_s32(to as i32));
        each!(i => {
            let index = vaddq_s32(index, vdupq_n_s32(4 * i as i32));
            let inside = vandq_u32(vcgeq_s32(index, from), vcltq_s32(index, to));
            vbslq_f32(inside, a[i], b[i])
        })
    }
    #[inline(always)]
    unsafe fn zero_below(x: Self::F, limit: Self::F, y: Self::F) -> Self::F {
        each!(i => {
            let y = vreinterpretq_u32_f32(y[i]);
            vreinterpretq_f32_u32(vbicq_u32(y, vcltq_f32(x[i], limit[i])))
        })
    }
    #[inline(always)]
    unsafe fn store_as_i8(p: *mut i8, a: Self::F) {
        let words = each!(i => vmovn_s32(vcvtnq_s32_f32(a[i])));
        vst1_s8(p, vmovn_s16(vcombine_s16(words[0], words[1])));
        vst1_s8(p.add(8), vmovn_s16(vcombine_s16(words[2], words[3])));
    }
    #[inline(always)]
    unsafe fn store_as_i16(p: *mut i16, a: Self::F) {
        for (i, a) in a.into_iter().enumerate() {
            vst1_s16(p.add(4 * i), vqmovn_s32(vcvtnq_s32_f32(a)));
        }
    }
    #[inline(always)]
    unsafe fn add_pairs(sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        each!(i => {
            let (a, b) = (vreinterpretq_s16_s32(a[i]), vreinterpretq_s16_s32(b[i]));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            vaddq_s32(sum[i], vpaddq_s32(low, vmull_high_s16(a, b)))
        })
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, a: Self::B) {
        for (i, a) in a.into_iter().enumerate() {
            vst1q_u8(p.add(16 * i), a);
        }
    }
    #[inline(always)]
    unsafe fn sub_byte(a: Self::B, x: u8) -> Self::B {
        each!(i => vsubq_u8(a[i], vdupq_n_u8(x)))
    }
    #[inline(always)]
    unsafe fn load_i32(p: *const i32) -> Self::I {
        each!(i => vld1q_s32(p.add(4 * i)))
    }
}
