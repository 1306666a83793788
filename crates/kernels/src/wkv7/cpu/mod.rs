//! A layer's dimensions, and the three kernels.

mod gates;
mod output;
mod scan;

pub(crate) use gates::{Gates, Residual, gates};
pub(crate) use output::{Output, output};
pub(crate) use scan::{Scan, scan};

use crate::simd::{LANES, Simd};

/// Dimensions of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wkv7Shape {
    /// Heads.
    pub heads: usize,
    /// Channels of a head: rows and columns of its state; a multiple of 16.
    pub head_dim: usize,
}

impl Wkv7Shape {
    /// Columns of keys, values and all others.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of the state.
    #[must_use]
    pub const fn state_len(&self) -> usize {
        self.width() * self.head_dim
    }
}

/// The sum of `a * b`.
///
/// # Safety
/// Both hold `len` values, a multiple of 16.
#[inline(always)]
unsafe fn dot<S: Simd>(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sum = S::splat(0.0);
        let mut at = 0;
        while at < len {
            sum = S::fma(S::load(a.add(at)), S::load(b.add(at)), sum);
            at += LANES;
        }
        S::sum(sum)
    }
}
