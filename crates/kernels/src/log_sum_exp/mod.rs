//! The logarithm of a softmax's denominator, for those who read logits; see `ops::log_sum_exp` for what it is.
//!
//! Two passes over values that lie in the caches: the largest, then the exponentials of the differences from it. Sums of
//! [`BLOCK`] vectors are f32, sums of those f64: what is lost is the exponentials' own rounding, whatever the length.

#[cfg(test)]
mod tests;

use crate::simd::{Isa, Kernel, LANES, Simd, dispatch, math};

/// Vectors whose exponentials are added in f32.
const BLOCK: usize = 32;

/// `ln sum_i exp(x_i)`; NaN where a value is NaN or the largest is not finite; minus infinity of nothing.
#[must_use]
pub fn log_sum_exp(isa: Isa, x: &[f32]) -> f64 {
    if x.is_empty() {
        return f64::NEG_INFINITY;
    }
    let isa = if isa.is_available() {
        isa
    } else {
        Isa::detect()
    };
    // SAFETY: the processor has the set.
    unsafe { dispatch(isa, LogSumExp { x }) }
}

struct LogSumExp<'a> {
    x: &'a [f32],
}

impl Kernel for LogSumExp<'_> {
    type Out = f64;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f64 {
        let (vectors, rest) = self.x.as_chunks::<LANES>();
        // Of no weight beside any other value.
        let mut last = [f32::NEG_INFINITY; LANES];
        for (lane, &x) in last.iter_mut().zip(rest) {
            *lane = x;
        }
        // SAFETY: every vector is 16 values; the processor has `S`.
        unsafe {
            let mut largest = S::load(last.as_ptr());
            for x in vectors {
                // A NaN that is lost here comes back in the sum.
                largest = S::max(largest, S::load(x.as_ptr()));
            }
            let largest = S::largest(largest);
            let top = S::splat(largest);
            let mut sum = f64::from(S::sum(above::<S>(&last, top)));
            for block in vectors.chunks(BLOCK) {
                let mut partial = S::splat(0.0);
                for x in block {
                    partial = S::add(partial, above::<S>(x, top));
                }
                sum += f64::from(S::sum(partial));
            }
            f64::from(largest) + sum.ln()
        }
    }
}

/// The exponentials of what a vector's values are above `top`.
#[inline(always)]
unsafe fn above<S: Simd>(x: &[f32; LANES], top: S::F) -> S::F {
    // SAFETY: 16 values; the features are the caller's contract.
    unsafe { math::exp::<S>(S::sub(S::load(x.as_ptr()), top)) }
}
