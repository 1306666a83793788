//! Depthwise causal convolution of 4 taps, then SiLU, over each sequence from zeros; and the backward pass.
//!
//! Per channel `u[t] = sum over j in 0..4 of w[j] x[t - 3 + j]` and `y = silu(u)`. Backwards, with `du = dy silu'(u)`:
//!
//! ```text
//! dx[t] = sum over j of w[j] du[t + 3 - j]        dw[j] = sum over t of du[t] x[t - 3 + j]
//! ```
//!
//! Nothing is kept: u is made again from x, which the backward pass reads for `dw` anyhow. A kernel walks some channels down a piece of tokens
//! with the last inputs in registers; backwards it walks up, with the last `du` too, and begins with the 3 tokens behind its piece, whose
//! `du` it makes once more.
//!
//! # Shape
//! `x` and `out` (tokens, channels), sequences one behind the other; `weight` (channels, 4), the last tap meets the token itself.

use std::ops::Range;

use super::{
    Into, Machine,
    pointwise::sigmoids,
    shared::{PIECE, Shared, load_some, pieces},
};
use crate::simd::{Kernel, LANES, Simd, dispatch_floats, math, store_first};

/// Taps of a channel.
const TAPS: usize = 4;
/// Vectors of channels that a kernel walks along together: neighbouring cache lines.
const STRIP: usize = 4;
/// Tokens ahead that inputs are asked for: they lie too far apart for the processor to guess.
const AHEAD: usize = 8;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Sequences, one behind the other.
    pub sequences: usize,
    /// Tokens of each.
    pub positions: usize,
    /// Values of a token.
    pub channels: usize,
}

impl ConvolutionShape {
    const fn tokens(&self) -> usize {
        self.sequences * self.positions
    }

    /// f32 of `x` and of the result.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.tokens() * self.channels
    }

    /// Working memory of [`causal_conv_backward`], in f32.
    #[must_use]
    pub const fn scratch(&self) -> usize {
        pieces(self.tokens()) * self.sums_of_piece()
    }

    const fn sums_of_piece(&self) -> usize {
        TAPS * self.channels.next_multiple_of(LANES)
    }
}

/// Writes the convolved channels.
///
/// # Panics
/// When a slice does not fit.
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
    let (x, weight, out) = (Shared::read(x), Shared::read(weight), Shared::of(out));
    machine.for_pieces(shape.tokens(), |tokens| {
        let forward = Forward {
            shape: *shape,
            x,
            weight,
            out,
            tokens,
        };
        // SAFETY: the lengths were checked; pieces are disjoint; the processor has the set.
        unsafe { dispatch_floats(machine.isa, forward) }
    });
}

/// The taps of up to 16 channels, a vector for each tap.
///
/// # Safety
/// There are `count` channels from `channel` on; the features of `S` are there.
#[inline(always)]
unsafe fn taps_of<S: Simd>(weight: Shared, channel: usize, count: usize) -> [S::F; TAPS] {
    let mut lanes = [[0.0f32; LANES]; TAPS];
    // SAFETY: the caller's contract.
    unsafe {
        for lane in 0..count.min(LANES) {
            for (tap, lanes) in lanes.iter_mut().enumerate() {
                lanes[lane] = *weight.at((channel + lane) * TAPS + tap);
            }
        }
        let mut taps = [S::splat(0.0); TAPS];
        for (tap, lanes) in taps.iter_mut().zip(&lanes) {
            *tap = S::load(lanes.as_ptr());
        }
        taps
    }
}

/// `sum over j of taps[j] x[j]`.
///
/// # Safety
/// The features of `S` are there.
#[inline(always)]
unsafe fn convolve<S: Simd>(taps: &[S::F; TAPS], x: &[S::F; TAPS]) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let mut sum = S::mul(taps[0], x[0]);
        for (&tap, &x) in taps.iter().zip(x).skip(1) {
            sum = S::fma(tap, x, sum);
        }
        sum
    }
}

/// The inputs that `token` sees, the oldest first, of up to 16 channels from `channel` on: zeros in front of its sequence.
///
/// # Safety
/// Token and channels exist; the features of `S` are there.
#[inline(always)]
unsafe fn seen<S: Simd>(
    shape: &ConvolutionShape,
    x: Shared,
    token: usize,
    channel: usize,
) -> [S::F; TAPS] {
    // SAFETY: the caller's contract; the tokens before it in its sequence exist.
    unsafe {
        let mut seen = [S::splat(0.0); TAPS];
        for (back, x_of) in seen.iter_mut().rev().enumerate() {
            if back <= token % shape.positions {
                let at = (token - back) * shape.channels + channel;
                *x_of = load_some::<S>(x.at(at), shape.channels - channel);
            }
        }
        seen
    }
}

struct Forward {
    shape: ConvolutionShape,
    x: Shared,
    weight: Shared,
    out: Shared,
    tokens: Range<usize>,
}

impl Kernel for Forward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut channel = 0;
        // SAFETY: the contract of `causal_conv`; a strip's channels exist.
        unsafe {
            while channel + STRIP * LANES <= self.shape.channels {
                self.strip::<S, STRIP>(channel);
                channel += STRIP * LANES;
            }
            while channel < self.shape.channels {
                self.strip::<S, 1>(channel);
                channel += LANES;
            }
        }
    }
}

impl Forward {
    /// `V` vectors of channels, of which the last may not be whole.
    #[inline(always)]
    unsafe fn strip<S: Simd, const V: usize>(&self, channel: usize) {
        let ConvolutionShape {
            positions,
            channels,
            ..
        } = self.shape;
        // SAFETY: the piece's tokens and the strip's channels exist.
        unsafe {
            let (mut taps, mut x) = ([[S::splat(0.0); TAPS]; V], [[S::splat(0.0); TAPS]; V]);
            for (v, (taps, x)) in taps.iter_mut().zip(&mut x).enumerate() {
                let channel = channel + v * LANES;
                *taps = taps_of::<S>(self.weight, channel, channels - channel);
                *x = seen::<S>(&self.shape, self.x, self.tokens.start, channel);
            }
            let mut position = self.tokens.start % positions;
            for token in self.tokens.clone() {
                if position == positions {
                    position = 0;
                    x = [[S::splat(0.0); TAPS]; V];
                }
                position += 1;
                for (v, (taps, x)) in taps.iter().zip(&mut x).enumerate() {
                    let channel = channel + v * LANES;
                    let at = token * channels + channel;
                    x[3] = load_some::<S>(self.x.at(at), channels - channel);
                    S::prefetch(self.x.at(at + AHEAD * channels).cast());
                    let y = math::silu::<S>(convolve::<S>(taps, x));
                    store_first::<S>(self.out.at(at), y, channels - channel);
                    *x = [x[1], x[2], x[3], x[3]];
                }
            }
        }
    }
}

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
    let mut scratch = machine.scratch(shape.scratch());
    let sums = &mut scratch.as_mut_slice()[..shape.scratch()];
    let backward = Backward {
        shape: *shape,
        read: [x, weight, d_out].map(Shared::read),
        d_x: (Shared::of(d_x.0), d_x.1),
        sums: Shared::of(sums),
        tokens: 0..0,
    };
    machine.for_pieces(shape.tokens(), |tokens| {
        let backward = Backward {
            tokens,
            ..backward.clone()
        };
        // SAFETY: the lengths were checked; pieces are disjoint, in the sums too; the processor has the set.
        unsafe { dispatch_floats(machine.isa, backward) }
    });
    let (d_weight, into) = d_weight;
    if into == Into::Set {
        d_weight.fill(0.0);
    }
    let step = shape.channels.next_multiple_of(LANES);
    for sums in sums.chunks_exact(TAPS * step) {
        for (tap, sums) in sums.chunks_exact(step).enumerate() {
            for (to, sum) in d_weight.chunks_exact_mut(TAPS).zip(sums) {
                to[tap] += sum;
            }
        }
    }
}

#[derive(Clone)]
struct Backward {
    shape: ConvolutionShape,
    /// x, taps, gradient of the result.
    read: [Shared; 3],
    d_x: (Shared, Into),
    /// Of each piece, the gradient of the taps as (tap, channel).
    sums: Shared,
    tokens: Range<usize>,
}

impl Kernel for Backward {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut channel = 0;
        // SAFETY: the contract of `causal_conv_backward`; a strip's channels exist.
        unsafe {
            while channel + STRIP * LANES <= self.shape.channels {
                self.strip::<S, STRIP>(channel);
                channel += STRIP * LANES;
            }
            while channel < self.shape.channels {
                self.strip::<S, 1>(channel);
                channel += LANES;
            }
        }
    }
}

/// What a vector of channels carries from a token to the one before it.
#[derive(Clone, Copy)]
struct Walk<F> {
    taps: [F; TAPS],
    /// Inputs that the token sees, the oldest first.
    x: [F; TAPS],
    /// `du` of the token and of those behind it.
    slopes: [F; TAPS],
    /// The taps' gradient.
    sums: [F; TAPS],
}

impl Backward {
    /// `V` vectors of channels, of which the last may not be whole.
    #[inline(always)]
    unsafe fn strip<S: Simd, const V: usize>(&self, channel: usize) {
        let ConvolutionShape {
            positions,
            channels,
            ..
        } = self.shape;
        let step = channels.next_multiple_of(LANES);
        let sums_at = self.tokens.start / PIECE * self.shape.sums_of_piece();
        let Range { start, end } = self.tokens;
        // The tokens behind the piece that see its last one.
        let last = (end.div_ceil(positions) * positions).min(end + TAPS - 1);
        // SAFETY: tokens up to `last` and the strip's channels exist; sums are whole vectors.
        unsafe {
            let zero = [S::splat(0.0); TAPS];
            let mut walks = [Walk {
                taps: zero,
                x: zero,
                slopes: zero,
                sums: zero,
            }; V];
            for (v, walk) in walks.iter_mut().enumerate() {
                let channel = channel + v * LANES;
                walk.taps = taps_of::<S>(self.read[1], channel, channels - channel);
            }
            let mut position = (last - 1) % positions;
            for token in (start..last).rev() {
                let is_first = token + 1 == last || position + 1 == positions;
                for (v, walk) in walks.iter_mut().enumerate() {
                    let channel = channel + v * LANES;
                    self.ask::<S>(token, channel);
                    self.step::<S>(walk, (token, position), channel, is_first);
                    if token < end {
                        self.give::<S>(walk, token, channel);
                    }
                }
                position = position.checked_sub(1).unwrap_or(positions - 1);
            }
            for (v, walk) in walks.into_iter().enumerate() {
                for (tap, sum) in walk.sums.into_iter().enumerate() {
                    S::store(
                        self.sums.at(sums_at + tap * step + channel + v * LANES),
                        sum,
                    );
                }
            }
        }
    }

    /// Asks for what is read some tokens later.
    #[inline(always)]
    unsafe fn ask<S: Simd>(&self, token: usize, channel: usize) {
        let at = token.saturating_sub(AHEAD) * self.shape.channels + channel;
        // SAFETY: asking for an address reads nothing.
        unsafe {
            S::prefetch(self.read[0].at(at).cast());
            S::prefetch(self.read[2].at(at).cast());
        }
    }

    /// On to `token`, which may be the last of its sequence or of what is walked: its inputs and its `du`.
    #[inline(always)]
    unsafe fn step<S: Simd>(
        &self,
        walk: &mut Walk<S::F>,
        (token, position): (usize, usize),
        channel: usize,
        is_first: bool,
    ) {
        let channels = self.shape.channels;
        let count = channels - channel;
        // SAFETY: token and channels exist.
        unsafe {
            if is_first {
                walk.x = seen::<S>(&self.shape, self.read[0], token, channel);
                walk.slopes = [S::splat(0.0); TAPS];
            } else {
                let mut oldest = S::splat(0.0);
                if position >= TAPS - 1 {
                    let at = (token + 1 - TAPS) * channels + channel;
                    oldest = load_some::<S>(self.read[0].at(at), count);
                }
                walk.x = [oldest, walk.x[0], walk.x[1], walk.x[2]];
            }
            let u = convolve::<S>(&walk.taps, &walk.x);
            let (s, rest) = sigmoids::<S>(u);
            let slope = S::fma(S::mul(u, s), rest, s);
            let dy = load_some::<S>(self.read[2].at(token * channels + channel), count);
            let [a, b, c, _] = walk.slopes;
            walk.slopes = [S::mul(dy, slope), a, b, c];
        }
    }

    /// The gradient of the token's inputs, and what it adds to that of the taps.
    #[inline(always)]
    unsafe fn give<S: Simd>(&self, walk: &mut Walk<S::F>, token: usize, channel: usize) {
        let count = self.shape.channels - channel;
        let to = self.d_x.0.at(token * self.shape.channels + channel);
        let [a, b, c, d] = walk.taps;
        // SAFETY: `count` channels of the token are left.
        unsafe {
            for (sum, &x) in walk.sums.iter_mut().zip(&walk.x) {
                *sum = S::fma(walk.slopes[0], x, *sum);
            }
            let mut dx = convolve::<S>(&[d, c, b, a], &walk.slopes);
            if self.d_x.1 == Into::Add {
                dx = S::add(load_some::<S>(to, count), dx);
            }
            store_first::<S>(to, dx, count);
        }
    }
}
