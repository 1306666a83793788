//! Lanes over channels, tokens in order; each thread has its channels.

use crate::{
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, math},
};

/// f32 elements of a layer's state: its channels, padded to whole vectors.
pub(crate) const fn state_len(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct RgLru<'a> {
    pub x: Rows,
    /// Of the input gate, before bias and sigmoid.
    pub input: Rows,
    /// Of the recurrence gate, likewise.
    pub recurrence: Rows,
    /// One per channel, padded to whole vectors, as the next two.
    pub input_bias: &'a [f32],
    pub recurrence_bias: &'a [f32],
    /// Logarithm of what stays where the gate is open.
    pub rate: &'a [f32],
    pub out: Rows,
    /// A value per channel, padded likewise.
    pub state: *mut f32,
    pub channels: usize,
    /// Whether the first token begins the sequence.
    pub begins: bool,
    pub tokens: usize,
}

// SAFETY: threads use disjoint channels of the state.
unsafe impl Sync for RgLru<'_> {}

/// This thread's share of the channels.
///
/// # Safety
/// The views have `tokens` rows of `channels` columns, constants and state their channels, all padded to whole vectors. `out` may be
/// any of the inputs.
pub(crate) unsafe fn rg_lru(isa: Isa, call: RgLru<'_>, team: &Team<'_>) {
    let share = team.share(call.channels.div_ceil(LANES));
    // SAFETY: the caller's contract; channels are disjoint.
    unsafe { dispatch(isa, Run { call, share }) }
}

struct Run<'a> {
    call: RgLru<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let c = &self.call;
        for vector in self.share {
            let at = vector * LANES;
            // SAFETY: the contract of `rg_lru`.
            unsafe {
                let input_bias = S::load(c.input_bias.as_ptr().add(at));
                let recurrence_bias = S::load(c.recurrence_bias.as_ptr().add(at));
                let rate = S::load(c.rate.as_ptr().add(at));
                let mut h = S::load(c.state.add(at));
                for token in 0..c.tokens {
                    let column = |rows: Rows| rows.row(token).add(at);
                    let gate = S::add(S::load(column(c.input)), input_bias);
                    let written = S::mul(math::sigmoid::<S>(gate), S::load(column(c.x)));
                    h = if c.begins && token == 0 {
                        written
                    } else {
                        let gate = S::add(S::load(column(c.recurrence)), recurrence_bias);
                        let log_a = S::mul(rate, math::sigmoid::<S>(gate));
                        let zero = S::splat(0.0);
                        let rest = S::sub(zero, math::exp_m1::<S>(S::add(log_a, log_a)));
                        let written = S::mul(S::sqrt(rest), written);
                        S::fma(math::exp::<S>(log_a), h, written)
                    };
                    S::store(column(c.out), h);
                }
                S::store(c.state.add(at), h);
            }
        }
    }
}
