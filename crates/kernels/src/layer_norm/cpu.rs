//! Layer norm on the lanes, three passes over a row that stays in L1.

use crate::{
    pool::Team,
    quantize,
    rows::{QuantRows, Rows},
    simd::{Isa, Kernel, LANES, Simd, dispatch, load_first, store_first},
};

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub input: Rows,
    /// May be `input`.
    pub out: Rows,
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub eps: f32,
    pub width: usize,
    /// Also rounds the output row to 8 bits.
    pub quantised: Option<QuantRows>,
}

/// This thread's share of the rows.
///
/// # Safety
/// The views have `tokens` rows of `width` columns, padded to whole vectors; `weight` and `bias` hold as many, padded likewise.
pub(crate) unsafe fn layer_norm(isa: Isa, norm: Norm<'_>, tokens: usize, team: &Team<'_>) {
    let share = team.share(tokens);
    // SAFETY: the caller's contract; shares are disjoint.
    unsafe { dispatch(isa, Run { norm, share }) }
}

struct Run<'a> {
    norm: Norm<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let n = &self.norm;
        for token in self.share {
            // SAFETY: the contract of `layer_norm`.
            unsafe {
                let (x, out) = (n.input.row(token).cast_const(), n.out.row(token));
                let moments = Moments::<S>::of(x, n.width, n.eps);
                let mut col = 0;
                while col < n.width {
                    let (w, b) = (
                        S::load(n.weight.as_ptr().add(col)),
                        S::load(n.bias.as_ptr().add(col)),
                    );
                    let y = moments.normalise(S::load(x.add(col)), w, b);
                    store_first::<S>(out.add(col), y, n.width - col);
                    col += LANES;
                }
                if let Some(to) = n.quantised {
                    quantize::cpu::row::<S>(out, to.row(token), 0, to.cols);
                }
            }
        }
    }
}

/// Mean and inverse deviation of some values, in every lane.
#[derive(Clone, Copy)]
pub(crate) struct Moments<S: Simd> {
    mean: S::F,
    inverse: S::F,
}

impl<S: Simd> Moments<S> {
    /// Of `width` values.
    ///
    /// # Safety
    /// `x` holds `width` values, padded to whole vectors.
    #[inline(always)]
    pub(crate) unsafe fn of(x: *const f32, width: usize, eps: f32) -> Self {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sum = S::splat(0.0);
            let mut col = 0;
            while col < width {
                sum = S::add(sum, load_first::<S>(x.add(col), width - col));
                col += LANES;
            }
            let mean = S::splat(S::sum(sum) / width as f32);
            let mut squares = S::splat(0.0);
            col = 0;
            while col < width {
                let mut d = S::sub(S::load(x.add(col)), mean);
                if width - col < LANES {
                    d = S::keep(d, S::splat(0.0), 0, width - col);
                }
                squares = S::fma(d, d, squares);
                col += LANES;
            }
            let inverse = 1.0 / (S::sum(squares) / width as f32 + eps).sqrt();
            Self {
                mean,
                inverse: S::splat(inverse),
            }
        }
    }

    /// `(x - mean) * inverse * weight + bias`.
    ///
    /// # Safety
    /// Lane arithmetic only.
    #[inline(always)]
    pub(crate) unsafe fn normalise(&self, x: S::F, weight: S::F, bias: S::F) -> S::F {
        // SAFETY: lane arithmetic only.
        unsafe { S::fma(S::mul(S::sub(x, self.mean), self.inverse), weight, bias) }
    }
}
