//! AdamW on a flat array of parameters, and the sum of squares that clipping needs.
//!
//! `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, `p = p (1 - rate decay) - rate m' / (sqrt(v') + eps)` with the bias-corrected
//! `m' = m / (1 - b1^t)` and `v' = v / (1 - b2^t)`. Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2019.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{
    Machine,
    shared::{Shared, load_some},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, store_first};

/// Constants of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub rate: f32,
    /// Of the mean of gradients.
    pub beta1: f32,
    /// Of the mean of their squares.
    pub beta2: f32,
    /// Added to the root.
    pub eps: f32,
    /// Decoupled weight decay.
    pub decay: f32,
    /// Steps, this one included.
    pub step: u64,
    /// Gradients are multiplied by it first (clipping, accumulation).
    pub gradient_scale: f32,
}

/// Parameters at a time.
const ELEMENTS: usize = 4096;

/// Moves the parameters by one step.
///
/// # Panics
/// When the lengths differ.
pub fn adamw(
    machine: &Machine,
    step: &AdamW,
    parameters: &mut [f32],
    gradient: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    let len = parameters.len();
    assert_eq!(
        (gradient.len(), mean.len(), square.len()),
        (len, len, len),
        "lengths"
    );
    let bias = |beta: f32| (1.0 - f64::from(beta).powf(step.step as f64)) as f32;
    let shared = [Shared::of(parameters), Shared::of(mean), Shared::of(square)];
    let gradient = Shared::read(gradient);
    let (bias1, bias2) = (bias(step.beta1), bias(step.beta2));
    machine.pool.run(|team| {
        team.deal(0, len.div_ceil(ELEMENTS), 1, |pieces| {
            let run = Run {
                step,
                rate: step.rate / bias1,
                inverse_bias2: 1.0 / bias2,
                shared,
                gradient,
                elements: pieces.start * ELEMENTS..len.min(pieces.end * ELEMENTS),
            };
            // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
            unsafe { dispatch_floats(machine.isa, run) }
        });
    });
}

struct Run<'a> {
    step: &'a AdamW,
    /// Over the mean's bias.
    rate: f32,
    inverse_bias2: f32,
    /// Parameters, means, squares.
    shared: [Shared; 3],
    gradient: Shared,
    elements: Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let step = self.step;
        for at in self.elements.clone().step_by(LANES) {
            let count = self.elements.end - at;
            let [p, m, v] = self.shared.map(|shared| shared.at(at));
            // SAFETY: `count` elements are left.
            unsafe {
                let g = load_some::<S>(self.gradient.at(at), count);
                let g = S::mul(g, S::splat(step.gradient_scale));
                let mean = S::mul(g, S::splat(1.0 - step.beta1));
                let mean = S::fma(S::splat(step.beta1), load_some::<S>(m, count), mean);
                let square = S::mul(S::mul(g, g), S::splat(1.0 - step.beta2));
                let square = S::fma(S::splat(step.beta2), load_some::<S>(v, count), square);
                store_first::<S>(m, mean, count);
                store_first::<S>(v, square, count);
                let root = S::sqrt(S::mul(square, S::splat(self.inverse_bias2)));
                let change = S::div(
                    S::mul(mean, S::splat(-self.rate)),
                    S::add(root, S::splat(step.eps)),
                );
                let kept = S::splat(1.0 - step.rate * step.decay);
                store_first::<S>(p, S::fma(load_some::<S>(p, count), kept, change), count);
            }
        }
    }
}

/// The sum of squares, over fixed pieces in order.
#[must_use]
pub fn sum_of_squares(machine: &Machine, x: &[f32]) -> f64 {
    // A piece's sum as its bits: atomics are what threads may write without a lock.
    let sums: Vec<AtomicU32> = x.chunks(ELEMENTS).map(|_| AtomicU32::new(0)).collect();
    machine.pool.run(|team| {
        for index in team.share(sums.len()) {
            let elements = &x[index * ELEMENTS..x.len().min((index + 1) * ELEMENTS)];
            // SAFETY: a slice; the processor has the set.
            let sum = unsafe { dispatch_floats(machine.isa, Squares(elements)) };
            sums[index].store(sum.to_bits(), Relaxed);
        }
    });
    sums.into_iter()
        .map(|sum| f64::from(f32::from_bits(sum.into_inner())))
        .sum()
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Out = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        let len = self.0.len();
        // SAFETY: `len - at` values are left.
        unsafe {
            let mut sum = S::splat(0.0);
            for at in (0..len).step_by(LANES) {
                let x = load_some::<S>(self.0.as_ptr().add(at), len - at);
                sum = S::fma(x, x, sum);
            }
            S::sum(sum)
        }
    }
}
