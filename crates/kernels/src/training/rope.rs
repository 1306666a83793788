//! Rotary position embedding, in place: pairs of a head's channels are turned by an angle that grows with the position.
//!
//! Channels i and i + rotated / 2 are a pair (GPT-NeoX's order). A rotation's gradient is the rotation back, so one function is both
//! passes. Sequences lie one behind the other; each begins at position 0.

use std::ops::Range;

use super::{
    Machine,
    shared::{Shared, load_some},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, store_first};

/// Cosines and sines of every position of a sequence.
pub struct Angles {
    /// (positions, pairs)
    cosines: Vec<f32>,
    /// (positions, pairs)
    sines: Vec<f32>,
    positions: usize,
    pairs: usize,
}

impl Angles {
    /// For `rotated` channels of each head (an even number) and the frequencies `base^(-2 i / rotated)`.
    #[must_use]
    pub fn new(positions: usize, rotated: usize, base: f64) -> Self {
        let pairs = rotated / 2;
        let angles = (0..positions).flat_map(|position| {
            (0..pairs).map(move |i| {
                let frequency = base.powf(-2.0 * i as f64 / rotated as f64);
                position as f64 * frequency
            })
        });
        let (sines, cosines) = angles
            .map(|angle| (angle.sin() as f32, angle.cos() as f32))
            .unzip();
        Self {
            cosines,
            sines,
            positions,
            pairs,
        }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The forward pass.
    Forward,
    /// The gradient.
    Back,
}

/// Turns the heads of `x`, (tokens, heads, `head_dim`), in sequences of the angles' positions.
///
/// # Panics
/// When `x` is not whole sequences, or the heads are smaller than what is rotated.
pub fn rope(
    machine: &Machine,
    angles: &Angles,
    head_dim: usize,
    heads: usize,
    turn: Turn,
    x: &mut [f32],
) {
    let width = heads * head_dim;
    assert!(2 * angles.pairs <= head_dim, "channels of a head");
    assert!(
        x.len().is_multiple_of(width * angles.positions),
        "whole sequences"
    );
    let tokens = x.len() / width;
    let x = Shared::of(x);
    machine.for_pieces(tokens, |tokens| {
        let run = Run {
            angles,
            head_dim,
            heads,
            turn,
            x,
            tokens,
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, run) }
    });
}

struct Run<'a> {
    angles: &'a Angles,
    head_dim: usize,
    heads: usize,
    turn: Turn,
    x: Shared,
    tokens: Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let pairs = self.angles.pairs;
        for token in self.tokens {
            let row = token % self.angles.positions * pairs;
            for head in 0..self.heads {
                let x = self.x.at((token * self.heads + head) * self.head_dim);
                for at in (0..pairs).step_by(LANES) {
                    let count = pairs - at;
                    // SAFETY: `count` pairs are left of the head and of the angles.
                    unsafe {
                        let cosine =
                            load_some::<S>(self.angles.cosines.as_ptr().add(row + at), count);
                        let mut sine =
                            load_some::<S>(self.angles.sines.as_ptr().add(row + at), count);
                        if self.turn == Turn::Back {
                            sine = S::sub(S::splat(0.0), sine);
                        }
                        let (first, second) = (x.add(at), x.add(pairs + at));
                        let a = load_some::<S>(first, count);
                        let b = load_some::<S>(second, count);
                        let minus_b = S::sub(S::splat(0.0), b);
                        store_first::<S>(first, S::fma(minus_b, sine, S::mul(a, cosine)), count);
                        store_first::<S>(second, S::fma(a, sine, S::mul(b, cosine)), count);
                    }
                }
            }
        }
    }
}
