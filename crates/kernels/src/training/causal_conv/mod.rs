//! Depthwise causal convolution of 4 taps, then SiLU, over each sequence from zeros; and the backward pass.
//!
//! Per channel `u[t] = sum over j in 0..4 of w[j] x[t - 3 + j]` and `y = silu(u)`. Backwards, with `du = dy silu'(u)`:
//!
//! ```text
//! dx[t] = sum over j of w[j] du[t + 3 - j]        dw[j] = sum over t of du[t] x[t - 3 + j]
//! ```
//!
//! Nothing is kept: u is made again from x, which the backward pass reads for `dw` anyhow. Both passes go along whole rows, some tokens of
//! one sequence at a time: rows are read in the order in which they lie, and the three before them are still in a cache near by. Walking a
//! few channels down all tokens keeps more in registers, and touches a page a token.
//!
//! # Shape
//! `x` and `out` (tokens, channels), sequences one behind the other; `weight` (channels, 4), the last tap meets the token itself.

mod backward;
mod forward;

pub use backward::causal_conv_backward;
pub use forward::causal_conv;

use std::ops::Range;

use super::shared::{Shared, load_some, pieces};
use crate::simd::{LANES, Simd};

/// Taps of a channel.
const TAPS: usize = 4;
/// Tokens of a sequence that are walked along together.
const GROUP: usize = 4;

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

    /// Working memory of both passes, in f32.
    #[must_use]
    pub const fn scratch(&self) -> usize {
        // The taps; of each piece the sums of their gradient, and du of the last tokens.
        (1 + 2 * pieces(self.tokens())) * self.all_taps()
    }

    /// Numbers from one tap's channels to the next's: whole vectors.
    const fn step(&self) -> usize {
        self.channels.next_multiple_of(LANES)
    }

    /// f32 of all taps, with what fills the vectors.
    const fn all_taps(&self) -> usize {
        TAPS * self.step()
    }

    /// The tokens of `tokens` that are of the same sequence as the first, and the first's position.
    fn first_sequence(&self, tokens: &Range<usize>) -> (Range<usize>, usize) {
        let position = tokens.start % self.positions;
        let end = tokens.end.min(tokens.start + self.positions - position);
        (tokens.start..end, position)
    }

    /// The taps as (tap, channel), with zeros behind the last channel.
    fn turn(&self, weight: &[f32], to: &mut [f32]) {
        to.fill(0.0);
        for (channel, taps) in weight.chunks_exact(TAPS).enumerate() {
            for (tap, &weight) in taps.iter().enumerate() {
                to[tap * self.step() + channel] = weight;
            }
        }
    }
}

/// `sum over j of taps[j] x[j]`.
///
/// # Safety
/// The features of `S` are there.
#[inline(always)]
unsafe fn convolve<S: Simd>(taps: &[S::F; TAPS], x: [S::F; TAPS]) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let sum = S::mul(taps[0], x[0]);
        let sum = S::fma(taps[1], x[1], sum);
        let sum = S::fma(taps[2], x[2], sum);
        S::fma(taps[3], x[3], sum)
    }
}

/// The vectors at `at`, one for each tap, `step` apart.
///
/// # Safety
/// There are as many values; the features of `S` are there.
#[inline(always)]
unsafe fn of_taps<S: Simd>(at: *const f32, step: usize) -> [S::F; TAPS] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut vectors = [S::splat(0.0); TAPS];
        for (tap, vector) in vectors.iter_mut().enumerate() {
            *vector = S::load(at.add(tap * step));
        }
        vectors
    }
}

/// Inputs that a group of tokens sees, the oldest first.
type Seen<F> = [F; TAPS - 1 + GROUP];

/// The inputs of up to 16 channels that `G` tokens see: the first is at `position` and has its own at `at`. Zeros are in front of a sequence.
///
/// # Safety
/// The tokens have `count` channels, and so have those before them in their sequence; the features of `S` are there.
#[inline(always)]
unsafe fn seen<S: Simd, const G: usize>(
    x: Shared,
    at: usize,
    channels: usize,
    position: usize,
    count: usize,
) -> Seen<S::F> {
    const { assert!(G <= GROUP) }
    // SAFETY: the caller's contract.
    unsafe {
        let mut seen = [S::splat(0.0); TAPS - 1 + GROUP];
        for back in 1..TAPS {
            if back <= position {
                seen[TAPS - 1 - back] = load_some::<S>(x.at(at - back * channels), count);
            }
        }
        for i in 0..G {
            seen[TAPS - 1 + i] = load_some::<S>(x.at(at + i * channels), count);
        }
        seen
    }
}

/// Inputs that token `i` of a group sees.
#[inline(always)]
fn of_token<F: Copy>(seen: &Seen<F>, i: usize) -> [F; TAPS] {
    [seen[i], seen[i + 1], seen[i + 2], seen[i + 3]]
}
