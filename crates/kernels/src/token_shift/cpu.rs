//! Lanes over channels, tokens in order; each thread has its pieces of columns.

use crate::{
    pool::Team,
    quantize,
    rows::{QuantRows, Rows},
    simd::{Isa, Kernel, LANES, Simd, dispatch},
};

/// Columns of a piece: whole blocks of the 8-bit form.
const PIECE: usize = 64;

/// Mixtures of a call, at most: as many as RWKV-7's time mixing takes.
pub(crate) const MOST_MIXTURES: usize = 6;

/// f32 elements of a state.
pub(crate) const fn state_len(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

/// f32 elements of the weights: `(mixture, channel)`, channels padded to whole vectors.
pub(crate) const fn mu_len(mixtures: usize, width: usize) -> usize {
    mixtures * width.next_multiple_of(LANES)
}

/// Where one mixture goes.
#[derive(Clone, Copy)]
pub(crate) struct Mixture {
    pub out: Rows,
    /// Also rounds the output to 8 bits.
    pub quantised: Option<QuantRows>,
}

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Shift<'a> {
    pub input: Rows,
    pub mixtures: &'a [Mixture],
    /// [`mu_len`] weights.
    pub mu: &'a [f32],
    /// The row before the first: [`state_len`] values, padding included.
    pub state: *mut f32,
    pub width: usize,
    pub tokens: usize,
}

// SAFETY: threads use disjoint columns of the state.
unsafe impl Sync for Shift<'_> {}

/// This thread's share of the columns, all tokens.
///
/// # Safety
/// All views have `tokens` rows of `width` columns, padded to whole vectors, and no output is the input; `mu` and `state` hold what
/// their lengths say; a mixture that rounds has whole blocks of 32 columns.
pub(crate) unsafe fn token_shift(isa: Isa, shift: Shift<'_>, team: &Team<'_>) {
    let share = team.share(shift.width.div_ceil(PIECE));
    // SAFETY: the caller's contract; pieces are disjoint.
    unsafe { dispatch(isa, Run { shift, share }) }
}

struct Run<'a> {
    shift: Shift<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let s = &self.shift;
        for piece in self.share {
            let from = piece * PIECE;
            let to = (from + PIECE).min(s.width);
            let mut before = s.state.cast_const();
            for token in 0..s.tokens {
                // SAFETY: the contract of `token_shift`; the row before is the state or a row of the input.
                unsafe {
                    let now = s.input.row(token).cast_const();
                    mix::<S>(s, token, (before, now), (from, to));
                    before = now;
                }
            }
            let mut col = from;
            while col < to {
                // SAFETY: `before` is a row of the input, padded as the state is, or the state itself.
                unsafe { S::store(s.state.add(col), S::load(before.add(col))) };
                col += LANES;
            }
        }
    }
}

/// Columns `from..to` of a token's mixtures.
#[inline(always)]
unsafe fn mix<S: Simd>(
    s: &Shift<'_>,
    token: usize,
    (before, now): (*const f32, *const f32),
    (from, to): (usize, usize),
) {
    let padded = s.width.next_multiple_of(LANES);
    // SAFETY: the contract of `token_shift`.
    unsafe {
        let mut col = from;
        while col < to {
            let x = S::load(now.add(col));
            let step = S::sub(S::load(before.add(col)), x);
            for (i, mixture) in s.mixtures.iter().enumerate() {
                let mu = S::load(s.mu.as_ptr().add(i * padded + col));
                S::store(mixture.out.row(token).add(col), S::fma(step, mu, x));
            }
            col += LANES;
        }
        for mixture in s.mixtures {
            if let Some(quantised) = mixture.quantised {
                quantize::cpu::row::<S>(mixture.out.row(token), quantised.row(token), from, to);
            }
        }
    }
}
