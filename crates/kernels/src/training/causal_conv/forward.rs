//! The forward pass.

use std::ops::Range;

use super::{ConvolutionShape, GROUP, TAPS, convolve, of_taps, of_token, seen};
use crate::{
    simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first},
    training::{Machine, shared::Shared},
};

/// Writes the convolved channels.
///
/// # Panics
/// When a slice does not fit, or [`ConvolutionShape::scratch`] was not reserved.
pub fn causal_conv(
    machine: &Machine,
    shape: &ConvolutionShape,
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    assert_eq!(
        (x.len(), out.len()),
        (shape.values(), shape.values()),
        "x and out"
    );
    assert_eq!(weight.len(), TAPS * shape.channels, "taps of each channel");
    let mut scratch = machine.scratch(shape.all_taps());
    let taps = &mut scratch.as_mut_slice()[..shape.all_taps()];
    shape.turn(weight, taps);
    let (x, taps, out) = (Shared::read(x), Shared::read(taps), Shared::of(out));
    machine.for_pieces(shape.tokens(), |tokens| {
        let forward = Forward {
            shape: *shape,
            x,
            taps,
            out,
            tokens,
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, forward) }
    });
}

struct Forward {
    shape: ConvolutionShape,
    x: Shared,
    /// (tap, channel)
    taps: Shared,
    out: Shared,
    tokens: Range<usize>,
}

impl Kernel for Forward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut tokens = self.tokens.clone();
        while !tokens.is_empty() {
            let (of_sequence, mut position) = self.shape.first_sequence(&tokens);
            tokens.start = of_sequence.end;
            let mut token = of_sequence.start;
            // SAFETY: the contract of `causal_conv`: the tokens exist.
            unsafe {
                while token + GROUP <= of_sequence.end {
                    self.rows::<S, GROUP>(token, position);
                    (token, position) = (token + GROUP, position + GROUP);
                }
                while token < of_sequence.end {
                    self.rows::<S, 1>(token, position);
                    (token, position) = (token + 1, position + 1);
                }
            }
        }
    }
}

impl Forward {
    /// `G` tokens of a sequence from `token` on, which is at `position`.
    #[inline(always)]
    unsafe fn rows<S: Simd, const G: usize>(&self, token: usize, position: usize) {
        let channels = self.shape.channels;
        let whole = channels / LANES * LANES;
        // SAFETY: the contract of `causal_conv`: the tokens exist.
        unsafe {
            for channel in (0..whole).step_by(LANES) {
                self.vector::<S, G>(token, position, channel, LANES);
            }
            if whole < channels {
                self.vector::<S, G>(token, position, whole, channels - whole);
            }
        }
    }

    /// `count` of their channels, up to 16.
    #[inline(always)]
    unsafe fn vector<S: Simd, const G: usize>(
        &self,
        token: usize,
        position: usize,
        channel: usize,
        count: usize,
    ) {
        let channels = self.shape.channels;
        let at = token * channels + channel;
        // SAFETY: `count` channels of each token are left; taps are whole vectors.
        unsafe {
            let taps = of_taps::<S>(self.taps.at(channel), self.shape.step());
            let x = seen::<S, G>(self.x, at, channels, position, count);
            // What the next tokens read and write: a page's rows are too short for the processor to run ahead in.
            for i in G..2 * G {
                S::prefetch(self.x.at(at + i * channels).cast());
                S::prefetch(self.out.at(at + i * channels).cast());
            }
            let mut y = [S::splat(0.0); G];
            for (i, y) in y.iter_mut().enumerate() {
                *y = math::silu::<S>(convolve::<S>(&taps, of_token(&x, i)));
            }
            for (i, y) in y.into_iter().enumerate() {
                store_first::<S>(self.out.at(at + i * channels), y, count);
            }
        }
    }
}
