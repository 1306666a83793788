//! The backward pass: du of each token once it is reached, and with it the gradient of the inputs three tokens before, which is then complete.
//!
//! A piece goes on for the 3 tokens behind it that see its last one, if they are of the same sequence: their `du` is made once more.

use std::ops::Range;

use super::{ConvolutionShape, GROUP, TAPS, convolve, of_taps, of_token, seen};
use crate::{
    simd::{Kernel, LANES, Simd, dispatch_floats, store_first},
    training::{
        Into, Machine,
        pointwise::sigmoids,
        shared::{PIECE, Shared, load_some, pieces},
    },
};

/// Gradients of the inputs and of the taps, from that of the result.
///
/// # Panics
/// When a slice does not fit, or [`ConvolutionShape::scratch`] was not reserved.
pub fn causal_conv_backward(
    machine: &Machine,
    shape: &ConvolutionShape,
    (x, weight): (&[f32], &[f32]),
    d_out: &[f32],
    d_x: (&mut [f32], Into),
    d_weight: (&mut [f32], Into),
) {
    let values = shape.values();
    assert_eq!(
        (x.len(), d_out.len(), d_x.0.len()),
        (values, values, values),
        "x and gradients"
    );
    let all_taps = TAPS * shape.channels;
    assert_eq!(
        (weight.len(), d_weight.0.len()),
        (all_taps, all_taps),
        "taps and their gradient"
    );
    let of_pieces = pieces(shape.tokens()) * shape.all_taps();
    let mut scratch = machine.scratch(shape.scratch());
    let (taps, rest) = scratch.as_mut_slice().split_at_mut(shape.all_taps());
    let (sums, slopes) = rest.split_at_mut(of_pieces);
    shape.turn(weight, taps);
    let backward = Backward {
        shape: *shape,
        x: Shared::read(x),
        taps: Shared::read(taps),
        d_out: Shared::read(d_out),
        d_x: (Shared::of(d_x.0), d_x.1),
        sums: Shared::of(sums),
        slopes: Shared::of(&mut slopes[..of_pieces]),
        tokens: 0..0,
    };
    machine.for_pieces(shape.tokens(), |tokens| {
        let backward = Backward {
            tokens,
            ..backward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint, in the scratch too; the processor has the set.
        unsafe { dispatch_floats(machine.isa, backward) }
    });
    let (all, others) = sums.split_at_mut(shape.all_taps().min(of_pieces));
    for sums in others.chunks_exact(all.len().max(1)) {
        for (all, sum) in all.iter_mut().zip(sums) {
            *all += sum;
        }
    }
    let (d_weight, into) = d_weight;
    for (channel, to) in d_weight.chunks_exact_mut(TAPS).enumerate() {
        for (tap, to) in to.iter_mut().enumerate() {
            let sum = all.get(tap * shape.step() + channel).copied();
            let sum = sum.unwrap_or_default();
            *to = if into == Into::Add { *to + sum } else { sum };
        }
    }
}

#[derive(Clone)]
struct Backward {
    shape: ConvolutionShape,
    x: Shared,
    /// (tap, channel)
    taps: Shared,
    d_out: Shared,
    d_x: (Shared, Into),
    /// Of each piece, the gradient of the taps as (tap, channel).
    sums: Shared,
    /// Of each piece, du of the last 4 tokens, each at its token's number modulo 4.
    slopes: Shared,
    tokens: Range<usize>,
}

impl Kernel for Backward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.shape.all_taps();
        let piece = self.tokens.start / PIECE * len;
        // SAFETY: the contract of `causal_conv_backward`: tokens of the sequence exist, and a piece's working memory.
        unsafe {
            self.sums.at(piece).write_bytes(0, len);
            let mut tokens = self.tokens.clone();
            while !tokens.is_empty() {
                let (own, position) = self.shape.first_sequence(&tokens);
                tokens.start = own.end;
                self.slopes.at(piece).write_bytes(0, len);
                self.sequence::<S>(&own, position);
            }
        }
    }
}

/// A token that is reached.
#[derive(Clone, Copy)]
struct At {
    token: usize,
    position: usize,
    /// Whether it is of the piece and not behind it: then the gradient of the taps has a part of it.
    is_own: bool,
    /// Whether the token three before it is of the piece.
    gives: bool,
}

impl Backward {
    /// The tokens `own` of one sequence, of which the first is at `position`.
    #[inline(always)]
    unsafe fn sequence<S: Simd>(&self, own: &Range<usize>, position: usize) {
        let last = own.end + self.shape.positions - position - own.len();
        let mut at = At {
            token: own.start,
            position,
            is_own: true,
            gives: false,
        };
        // SAFETY: the contract of `causal_conv_backward`: tokens up to `last` exist.
        unsafe {
            while at.token < own.end + TAPS - 1 {
                at.is_own = at.token < own.end;
                at.gives = at.token >= own.start + TAPS - 1;
                let passed = if at.gives && at.token + GROUP <= own.end {
                    self.rows::<S, GROUP, true>(at);
                    GROUP
                } else if at.token < last {
                    self.rows::<S, 1, true>(at);
                    1
                } else {
                    // Behind the sequence nothing has seen its inputs.
                    self.rows::<S, 1, false>(at);
                    1
                };
                at.token += passed;
                at.position += passed;
            }
        }
    }

    /// `G` tokens from `at` on, if they exist.
    #[inline(always)]
    unsafe fn rows<S: Simd, const G: usize, const EXIST: bool>(&self, at: At) {
        let channels = self.shape.channels;
        let whole = channels / LANES * LANES;
        // SAFETY: the contract of `causal_conv_backward`: the tokens exist, or `EXIST` is false.
        unsafe {
            for channel in (0..whole).step_by(LANES) {
                self.vector::<S, G, EXIST>(at, channel, LANES);
            }
            if whole < channels {
                self.vector::<S, G, EXIST>(at, whole, channels - whole);
            }
        }
    }

    /// `count` of their channels, up to 16.
    #[inline(always)]
    unsafe fn vector<S: Simd, const G: usize, const EXIST: bool>(
        &self,
        at: At,
        channel: usize,
        count: usize,
    ) {
        let (channels, step) = (self.shape.channels, self.shape.step());
        let own = at.token * channels + channel;
        let piece = self.tokens.start / PIECE * self.shape.all_taps() + channel;
        let (sums_at, slopes_at) = (self.sums.at(piece), self.slopes.at(piece));
        let row = |token: usize| slopes_at.wrapping_add(token % TAPS * step);
        // SAFETY: `count` channels of each token are left; taps, sums and slopes are whole vectors.
        unsafe {
            let taps = of_taps::<S>(self.taps.at(channel), step);
            // du of the three tokens before, then of these.
            let mut slopes = [S::splat(0.0); TAPS - 1 + GROUP];
            for (i, slope) in slopes.iter_mut().enumerate().take(TAPS - 1) {
                *slope = S::load(row(at.token + 1 + i));
            }
            if EXIST {
                let x = seen::<S, G>(self.x, own, channels, at.position, count);
                self.ask::<S, G>(own);
                for i in 0..G {
                    let dy = load_some::<S>(self.d_out.at(own + i * channels), count);
                    slopes[TAPS - 1 + i] = slope::<S>(&taps, of_token(&x, i), dy);
                }
                if at.is_own {
                    for tap in 0..TAPS {
                        let at = sums_at.add(tap * step);
                        let mut sum = S::load(at);
                        for i in 0..G {
                            sum = S::fma(slopes[TAPS - 1 + i], x[tap + i], sum);
                        }
                        S::store(at, sum);
                    }
                }
            }
            for i in 0..G {
                S::store(row(at.token + i), slopes[TAPS - 1 + i]);
            }
            if at.gives {
                for i in 0..G {
                    let to = self.d_x.0.at(own + i * channels - (TAPS - 1) * channels);
                    let [a, b, c, d] = taps;
                    let mut dx = convolve::<S>(&[d, c, b, a], of_token(&slopes, i));
                    if self.d_x.1 == Into::Add {
                        dx = S::add(load_some::<S>(to, count), dx);
                    }
                    store_first::<S>(to, dx, count);
                }
            }
        }
    }
}

impl Backward {
    /// Asks for what the next tokens read and write: a page's rows are too short for the processor to run ahead in.
    #[inline(always)]
    unsafe fn ask<S: Simd, const G: usize>(&self, own: usize) {
        let channels = self.shape.channels;
        for i in G..2 * G {
            let next = own + i * channels;
            let given = next.saturating_sub((TAPS - 1) * channels);
            // SAFETY: asking for an address reads nothing.
            unsafe {
                S::prefetch(self.x.at(next).cast());
                S::prefetch(self.d_out.at(next).cast());
                S::prefetch(self.d_x.0.at(given).cast());
            }
        }
    }
}

/// du of a token that sees `x`, from the gradient of its result.
#[inline(always)]
unsafe fn slope<S: Simd>(taps: &[S::F; TAPS], x: [S::F; TAPS], dy: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let u = convolve::<S>(taps, x);
        let (s, rest) = sigmoids::<S>(u);
        S::mul(dy, S::fma(S::mul(u, s), rest, s))
    }
}
