//! Elementary functions over the lanes, the same polynomial on every instruction set.
//!
//! `exp`: x = n ln 2 + r with |r| <= ln 2 / 2 (ln 2 split in two so that r is exact), a degree-6 minimax-like polynomial
//! for e^r, then scaled by 2^n; the whole f32 range, subnormal results aside, is covered.
//! Relative error below 2e-7 against f64 (tested over the range).

use super::Simd;

/// e^x; 0 below -87.3 and the largest finite scale above 88.7.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only; the features are the caller's contract.
    unsafe {
        let (scale, r) = reduced::<S>(x);
        let mut p = S::splat(1.0 / 720.0);
        p = S::fma(p, r, S::splat(1.0 / 120.0));
        p = S::fma(p, r, S::splat(1.0 / 24.0));
        p = S::fma(p, r, S::splat(1.0 / 6.0));
        p = S::fma(p, r, S::splat(0.5));
        p = S::fma(p, r, S::splat(1.0));
        p = S::fma(p, r, S::splat(1.0));
        let y = S::mul(p, scale);
        // Below the clamp the true value is under 1.7e-38: masked attention scores must give exactly 0.
        S::zero_below(x, S::splat(-87.0), y)
    }
}

/// 2^n and r of the module's head, for x clamped to -87..=88.
#[inline(always)]
unsafe fn reduced<S: Simd>(x: S::F) -> (S::F, S::F) {
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // 1.5 * 2^23: a sum with it is rounded to a whole number, whose lowest bits are the last of the mantissa; and the bias of exponents.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    // SAFETY: lane arithmetic only; the features are the caller's contract.
    unsafe {
        // `x` second: a NaN input passes through both clamps.
        let clamped = S::min(S::splat(88.0), S::max(S::splat(-87.0), x));
        let log2_e = S::splat(std::f32::consts::LOG2_E);
        let biased = S::fma(clamped, log2_e, S::splat(ROUND));
        let n = S::sub(biased, S::splat(ROUND));
        let r = S::fma(n, S::splat(-LN2_HI), clamped);
        (S::to_exponent(biased), S::fma(n, S::splat(-LN2_LO), r))
    }
}

/// e^x - 1 without cancellation near 0, within -87..=88: with x = n ln 2 + r it is 2^n (e^r - 1) + (2^n - 1).
#[inline(always)]
pub(crate) unsafe fn exp_m1<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let (scale, r) = reduced::<S>(x);
        let mut p = S::splat(1.0 / 5040.0);
        for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0] {
            p = S::fma(p, r, S::splat(1.0 / factorial));
        }
        let whole = S::sub(scale, S::splat(1.0));
        S::fma(S::mul(p, r), scale, whole)
    }
}

/// `cap tanh(x / cap)`, as exact near 0 as elsewhere: tanh(y) = e / (e + 2) with e = exp(2y) - 1.
#[inline(always)]
pub(crate) unsafe fn soft_cap<S: Simd>(x: S::F, cap: f32) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let y = S::div(x, S::splat(cap));
        let e = exp_m1::<S>(S::add(y, y));
        let tanh = S::div(e, S::add(e, S::splat(2.0)));
        S::mul(S::splat(cap), tanh)
    }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) unsafe fn sigmoid<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let one = S::splat(1.0);
        let e = exp::<S>(S::sub(S::splat(0.0), x));
        S::div(one, S::add(one, e))
    }
}

/// x * sigmoid(x).
#[inline(always)]
pub(crate) unsafe fn silu<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let e = exp::<S>(S::sub(S::splat(0.0), x));
        S::div(x, S::add(S::splat(1.0), e))
    }
}

/// ln(1 + e^x), as max(x, 0) + ln(1 + y) with y = e^-|x|; and ln(1 + y) = 2 artanh(s) with s = y / (2 + y), at most 1/3: an odd series.
#[inline(always)]
pub(crate) unsafe fn softplus<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let zero = S::splat(0.0);
        let y = exp::<S>(S::sub(zero, S::abs(x)));
        let s = S::div(y, S::add(S::splat(2.0), y));
        let square = S::mul(s, s);
        let mut p = S::splat(2.0 / 15.0);
        for n in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
            p = S::fma(p, square, S::splat(2.0 / n));
        }
        S::fma(p, s, S::max(x, zero))
    }
}

/// Hyperbolic tangent as 1 - 2 / (e^2x + 1).
#[inline(always)]
pub(crate) unsafe fn tanh<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let e = exp::<S>(S::add(x, x));
        let two = S::splat(2.0);
        S::sub(S::splat(1.0), S::div(two, S::add(e, S::splat(1.0))))
    }
}

/// x^2 above zero, 0 below; NaN stays.
#[inline(always)]
pub(crate) unsafe fn squared_relu<S: Simd>(x: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe { S::zero_below(x, S::splat(0.0), S::mul(x, x)) }
}

/// The tanh approximation of GELU.
#[inline(always)]
pub(crate) unsafe fn gelu_tanh<S: Simd>(x: S::F) -> S::F {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    // SAFETY: lane arithmetic only.
    unsafe {
        let inner = S::fma(S::mul(S::mul(x, x), S::splat(0.044_715)), x, x);
        let t = tanh::<S>(S::mul(inner, S::splat(SQRT_2_OVER_PI)));
        S::mul(S::mul(x, S::splat(0.5)), S::add(S::splat(1.0), t))
    }
}
