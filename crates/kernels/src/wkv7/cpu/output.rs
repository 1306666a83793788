//! From what the recurrence read to what the output projection takes; work is split over the heads of all tokens.

use super::Wkv7Shape;
use crate::{
    layer_norm::cpu::Moments,
    packed::BLOCK,
    pool::Team,
    quantize,
    rows::{QuantRows, Rows},
    simd::{Isa, Kernel, LANES, Simd, dispatch},
};

/// One call; all rows as wide as the shape.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    /// What the recurrence read; becomes the result.
    pub y: Rows,
    pub receptance: Rows,
    /// As the recurrence had it.
    pub key: Rows,
    /// As the recurrence had it.
    pub value: Rows,
    pub gate: Rows,
    /// Of a head's norm.
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    /// Of the bonus.
    pub r_k: &'a [f32],
    pub eps: f32,
    pub shape: Wkv7Shape,
    /// Also rounds the result to 8 bits.
    pub quantised: Option<QuantRows>,
}

/// This thread's share of the heads.
///
/// # Safety
/// The views have `tokens` rows of the shape's width, `y` another buffer than the others; heads are whole vectors, and rows whole
/// blocks of 32 columns where they are rounded.
pub(crate) unsafe fn output(isa: Isa, call: Output<'_>, tokens: usize, team: &Team<'_>) {
    // A block of the 8-bit form is one thread's.
    let together = if call.shape.head_dim.is_multiple_of(BLOCK) {
        1
    } else {
        2
    };
    let items = call.shape.heads.div_ceil(together);
    let share = team.share(tokens * items);
    let run = Run {
        call,
        together,
        items,
        share,
    };
    // SAFETY: the caller's contract; heads are disjoint.
    unsafe { dispatch(isa, run) }
}

struct Run<'a> {
    call: Output<'a>,
    /// Heads of an item.
    together: usize,
    /// Items of a token.
    items: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Wkv7Shape { heads, head_dim } = self.call.shape;
        for item in self.share {
            let (token, first) = (item / self.items, item % self.items * self.together);
            let end = (first + self.together).min(heads);
            // SAFETY: the contract of `output`.
            unsafe {
                for head in first..end {
                    one_head::<S>(&self.call, token, head * head_dim);
                }
                if let Some(to) = self.call.quantised {
                    let y = self.call.y.row(token);
                    quantize::cpu::row::<S>(y, to.row(token), first * head_dim, end * head_dim);
                }
            }
        }
    }
}

/// The head whose first column is `at`.
#[inline(always)]
unsafe fn one_head<S: Simd>(call: &Output<'_>, token: usize, at: usize) {
    let dim = call.shape.head_dim;
    // SAFETY: as `output`.
    unsafe {
        let of = |rows: Rows| rows.row(token).add(at).cast_const();
        let (receptance, key) = (of(call.receptance), of(call.key));
        let (value, gate) = (of(call.value), of(call.gate));
        let [weight, bias, r_k] = [call.weight, call.bias, call.r_k].map(|w| w.as_ptr().add(at));
        let mut sum = S::splat(0.0);
        let mut col = 0;
        while col < dim {
            let rk = S::mul(S::load(receptance.add(col)), S::load(key.add(col)));
            sum = S::fma(rk, S::load(r_k.add(col)), sum);
            col += LANES;
        }
        let bonus = S::splat(S::sum(sum));
        let y = call.y.row(token).add(at);
        let moments = Moments::<S>::of(y, dim, call.eps);
        col = 0;
        while col < dim {
            let (w, b) = (S::load(weight.add(col)), S::load(bias.add(col)));
            let normed = moments.normalise(S::load(y.add(col)), w, b);
            let both = S::fma(bonus, S::load(value.add(col)), normed);
            S::store(y.add(col), S::mul(both, S::load(gate.add(col))));
            col += LANES;
        }
    }
}
