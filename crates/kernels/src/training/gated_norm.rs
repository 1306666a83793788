//! The output norm of Gated DeltaNet: each head is RMS-normed and multiplied by the SiLU of a gate, `y = u silu(z)` with `u = x r w` and
//! `r = 1 / sqrt(mean(x^2) + eps)`.
//!
//! Backwards, with `s = sigmoid(z)`, `du = dy z s` and `h = du w`:
//!
//! ```text
//! dx = r h - r^3 mean(h x) x        dw = sum over rows of du x r        dz = dy u s (1 + z (1 - s))
//! ```
//!
//! The forward pass keeps r; the sigmoid is made again.
//!
//! # Shape
//! `x`, `z` and `out` (rows, `head_dim`), a head of a token a row; `weight` (`head_dim`), shared by all heads; `inverse` (rows).

use std::ops::Range;

use super::{
    Into, Machine,
    pointwise::sigmoids,
    rms_norm::{rms_norm_scratch, sum_pieces},
    shared::{PIECE, Shared, load_some, pieces},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first};

/// Writes the normalised and gated rows, and the inverse root of each.
///
/// # Panics
/// When a slice does not fit.
pub fn gated_norm(
    machine: &Machine,
    (x, z): (&[f32], &[f32]),
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
    inverse: &mut [f32],
) {
    let (rows, width) = (inverse.len(), weight.len());
    assert_eq!(x.len(), rows * width, "x");
    assert_eq!(z.len(), x.len(), "gates");
    assert_eq!(out.len(), x.len(), "out");
    let forward = Forward {
        x: Shared::read(x),
        z: Shared::read(z),
        weight: Shared::read(weight),
        eps,
        width,
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
    x: Shared,
    z: Shared,
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
                let (x, z) = (self.x.at(row * width), self.z.at(row * width));
                let mut sum = S::splat(0.0);
                for at in (0..width).step_by(LANES) {
                    let x = load_some::<S>(x.add(at), width - at);
                    sum = S::fma(x, x, sum);
                }
                let inverse = 1.0 / (S::sum(sum) / width as f32 + self.eps).sqrt();
                *self.inverse.at(row) = inverse;
                for at in (0..width).step_by(LANES) {
                    let (count, out) = (width - at, self.out.at(row * width + at));
                    let normal = S::mul(load_some::<S>(x.add(at), count), S::splat(inverse));
                    let u = S::mul(normal, load_some::<S>(self.weight.at(at), count));
                    let gate = math::silu::<S>(load_some::<S>(z.add(at), count));
                    store_first::<S>(out, S::mul(u, gate), count);
                }
            }
        }
    }
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub struct GatedNormKept<'a> {
    /// The rows before.
    pub x: &'a [f32],
    /// The gates before their SiLU.
    pub z: &'a [f32],
    /// The weight.
    pub weight: &'a [f32],
    /// What [`gated_norm`] kept.
    pub inverse: &'a [f32],
}

/// Working memory of [`gated_norm_backward`], in f32.
#[must_use]
pub const fn gated_norm_scratch(rows: usize, head_dim: usize) -> usize {
    rms_norm_scratch(rows, head_dim)
}

/// Gradients of the rows, the gates and the weight, from that of the result.
///
/// # Panics
/// When a slice does not fit, or [`gated_norm_scratch`] was not reserved.
pub fn gated_norm_backward(
    machine: &Machine,
    kept: GatedNormKept<'_>,
    d_out: &[f32],
    d_x: (&mut [f32], Into),
    d_z: (&mut [f32], Into),
    d_weight: (&mut [f32], Into),
) {
    let (width, rows) = (kept.weight.len(), kept.inverse.len());
    assert_eq!(kept.x.len(), rows * width, "x");
    for (name, len) in [
        ("gates", kept.z.len()),
        ("gradient of the result", d_out.len()),
        ("gradient of x", d_x.0.len()),
        ("gradient of the gates", d_z.0.len()),
    ] {
        assert_eq!(len, rows * width, "{name}");
    }
    assert_eq!(d_weight.0.len(), width, "gradient of the weight");
    let mut scratch = machine.scratch(gated_norm_scratch(rows, width));
    let backward = Backward {
        read: [kept.x, kept.z, d_out, kept.weight, kept.inverse].map(Shared::read),
        d_x: (Shared::of(d_x.0), d_x.1),
        d_z: (Shared::of(d_z.0), d_z.1),
        sums: Shared::of(scratch.as_mut_slice()),
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

#[derive(Clone)]
struct Backward {
    /// x, gates, gradient of the result, weight, inverse roots.
    read: [Shared; 5],
    d_x: (Shared, Into),
    d_z: (Shared, Into),
    /// Of each piece, the weight's gradient.
    sums: Shared,
    width: usize,
    rows: Range<usize>,
}

impl Kernel for Backward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let step = self.width.next_multiple_of(LANES);
        let sums = self.sums.at(self.rows.start / PIECE * step);
        // SAFETY: rows of the piece exist; a piece's sums are whole vectors.
        unsafe {
            for at in (0..step).step_by(LANES) {
                S::store(sums.add(at), S::splat(0.0));
            }
            for row in self.rows.clone() {
                let pull = self.gates::<S>(row, sums);
                self.values::<S>(row, pull);
            }
        }
    }
}

impl Backward {
    /// The row's part of the weight's gradient and its gates'; what [`Backward::values`] subtracts of x.
    #[inline(always)]
    unsafe fn gates<S: Simd>(&self, row: usize, sums: *mut f32) -> f32 {
        let (width, start) = (self.width, row * self.width);
        let [x, z, dy, weight, inverse] = self.read;
        // SAFETY: `width` values from `start` on.
        unsafe {
            let inverse = *inverse.at(row);
            let mut products = S::splat(0.0);
            for at in (0..width).step_by(LANES) {
                let count = width - at;
                let [x, z, dy] = [x, z, dy].map(|from| from.at(start + at));
                let (x, z) = (load_some::<S>(x, count), load_some::<S>(z, count));
                let (dy, w) = (
                    load_some::<S>(dy, count),
                    load_some::<S>(weight.at(at), count),
                );
                let (s, rest) = sigmoids::<S>(z);
                let silu = S::mul(z, s);
                let normal = S::mul(x, S::splat(inverse));
                let du = S::mul(dy, silu);
                products = S::fma(S::mul(du, w), x, products);
                S::store(sums.add(at), S::fma(du, normal, S::load(sums.add(at))));
                let mut dz = S::mul(S::mul(dy, S::mul(normal, w)), S::fma(silu, rest, s));
                let to = self.d_z.0.at(start + at);
                if self.d_z.1 == Into::Add {
                    dz = S::add(load_some::<S>(to, count), dz);
                }
                store_first::<S>(to, dz, count);
            }
            inverse * inverse * inverse * (S::sum(products) / width as f32)
        }
    }

    #[inline(always)]
    unsafe fn values<S: Simd>(&self, row: usize, pull: f32) {
        let (width, start) = (self.width, row * self.width);
        let [x, z, dy, weight, inverse] = self.read;
        // SAFETY: `width` values from `start` on.
        unsafe {
            let inverse = S::splat(*inverse.at(row));
            for at in (0..width).step_by(LANES) {
                let count = width - at;
                let silu = math::silu::<S>(load_some::<S>(z.at(start + at), count));
                let du = S::mul(load_some::<S>(dy.at(start + at), count), silu);
                let h = S::mul(S::mul(du, load_some::<S>(weight.at(at), count)), inverse);
                let mut dx = S::fma(S::splat(-pull), load_some::<S>(x.at(start + at), count), h);
                let to = self.d_x.0.at(start + at);
                if self.d_x.1 == Into::Add {
                    dx = S::add(load_some::<S>(to, count), dx);
                }
                store_first::<S>(to, dx, count);
            }
        }
    }
}
