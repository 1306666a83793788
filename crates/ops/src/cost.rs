//! What a call must move and compute: the numerator of every roofline in Sprag.
//!
//! A cost is a lower bound that any implementation meets, not a count of what one of them does:
//!
//! - every input byte is read once and every output byte is written once, however many tokens share a weight; scratch buffers
//!   and the second reading of a value that no longer fits a cache do not count;
//! - a multiply-add is 2 operations, and so are a multiply and an add;
//! - a square root, exponential, hyperbolic tangent, sine or division counts as 1, since no machine agrees on what they take;
//! - decoding a block format, and rounding to one, counts as bytes only.
//!
//! Whether those bytes come from memory or from a cache is for the reader of the sum to decide.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// Bytes and operations of a call, or of a sum of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes that must be read: weights, activations, caches and state.
    pub read_bytes: u64,
    /// Bytes that must be written: outputs, caches and state.
    pub written_bytes: u64,
    /// Floating-point operations; a multiply-add is 2.
    pub f32_flops: u64,
    /// Operations on 8-bit integers with a wider accumulator; a multiply-add is 2.
    pub int8_ops: u64,
    /// Operations on 16-bit integers, likewise.
    pub int16_ops: u64,
    /// Floating-point operations on bfloat16 with an f32 accumulator; a multiply-add is 2.
    pub bf16_flops: u64,
}

impl Cost {
    /// Bytes in both directions.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.read_bytes.saturating_add(self.written_bytes)
    }
}

/// Sums saturate: a cost computed from absurd dimensions stays absurdly large instead of wrapping to a small one.
impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
            f32_flops: self.f32_flops.saturating_add(other.f32_flops),
            int8_ops: self.int8_ops.saturating_add(other.int8_ops),
            int16_ops: self.int16_ops.saturating_add(other.int16_ops),
            bf16_flops: self.bf16_flops.saturating_add(other.bf16_flops),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<u64> for Cost {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_mul(times),
            written_bytes: self.written_bytes.saturating_mul(times),
            f32_flops: self.f32_flops.saturating_mul(times),
            int8_ops: self.int8_ops.saturating_mul(times),
            int16_ops: self.int16_ops.saturating_mul(times),
            bf16_flops: self.bf16_flops.saturating_mul(times),
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Cost> for Cost {
    fn sum<I: Iterator<Item = &'a Self>>(iter: I) -> Self {
        iter.copied().sum()
    }
}

/// The product of `dimensions`, saturating.
pub(crate) fn product(dimensions: &[usize]) -> u64 {
    dimensions
        .iter()
        .fold(1, |all, &one| all.saturating_mul(one as u64))
}

/// The bytes of an f32 array with `dimensions`, saturating.
pub(crate) fn f32_bytes(dimensions: &[usize]) -> u64 {
    product(dimensions).saturating_mul(4)
}

#[cfg(test)]
mod tests;
