//! Gated activations on the lanes, cut into pieces of columns so that a single token keeps every thread busy.

use ops::glu::Activation;

use crate::{
    pool::Team,
    quantize,
    rows::{QuantRows, Rows},
    simd::{Isa, Kernel, LANES, Simd, dispatch, math},
};

/// Columns of a piece: whole blocks of the 8-bit form.
const PIECE: usize = 64;

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Glu {
    pub gate: Rows,
    pub up: Rows,
    pub out: Rows,
    pub activation: Activation,
    pub width: usize,
    /// Also rounds the output to 8 bits.
    pub quantised: Option<QuantRows>,
}

/// This thread's share of the pieces.
///
/// # Safety
/// All views have `tokens` rows of `width` columns, padded to whole vectors; `out` may be `gate`.
pub(crate) unsafe fn glu(isa: Isa, glu: Glu, tokens: usize, team: &Team<'_>) {
    let pieces = glu.width.div_ceil(PIECE);
    let share = team.share(tokens * pieces);
    // SAFETY: the caller's contract; pieces are disjoint.
    unsafe { dispatch(isa, Run { glu, pieces, share }) }
}

struct Run {
    glu: Glu,
    pieces: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for Run {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let g = &self.glu;
        for item in self.share {
            let (token, from) = (item / self.pieces, item % self.pieces * PIECE);
            let to = (from + PIECE).min(g.width);
            // SAFETY: the contract of `glu`.
            unsafe {
                let (gate, up, out) = (g.gate.row(token), g.up.row(token), g.out.row(token));
                let mut col = from;
                while col < to {
                    let (x, y) = (S::load(gate.add(col)), S::load(up.add(col)));
                    S::store(out.add(col), gated::<S>(g.activation, x, y));
                    col += LANES;
                }
                if let Some(quantised) = g.quantised {
                    quantize::cpu::row::<S>(out, quantised.row(token), from, to);
                }
            }
        }
    }
}

/// `activation(gate) * up`.
#[inline(always)]
pub(crate) unsafe fn gated<S: Simd>(activation: Activation, gate: S::F, up: S::F) -> S::F {
    // SAFETY: lane arithmetic only.
    unsafe {
        let x = match activation {
            Activation::Silu => math::silu::<S>(gate),
            Activation::GeluTanh => math::gelu_tanh::<S>(gate),
        };
        S::mul(x, up)
    }
}
