//! What the recurrence needs of a token; work is split over the heads of all tokens.

use super::Wkv7Shape;
use crate::{
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, math},
};

/// -exp(-1/2): what a decay's sigmoid is multiplied with.
const RATE: f32 = -0.606_530_66;

/// The smallest norm that a removal key is divided by.
const LEAST_NORM: f32 = 1e-12;

/// One call; all rows as wide as the shape.
#[derive(Clone, Copy)]
pub(crate) struct Gates<'a> {
    /// Logits, become decays.
    pub decay: Rows,
    /// Logits of the learning rate, become the erasing key.
    pub rate: Rows,
    /// Becomes the writing key.
    pub key: Rows,
    /// Moved towards the first layer's.
    pub value: Rows,
    /// Result: the removal key.
    pub removal: Rows,
    /// In every layer but the first.
    pub residual: Option<Residual>,
    /// Scales the key before it becomes the removal key.
    pub k_k: &'a [f32],
    /// How far the learning rate scales the key that is written.
    pub k_a: &'a [f32],
    pub shape: Wkv7Shape,
}

/// Towards which values move, and how far.
#[derive(Clone, Copy)]
pub(crate) struct Residual {
    /// The first layer's values.
    pub first: Rows,
    /// Logits.
    pub mix: Rows,
}

/// This thread's share of the heads.
///
/// # Safety
/// The views have `tokens` rows of the shape's width, all of them other buffers; heads are whole vectors.
pub(crate) unsafe fn gates(isa: Isa, call: Gates<'_>, tokens: usize, team: &Team<'_>) {
    let share = team.share(tokens * call.shape.heads);
    // SAFETY: the caller's contract; heads are disjoint.
    unsafe { dispatch(isa, Run { call, share }) }
}

struct Run<'a> {
    call: Gates<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.call.shape;
        for item in self.share {
            let (token, at) = (item / shape.heads, item % shape.heads * shape.head_dim);
            // SAFETY: the contract of `gates`.
            unsafe {
                let inverse = inverse_norm::<S>(&self.call, token, at);
                let mut col = at;
                while col < at + shape.head_dim {
                    vector::<S>(&self.call, token, col, inverse);
                    col += LANES;
                }
            }
        }
    }
}

/// 1 / norm of a head's scaled key.
#[inline(always)]
unsafe fn inverse_norm<S: Simd>(call: &Gates<'_>, token: usize, at: usize) -> f32 {
    // SAFETY: as `gates`.
    unsafe {
        let (key, scale) = (call.key.row(token).add(at), call.k_k.as_ptr().add(at));
        let mut squares = S::splat(0.0);
        let mut col = 0;
        while col < call.shape.head_dim {
            let x = S::mul(S::load(key.add(col)), S::load(scale.add(col)));
            squares = S::fma(x, x, squares);
            col += LANES;
        }
        1.0 / S::sum(squares).sqrt().max(LEAST_NORM)
    }
}

#[inline(always)]
unsafe fn vector<S: Simd>(call: &Gates<'_>, token: usize, col: usize, inverse: f32) {
    // SAFETY: as `gates`; the columns are a head's.
    unsafe {
        let at = |rows: Rows| rows.row(token).add(col);
        let one = S::splat(1.0);
        let (decay, rate, key) = (at(call.decay), at(call.rate), at(call.key));
        let d = math::sigmoid::<S>(S::load(decay));
        S::store(decay, math::exp::<S>(S::mul(S::splat(RATE), d)));

        let learned = math::sigmoid::<S>(S::load(rate));
        let k = S::load(key);
        let scaled = S::mul(k, S::load(call.k_k.as_ptr().add(col)));
        let removal = S::mul(scaled, S::splat(inverse));
        S::store(at(call.removal), removal);
        S::store(rate, S::mul(learned, removal));
        let k_a = S::load(call.k_a.as_ptr().add(col));
        let factor = S::fma(S::sub(learned, one), k_a, one);
        S::store(key, S::mul(k, factor));

        if let Some(Residual { first, mix }) = call.residual {
            let value = at(call.value);
            let v = S::load(value);
            let step = S::sub(S::load(at(first)), v);
            let share = math::sigmoid::<S>(S::load(at(mix)));
            S::store(value, S::fma(step, share, v));
        }
    }
}
