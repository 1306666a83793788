//! Root-mean-square normalisation of rows, `y = x r w` with `r = 1 / sqrt(mean(x^2) + eps)`, and its backward pass.
//!
//! With `h = dy w` and `c = r^3 mean(h x)`: `dx = r h - c x`, and `dw` is the sum over rows of `dy x r`. The forward pass keeps r.
//!
//! # Shape
//! `x` and `out` (rows, width); `weight` (width); `inverse` (rows). Heads of a token are rows of their own.

use std::ops::Range;

use super::{
    Into, Machine,
    shared::{PIECE, Shared, load_some, pieces},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, store_first};

/// Writes the normalised rows, and the inverse root of each.
///
/// # Panics
/// When a slice does not fit.
pub fn rms_norm(
    machine: &Machine,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
    inverse: &mut [f32],
) {
    let width = weight.len();
    assert_eq!(x.len(), inverse.len() * width, "x");
    assert_eq!(out.len(), x.len(), "out");
    let (x, weight) = (Shared::read(x), Shared::read(weight));
    let rows = inverse.len();
    let (out, inverse) = (Shared::of(out), Shared::of(inverse));
    machine.for_pieces(rows, |rows| {
        let forward = Forward {
            x,
            weight,
            eps,
            width,
            out,
            inverse,
            rows,
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, forward) }
    });
}

struct Forward {
    x: Shared,
    weight: Shared,
    eps: f32,
    width: usize,
    out: Shared,
    inverse: Shared,
    rows: Range<usize>,
}

impl Kernel for Forward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let width = self.width;
        for row in self.rows {
            // SAFETY: `width` values from `row * width` on.
            unsafe {
                let x = self.x.at(row * width);
                let mut sum = S::splat(0.0);
                for at in (0..width).step_by(LANES) {
                    let x = load_some::<S>(x.add(at), width - at);
                    sum = S::fma(x, x, sum);
                }
                let inverse = 1.0 / (S::sum(sum) / width as f32 + self.eps).sqrt();
                *self.inverse.at(row) = inverse;
                for at in (0..width).step_by(LANES) {
                    let (count, out) = (width - at, self.out.at(row * width + at));
                    let y = S::mul(load_some::<S>(x.add(at), count), S::splat(inverse));
                    let w = load_some::<S>(self.weight.at(at), count);
                    store_first::<S>(out, S::mul(y, w), count);
                }
            }
        }
    }
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// The rows before.
    pub x: &'a [f32],
    /// The weight.
    pub weight: &'a [f32],
    /// What [`rms_norm`] kept.
    pub inverse: &'a [f32],
}

/// Working memory of [`rms_norm_backward`], in f32.
#[must_use]
pub const fn rms_norm_scratch(rows: usize, width: usize) -> usize {
    pieces(rows) * width.next_multiple_of(LANES)
}

/// Gradients of the rows and of the weight, from that of the result.
///
/// # Panics
/// When a slice does not fit, or [`rms_norm_scratch`] was not reserved.
pub fn rms_norm_backward(
    machine: &Machine,
    kept: Kept<'_>,
    d_out: &[f32],
    d_x: (&mut [f32], Into),
    d_weight: (&mut [f32], Into),
) {
    let (width, rows) = (kept.weight.len(), kept.inverse.len());
    assert_eq!(kept.x.len(), rows * width, "x");
    assert_eq!(d_out.len(), kept.x.len(), "gradient of the result");
    assert_eq!(d_x.0.len(), kept.x.len(), "gradient of x");
    assert_eq!(d_weight.0.len(), width, "gradient of the weight");
    let mut scratch = machine.scratch(rms_norm_scratch(rows, width));
    let sums = Shared::of(scratch.as_mut_slice());
    let backward = Backward {
        x: Shared::read(kept.x),
        weight: Shared::read(kept.weight),
        inverse: Shared::read(kept.inverse),
        d_out: Shared::read(d_out),
        d_x: (Shared::of(d_x.0), d_x.1),
        sums,
        width,
        rows: 0..0,
    };
    machine.for_pieces(rows, |rows| {
        let backward = Backward {
            rows,
            ..backward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint, in the sums too; the processor has the set.
        unsafe { dispatch_floats(machine.isa, backward) }
    });
    let step = width.next_multiple_of(LANES);
    sum_pieces(&scratch.as_slice()[..pieces(rows) * step], step, d_weight);
}

/// The sums of pieces, `step` apart, in order.
pub(super) fn sum_pieces(sums: &[f32], step: usize, (out, into): (&mut [f32], Into)) {
    if into == Into::Set {
        out.fill(0.0);
    }
    for sums in sums.chunks_exact(step) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out += sum;
        }
    }
}

#[derive(Clone)]
struct Backward {
    x: Shared,
    weight: Shared,
    inverse: Shared,
    d_out: Shared,
    d_x: (Shared, Into),
    /// Of each piece, the weight's gradient.
    sums: Shared,
    width: usize,
    rows: Range<usize>,
}

impl Kernel for Backward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let width = self.width;
        let sums = self
            .sums
            .at(self.rows.start / PIECE * width.next_multiple_of(LANES));
        // SAFETY: `width` values from `row * width` on; a piece's sums are whole vectors.
        unsafe {
            for at in (0..width).step_by(LANES) {
                S::store(sums.add(at), S::splat(0.0));
            }
            for row in self.rows {
                let (x, dy) = (self.x.at(row * width), self.d_out.at(row * width));
                let inverse = *self.inverse.at(row);
                let mut products = S::splat(0.0);
                for at in (0..width).step_by(LANES) {
                    let count = width - at;
                    let x = load_some::<S>(x.add(at), count);
                    let dy = load_some::<S>(dy.add(at), count);
                    let w = load_some::<S>(self.weight.at(at), count);
                    products = S::fma(S::mul(dy, w), x, products);
                    let sum = sums.add(at);
                    let normal = S::mul(x, S::splat(inverse));
                    S::store(sum, S::fma(dy, normal, S::load(sum)));
                }
                let mean = S::sum(products) / width as f32;
                let minus_c = S::splat(-inverse * inverse * inverse * mean);
                for at in (0..width).step_by(LANES) {
                    let (count, out) = (width - at, self.d_x.0.at(row * width + at));
                    let x = load_some::<S>(x.add(at), count);
                    let dy = load_some::<S>(dy.add(at), count);
                    let w = load_some::<S>(self.weight.at(at), count);
                    let h = S::mul(S::mul(dy, w), S::splat(inverse));
                    let mut dx = S::fma(minus_c, x, h);
                    if self.d_x.1 == Into::Add {
                        dx = S::add(load_some::<S>(out, count), dx);
                    }
                    store_first::<S>(out, dx, count);
                }
            }
        }
    }
}
