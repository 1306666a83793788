//! The loss over a vocabulary and all its gradients at once, with logits of a few tokens at a time.
//!
//! Logits are `z = h W^T`, capped to `c tanh(z / c)` where there is a cap. A token's loss is `ln(sum exp(z - m)) + (m - z[target])` in nats, m
//! the largest of its logits: the logarithm is never lost beside a large one. The loss is the mean over tokens that have a target. Its gradient by z is `(softmax(z) - 1[target]) / count`, times `1 - (z / c)^2` where capped. It
//! is made in place of the logits and multiplied with W and with h at once, so that logits of all tokens never exist.

use std::ops::Range;

use super::{
    Into, Machine, Matrix, MatrixMut, Precision, gemm,
    shared::{Shared, load_some},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first};

/// The target of a token that does not count.
pub const IGNORED: u32 = u32::MAX;

/// Logits at a time.
const LOGITS: usize = 1 << 18;

/// Gradients of logits below it are 0.
const SMALLEST: f32 = 1.0e-30;

/// What is multiplied, and what it should have been.
#[derive(Clone, Copy)]
pub struct Prediction<'a> {
    /// (tokens, width)
    pub hidden: &'a [f32],
    /// (vocabulary, width)
    pub weights: &'a [f32],
    /// The next token of each, or [`IGNORED`].
    pub targets: &'a [u32],
    /// Of the logits.
    pub soft_cap: Option<f32>,
    /// Of the products.
    pub precision: Precision,
}

/// Where gradients of the mean loss go.
pub struct Gradients<'a> {
    /// (tokens, width)
    pub hidden: (&'a mut [f32], Into),
    /// (vocabulary, width)
    pub weights: (&'a mut [f32], Into),
}

/// Tokens at a time.
fn rows(vocabulary: usize) -> usize {
    (LOGITS / vocabulary.max(1)).clamp(16, 1024)
}

/// f32 of `logits` in [`cross_entropy`].
#[must_use]
pub fn cross_entropy_logits(vocabulary: usize, tokens: usize) -> usize {
    rows(vocabulary).min(tokens) * vocabulary
}

/// Each token's loss in nats (0 where the target is ignored); and the gradients, scaled by `weight` over the number of tokens that count.
///
/// # Panics
/// When a slice does not fit, or a target is beyond the vocabulary.
pub fn cross_entropy(
    machine: &Machine,
    prediction: &Prediction<'_>,
    weight: f32,
    logits: &mut [f32],
    losses: &mut [f32],
    mut gradients: Option<Gradients<'_>>,
) {
    let Prediction {
        hidden,
        weights,
        targets,
        soft_cap,
        precision,
    } = *prediction;
    let tokens = targets.len();
    assert_eq!(losses.len(), tokens, "losses");
    if tokens == 0 {
        return;
    }
    let width = hidden.len() / tokens;
    assert_eq!(hidden.len(), tokens * width, "hidden states");
    let vocabulary = weights.len() / width;
    let known = |&target: &u32| target == IGNORED || (target as usize) < vocabulary;
    assert!(targets.iter().all(known), "targets of the vocabulary");
    let counted = targets.iter().filter(|&&target| target != IGNORED).count();
    let scale = weight / counted.max(1) as f32;
    let step = rows(vocabulary);
    let weights = Matrix::of(weights, vocabulary, width);
    for first in (0..tokens).step_by(step) {
        let some = first..tokens.min(first + step);
        let count = some.len();
        let values = some.start * width..some.end * width;
        let hidden = Matrix::of(&hidden[values.clone()], count, width);
        let logits = &mut logits[..count * vocabulary];
        let out = MatrixMut::of(logits, count, vocabulary);
        gemm(
            machine,
            precision,
            hidden,
            weights.transposed(),
            Into::Set,
            out,
        );
        let shared = (Shared::of(logits), Shared::of(&mut losses[some.clone()]));
        let targets = &targets[some];
        machine.pool.run(|team| {
            let run = Rows {
                logits: shared.0,
                losses: shared.1,
                targets,
                vocabulary,
                soft_cap,
                scale,
                rows: team.share(count),
            };
            // SAFETY: the lengths were checked; shares are disjoint; the processor has the set.
            unsafe { dispatch_floats(machine.isa, run) }
        });
        if let Some(gradients) = &mut gradients {
            let d_logits = Matrix::of(logits, count, vocabulary);
            let (d_hidden, into) = &mut gradients.hidden;
            let out = MatrixMut::of(&mut d_hidden[values], count, width);
            gemm(machine, precision, d_logits, weights, *into, out);
            let (d_weights, into) = &mut gradients.weights;
            let into = if first == 0 { *into } else { Into::Add };
            let out = MatrixMut::of(d_weights, vocabulary, width);
            gemm(machine, precision, d_logits.transposed(), hidden, into, out);
        }
    }
}

/// Some rows of logits: each becomes its gradient.
struct Rows<'a> {
    logits: Shared,
    losses: Shared,
    targets: &'a [u32],
    vocabulary: usize,
    soft_cap: Option<f32>,
    scale: f32,
    rows: Range<usize>,
}

impl Kernel for Rows<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for row in self.rows.clone() {
            // SAFETY: the row has `vocabulary` logits, and its target is one of them.
            unsafe {
                let z = self.logits.at(row * self.vocabulary);
                let largest = self.cap::<S>(z);
                *self.losses.at(row) = self.row::<S>(z, largest, self.targets[row]);
            }
        }
    }
}

impl Rows<'_> {
    /// Caps the logits, and returns the largest.
    #[inline(always)]
    unsafe fn cap<S: Simd>(&self, z: *mut f32) -> f32 {
        let mut largest = f32::NEG_INFINITY;
        for at in (0..self.vocabulary).step_by(LANES) {
            let count = self.vocabulary - at;
            // SAFETY: `count` logits are left.
            unsafe {
                let mut x = load_some::<S>(z.add(at), count);
                if let Some(cap) = self.soft_cap {
                    x = math::soft_cap::<S>(x, cap);
                    store_first::<S>(z.add(at), x, count);
                }
                let there = S::keep(x, S::splat(f32::NEG_INFINITY), 0, count.min(LANES));
                largest = largest.max(S::largest(there));
            }
        }
        largest
    }

    /// The row's loss; the logits become their gradient.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, z: *mut f32, largest: f32, target: u32) -> f32 {
        // SAFETY: the row has `vocabulary` logits, and its target is one of them.
        unsafe {
            let mut sum = S::splat(0.0);
            for at in (0..self.vocabulary).step_by(LANES) {
                let count = self.vocabulary - at;
                let x = S::sub(load_some::<S>(z.add(at), count), S::splat(largest));
                let e = math::exp::<S>(x);
                sum = S::add(sum, S::keep(e, S::splat(0.0), 0, count.min(LANES)));
            }
            let log_rest = S::sum(sum).ln();
            let is_ignored = target == IGNORED;
            let scale = if is_ignored { 0.0 } else { self.scale };
            let at_target = if is_ignored {
                0.0
            } else {
                *z.add(target as usize)
            };
            for at in (0..self.vocabulary).step_by(LANES) {
                let count = self.vocabulary - at;
                let x = load_some::<S>(z.add(at), count);
                let above = S::sub(x, S::splat(largest));
                let p = math::exp::<S>(S::sub(above, S::splat(log_rest)));
                let slope = self.slope::<S>(x);
                // Products with subnormal numbers take a hundred cycles each, and change no sum.
                let p = S::mul(p, S::splat(scale));
                let p = S::zero_below(p, S::splat(SMALLEST), p);
                store_first::<S>(z.add(at), S::mul(p, slope), count);
            }
            if is_ignored {
                return 0.0;
            }
            let slope = self.soft_cap.map_or(1.0, |cap| {
                let t = at_target / cap;
                1.0 - t * t
            });
            *z.add(target as usize) -= scale * slope;
            log_rest + (largest - at_target)
        }
    }

    /// Of the cap, where the capped logits are `x`.
    #[inline(always)]
    unsafe fn slope<S: Simd>(&self, x: S::F) -> S::F {
        // SAFETY: lane arithmetic only.
        unsafe {
            let one = S::splat(1.0);
            let Some(cap) = self.soft_cap else { return one };
            let t = S::div(x, S::splat(cap));
            let minus_t = S::sub(S::splat(0.0), t);
            S::fma(minus_t, t, one)
        }
    }
}
