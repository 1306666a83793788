//! Lanes over channels, tokens in order; each thread has its channels.

use crate::{
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, math},
};

/// Taps of the kernel: this input and the three before it.
pub(crate) const TAPS: usize = 4;

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a> {
    pub input: Rows,
    pub out: Rows,
    /// `(tap, channel)`, oldest first, channels padded to whole vectors.
    pub weight: &'a [f32],
    /// One per channel, padded likewise.
    pub bias: Option<&'a [f32]>,
    /// Whether SiLU follows.
    pub silu: bool,
    pub channels: usize,
    /// The last three inputs `(age, channel)`, oldest first, channels padded to whole vectors.
    pub state: *mut f32,
    pub tokens: usize,
}

// SAFETY: threads use disjoint channels of the state.
unsafe impl Sync for Conv<'_> {}

/// This thread's share of the channels.
///
/// # Safety
/// The views have `tokens` rows of `channels` columns, weights, bias and state their rows, all padded to whole vectors.
pub(crate) unsafe fn causal_conv(isa: Isa, conv: Conv<'_>, team: &Team<'_>) {
    let share = team.share(conv.channels.div_ceil(LANES));
    // SAFETY: the caller's contract; channels are disjoint.
    unsafe { dispatch(isa, Run { conv, share }) }
}

struct Run<'a> {
    conv: Conv<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let c = &self.conv;
        let padded = c.channels.next_multiple_of(LANES);
        for vector in self.share {
            let at = vector * LANES;
            // SAFETY: the contract of `causal_conv`.
            unsafe {
                let mut weight = [S::splat(0.0); TAPS];
                for (tap, w) in weight.iter_mut().enumerate() {
                    *w = S::load(c.weight.as_ptr().add(tap * padded + at));
                }
                let mut past = [S::splat(0.0); TAPS - 1];
                for (age, x) in past.iter_mut().enumerate() {
                    *x = S::load(c.state.add(age * padded + at));
                }
                let bias = match c.bias {
                    Some(bias) => S::load(bias.as_ptr().add(at)),
                    None => S::splat(0.0),
                };
                for token in 0..c.tokens {
                    let x = S::load(c.input.row(token).add(at));
                    let mut y = S::fma(past[0], weight[0], bias);
                    y = S::fma(past[1], weight[1], y);
                    y = S::fma(past[2], weight[2], y);
                    y = S::fma(x, weight[3], y);
                    past = [past[1], past[2], x];
                    if c.silu {
                        y = math::silu::<S>(y);
                    }
                    S::store(c.out.row(token).add(at), y);
                }
                for (age, &x) in past.iter().enumerate() {
                    S::store(c.state.add(age * padded + at), x);
                }
            }
        }
    }
}
