//! The lanes in plain Rust: the definition of what the other implementations do, and the path of unknown processors.
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "every method is one operation whose contract is the trait's: pointers valid for the stated elements"
)]

use half::{bf16, f16};

use super::{Kernel, LANES, Lanes, Simd};

/// Plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

macro_rules! lanes {
    ($i:ident => $e:expr) => {{
        let mut out = [0.0f32; LANES];
        for ($i, o) in out.iter_mut().enumerate() {
            *o = $e;
        }
        out
    }};
}

impl Lanes for Portable {
    const LANES: usize = LANES;
    type F = [f32; LANES];
    type I = [i32; LANES];
    type B = [u8; 64];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::F {
        p.cast::<Self::F>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: Self::F) {
        p.cast::<Self::F>().write_unaligned(x);
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::F {
        lanes!(i => f16::from_bits(p.add(i).read_unaligned()).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16_first(p: *const u16) -> Self::F {
        lanes!(i => bf16::from_bits(p.add(2 * i).read_unaligned()).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16_second(p: *const u16) -> Self::F {
        lanes!(i => bf16::from_bits(p.add(2 * i + 1).read_unaligned()).to_f32())
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self::F {
        lanes!(i => f32::from(*p.add(i)))
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self::F {
        lanes!(i => f32::from(*p.add(i)))
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        lanes!(i => a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        lanes!(i => a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn splat_i32(x: i32) -> Self::I {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn add_i32(a: Self::I, b: Self::I) -> Self::I {
        let mut out = a;
        for (o, y) in out.iter_mut().zip(b) {
            *o += y;
        }
        out
    }
    #[inline(always)]
    unsafe fn to_f32(a: Self::I) -> Self::F {
        lanes!(i => a[i] as f32)
    }
    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> Self::B {
        p.cast::<Self::B>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn and_byte(a: Self::B, mask: u8) -> Self::B {
        a.map(|x| x & mask)
    }
    #[inline(always)]
    unsafe fn or_bytes(a: Self::B, b: Self::B) -> Self::B {
        let mut out = a;
        for (o, y) in out.iter_mut().zip(b) {
            *o |= y;
        }
        out
    }
    #[inline(always)]
    unsafe fn shr16<const N: u32>(a: Self::B) -> Self::B {
        let mut out = a;
        for pair in out.chunks_exact_mut(2) {
            pair.copy_from_slice(&(u16::from_le_bytes([pair[0], pair[1]]) >> N).to_le_bytes());
        }
        out
    }
    #[inline(always)]
    unsafe fn shl16<const N: u32>(a: Self::B) -> Self::B {
        let mut out = a;
        for pair in out.chunks_exact_mut(2) {
            pair.copy_from_slice(&(u16::from_le_bytes([pair[0], pair[1]]) << N).to_le_bytes());
        }
        out
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        start: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
        _most: u8,
    ) -> Self::I {
        let mut out = start;
        for (g, codes) in codes.iter().enumerate() {
            for (i, o) in out.iter_mut().enumerate() {
                for j in 0..4 {
                    *o += i32::from(codes[4 * i + j]) * i32::from(*a.add(4 * g + j));
                }
            }
        }
        out
    }
    #[inline(always)]
    unsafe fn dot_less_128<const N: usize>(
        minus_128_sum: Self::I,
        codes: &[Self::B; N],
        a: *const i8,
    ) -> Self::I {
        Self::dot(minus_128_sum, codes, a, u8::MAX)
    }
    #[inline(always)]
    unsafe fn prefetch(_p: *const u8) {}
}

impl Simd for Portable {
    const MANY_REGISTERS: bool = false;
    type Part = Self;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Out {
        kernel.enter_portable()
    }

    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, x: Self::F) {
        for (i, v) in x.iter().enumerate() {
            p.add(i).write_unaligned(f16::from_f32(*v).to_bits());
        }
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        lanes!(i => a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn abs(a: Self::F) -> Self::F {
        lanes!(i => a[i].abs())
    }
    #[inline(always)]
    unsafe fn sqrt(a: Self::F) -> Self::F {
        lanes!(i => a[i].sqrt())
    }
    #[inline(always)]
    unsafe fn round(a: Self::F) -> Self::F {
        lanes!(i => a[i].round_ties_even())
    }
    #[inline(always)]
    unsafe fn to_exponent(a: Self::F) -> Self::F {
        lanes!(i => f32::from_bits(a[i].to_bits() << 23))
    }
    #[inline(always)]
    unsafe fn sum(a: Self::F) -> f32 {
        let mut x = a;
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                x[i] += x[i + width];
            }
            width /= 2;
        }
        x[0]
    }
    #[inline(always)]
    unsafe fn largest(a: Self::F) -> f32 {
        a.iter()
            .fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
    }
    #[inline(always)]
    unsafe fn keep(a: Self::F, b: Self::F, from: usize, to: usize) -> Self::F {
        lanes!(i => if i >= from && i < to { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn zero_below(x: Self::F, limit: Self::F, y: Self::F) -> Self::F {
        lanes!(i => if x[i] < limit[i] { 0.0 } else { y[i] })
    }
    #[inline(always)]
    unsafe fn store_as_i8(p: *mut i8, a: Self::F) {
        for (i, v) in a.iter().enumerate() {
            *p.add(i) = v.round_ties_even() as i32 as i8;
        }
    }
    #[inline(always)]
    unsafe fn store_as_i16(p: *mut i16, a: Self::F) {
        for (i, v) in a.iter().enumerate() {
            let nearest = v.round_ties_even() as i32;
            *p.add(i) = nearest.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
    #[inline(always)]
    unsafe fn add_pairs(sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        let mut out = sum;
        for (i, o) in out.iter_mut().enumerate() {
            let low = i32::from(a[i] as i16) * i32::from(b[i] as i16);
            *o = o
                .wrapping_add(low)
                .wrapping_add((a[i] >> 16) * (b[i] >> 16));
        }
        out
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, a: Self::B) {
        p.cast::<Self::B>().write_unaligned(a);
    }
    #[inline(always)]
    unsafe fn sub_byte(a: Self::B, x: u8) -> Self::B {
        a.map(|byte| byte.wrapping_sub(x))
    }
    #[inline(always)]
    unsafe fn load_i32(p: *const i32) -> Self::I {
        p.cast::<Self::I>().read_unaligned()
    }
}
