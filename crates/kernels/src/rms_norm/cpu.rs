//! Normalisation on the lanes, two passes over a row that stays in L1.

use ops::gated_rms_norm::Gate;

use crate::{
    packed::BLOCK,
    pool::Team,
    quantize,
    rows::{QuantRows, Rows},
    simd::{Isa, Kernel, LANES, Simd, dispatch, load_first, math, store_first},
};

/// What becomes of a normalised row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is written.
    Write,
    /// It is added to what the output holds.
    Add,
}

/// One call: `groups` normalisations of `width` columns in each row.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub input: Rows,
    pub out: Rows,
    /// One for each column of a group: the same for all, or one group's behind the other's.
    pub weight: &'a [f32],
    pub eps: f32,
    pub width: usize,
    pub groups: usize,
    /// Weights from one group's to the next's: 0 or `width`.
    pub weight_step: usize,
    /// Multiplies by these rows, gone through the gate's function.
    pub gate: Option<(Rows, Gate)>,
    pub then: Then,
    /// Also rounds the output row to 8 bits.
    pub quantised: Option<QuantRows>,
}

/// This thread's share of the rows.
///
/// # Safety
/// The views have `tokens` rows of `groups * width` columns, padded to whole vectors; `weight` holds `width` values from each
/// `weight_step` on, padded likewise: `width` is a multiple of 16 unless all groups share them.
pub(crate) unsafe fn rms_norm(isa: Isa, norm: Norm<'_>, tokens: usize, team: &Team<'_>) {
    // Groups of a token may be different threads' where no block of the 8-bit form is in two.
    let pieces = if norm.width.is_multiple_of(BLOCK) {
        norm.groups
    } else {
        1
    };
    let share = team.share(tokens * pieces);
    let run = Run {
        norm,
        pieces,
        share,
    };
    // SAFETY: the caller's contract; shares are disjoint.
    unsafe { dispatch(isa, run) }
}

struct Run<'a> {
    norm: Norm<'a>,
    /// That a row's groups are cut into.
    pieces: usize,
    share: std::ops::Range<usize>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let n = &self.norm;
        let groups = n.groups / self.pieces;
        for item in self.share {
            let (token, first) = (item / self.pieces, item % self.pieces * groups);
            // SAFETY: the contract of `rms_norm`.
            unsafe {
                for group in first..first + groups {
                    let at = group * n.width;
                    let gate = n
                        .gate
                        .map(|(rows, gate)| (rows.row(token).add(at).cast_const(), gate));
                    let out = n.out.row(token).add(at);
                    row::<S>(
                        n.input.row(token).add(at),
                        out,
                        n.weight.as_ptr().add(group * n.weight_step),
                        n.eps,
                        n.width,
                        gate,
                        n.then,
                    );
                }
                if let Some(to) = n.quantised {
                    let end = if self.pieces == 1 {
                        to.cols
                    } else {
                        (first + groups) * n.width
                    };
                    quantize::cpu::row::<S>(n.out.row(token), to.row(token), first * n.width, end);
                }
            }
        }
    }
}

/// 1 / sqrt(mean of squares + eps) of `width` values.
///
/// # Safety
/// `x` holds `width` values, padded to whole vectors.
#[inline(always)]
pub(crate) unsafe fn inverse_rms<S: Simd>(x: *const f32, width: usize, eps: f32) -> f32 {
    // SAFETY: the caller's contract.
    unsafe { 1.0 / (sum_of_squares::<S>(x, width) / width as f32 + eps).sqrt() }
}

/// Sum of the squares of `width` values.
///
/// # Safety
/// As [`inverse_rms`].
#[inline(always)]
pub(crate) unsafe fn sum_of_squares<S: Simd>(x: *const f32, width: usize) -> f32 {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sum = S::splat(0.0);
        let mut col = 0;
        while col < width {
            let v = load_first::<S>(x.add(col), width - col);
            sum = S::fma(v, v, sum);
            col += LANES;
        }
        S::sum(sum)
    }
}

#[inline(always)]
unsafe fn row<S: Simd>(
    x: *const f32,
    out: *mut f32,
    weight: *const f32,
    eps: f32,
    width: usize,
    gate: Option<(*const f32, Gate)>,
    then: Then,
) {
    // SAFETY: the contract of `rms_norm`; a partial last vector is stored only up to `width`.
    unsafe {
        let scale = S::splat(inverse_rms::<S>(x, width, eps));
        let mut col = 0;
        while col < width {
            let w = S::load(weight.add(col));
            let mut y = S::mul(S::mul(S::load(x.add(col)), scale), w);
            if let Some((z, gate)) = gate {
                let z = S::load(z.add(col));
                let factor = match gate {
                    Gate::Silu => math::silu::<S>(z),
                    Gate::Sigmoid => math::sigmoid::<S>(z),
                };
                y = S::mul(y, factor);
            }
            if then == Then::Add {
                y = S::add(S::load(out.add(col)), y);
            }
            // What follows is another group, or another thread's row.
            store_first::<S>(out.add(col), y, width - col);
            col += LANES;
        }
    }
}
