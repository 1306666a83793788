//! Heads scaled to unit length, `y = scale x r` with `r = 1 / sqrt(sum(x^2) + eps)`, and its backward pass.
//!
//! `dx = scale r (dy - x r^2 sum(dy x))`. The forward pass keeps r.
//!
//! # Shape
//! `x` and `out` (rows, `head_dim`), a head of a token a row; `inverse` (rows).
//!
//! # Source
//! Yang, Kautz and Hatamizadeh, *Gated Delta Networks*, 2024, where queries and keys pass through it.

use std::ops::Range;

use super::{
    Into, Machine,
    shared::{Shared, load_some},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, store_first};

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L2Norm {
    /// Channels of a row.
    pub head_dim: usize,
    /// Added to the sum of squares.
    pub eps: f32,
    /// Length of the results.
    pub scale: f32,
}

/// Writes the scaled rows, and the inverse root of each.
///
/// # Panics
/// When a slice does not fit.
pub fn l2_norm(machine: &Machine, norm: &L2Norm, x: &[f32], out: &mut [f32], inverse: &mut [f32]) {
    let rows = inverse.len();
    assert_eq!(x.len(), rows * norm.head_dim, "x");
    assert_eq!(out.len(), x.len(), "out");
    let forward = Forward {
        norm: *norm,
        x: Shared::read(x),
        out: Shared::of(out),
        inverse: Shared::of(inverse),
        rows: 0..0,
    };
    machine.for_pieces(rows, |rows| {
        let forward = Forward {
            rows,
            ..forward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, forward) }
    });
}

#[derive(Clone)]
struct Forward {
    norm: L2Norm,
    x: Shared,
    out: Shared,
    inverse: Shared,
    rows: Range<usize>,
}

impl Kernel for Forward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let L2Norm {
            head_dim,
            eps,
            scale,
        } = self.norm;
        for row in self.rows {
            // SAFETY: `head_dim` values from `row * head_dim` on.
            unsafe {
                let (x, out) = (self.x.at(row * head_dim), self.out.at(row * head_dim));
                let mut sum = S::splat(0.0);
                for at in (0..head_dim).step_by(LANES) {
                    let x = load_some::<S>(x.add(at), head_dim - at);
                    sum = S::fma(x, x, sum);
                }
                let inverse = 1.0 / (S::sum(sum) + eps).sqrt();
                *self.inverse.at(row) = inverse;
                let factor = S::splat(scale * inverse);
                for at in (0..head_dim).step_by(LANES) {
                    let count = head_dim - at;
                    let y = S::mul(load_some::<S>(x.add(at), count), factor);
                    store_first::<S>(out.add(at), y, count);
                }
            }
        }
    }
}

/// Gradient of the rows, from that of the result; `inverse` is what [`l2_norm`] kept.
///
/// # Panics
/// When a slice does not fit.
pub fn l2_norm_backward(
    machine: &Machine,
    norm: &L2Norm,
    (x, inverse): (&[f32], &[f32]),
    d_out: &[f32],
    (d_x, into): (&mut [f32], Into),
) {
    let rows = inverse.len();
    assert_eq!(x.len(), rows * norm.head_dim, "x");
    assert_eq!(d_out.len(), x.len(), "gradient of the result");
    assert_eq!(d_x.len(), x.len(), "gradient of x");
    let backward = Backward {
        norm: *norm,
        x: Shared::read(x),
        inverse: Shared::read(inverse),
        d_out: Shared::read(d_out),
        d_x: (Shared::of(d_x), into),
        rows: 0..0,
    };
    machine.for_pieces(rows, |rows| {
        let backward = Backward {
            rows,
            ..backward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, backward) }
    });
}

#[derive(Clone)]
struct Backward {
    norm: L2Norm,
    x: Shared,
    inverse: Shared,
    d_out: Shared,
    d_x: (Shared, Into),
    rows: Range<usize>,
}

impl Kernel for Backward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let L2Norm {
            head_dim, scale, ..
        } = self.norm;
        for row in self.rows {
            // SAFETY: `head_dim` values from `row * head_dim` on.
            unsafe {
                let (x, dy) = (self.x.at(row * head_dim), self.d_out.at(row * head_dim));
                let inverse = *self.inverse.at(row);
                let mut products = S::splat(0.0);
                for at in (0..head_dim).step_by(LANES) {
                    let count = head_dim - at;
                    let x = load_some::<S>(x.add(at), count);
                    products = S::fma(load_some::<S>(dy.add(at), count), x, products);
                }
                let factor = S::splat(scale * inverse);
                let minus_pull = S::splat(-inverse * inverse * S::sum(products));
                for at in (0..head_dim).step_by(LANES) {
                    let (count, out) = (head_dim - at, self.d_x.0.at(row * head_dim + at));
                    let x = load_some::<S>(x.add(at), count);
                    let across = S::fma(minus_pull, x, load_some::<S>(dy.add(at), count));
                    let mut dx = S::mul(factor, across);
                    if self.d_x.1 == Into::Add {
                        dx = S::add(load_some::<S>(out, count), dx);
                    }
                    store_first::<S>(out, dx, count);
                }
            }
        }
    }
}
