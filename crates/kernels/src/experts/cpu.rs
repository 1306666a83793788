//! Routing and mixing on the lanes. Both are small beside the products; a token is one thread's.

mod choose;

use ops::route::{LEAST, Scoring};

use self::choose::{by_score, largest};
use super::plan::Plan;
use crate::{
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, math, store_first},
};

/// Groups of experts that a choice can keep apart: the bits of a mask. Real models have up to 8.
pub(crate) const MOST_GROUPS: usize = 64;

/// Inputs of [`route`].
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// `(tokens, experts)`.
    pub logits: Rows,
    /// `(tokens, 2 chosen)`: the experts' indices, which f32 holds exactly, then their weights.
    pub out: Rows,
    pub plan: Plan,
    pub chosen: usize,
    pub scoring: Scoring,
    /// Added to scores for the choice; one for each expert, padded to whole vectors.
    pub bias: Option<&'a [f32]>,
}

/// Chooses each token's experts, and orders all slots by expert. The team meets once inside.
///
/// # Safety
/// The views have `tokens` rows, padded to whole vectors; groups fit the experts, at most [`MOST_GROUPS`]; the plan has `tokens * chosen` slots; all threads call it.
pub(crate) unsafe fn route(isa: Isa, call: Route<'_>, tokens: usize, team: &Team<'_>) {
    let share = team.share(tokens);
    // SAFETY: the caller's contract; tokens are disjoint.
    unsafe { dispatch(isa, RunRoute { call, share }) }
    team.barrier();
    if team.index == 0 {
        let expert_of = |slot: usize| {
            // SAFETY: the slot's token exists; the index was written before the barrier.
            unsafe { *call.out.row(slot / call.chosen).add(slot % call.chosen) as usize }
        };
        // SAFETY: the others wait at the barrier behind the node.
        unsafe { call.plan.fill(expert_of) }
    }
}

struct RunRoute<'a> {
    call: Route<'a>,
    share: std::ops::Range<usize>,
}

impl Kernel for RunRoute<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Route {
            logits,
            out,
            plan,
            chosen,
            scoring,
            bias,
        } = self.call;
        for token in self.share {
            // SAFETY: the contract of `route`.
            unsafe {
                let (row, out) = (logits.row(token).cast_const(), out.row(token));
                match scoring {
                    Scoring::Softmax => {
                        largest(row, plan.experts, out, chosen);
                        softmax::<S>(out.add(chosen), chosen);
                    }
                    Scoring::Sigmoid {
                        groups,
                        renormalise,
                        scale,
                    } => {
                        by_score::<S>((row, bias), plan.experts, groups, out, chosen);
                        let weights = out.add(chosen);
                        let mut sum = if renormalise { LEAST } else { 1.0 };
                        for j in 0..chosen {
                            let logit = S::splat(*row.add(*out.add(j) as usize));
                            *weights.add(j) = first_lane::<S>(math::sigmoid::<S>(logit));
                            if renormalise {
                                sum += *weights.add(j);
                            }
                        }
                        for j in 0..chosen {
                            *weights.add(j) *= scale / sum;
                        }
                    }
                }
            }
        }
    }
}

/// The softmax of `count` logits, the first of which is the largest, in place.
///
/// # Safety
/// There are as many.
#[inline(always)]
unsafe fn softmax<S: Simd>(weights: *mut f32, count: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let largest = S::splat(*weights);
        let mut sum = 0.0;
        for j in 0..count {
            let e = math::exp::<S>(S::sub(S::splat(*weights.add(j)), largest));
            *weights.add(j) = first_lane::<S>(e);
            sum += *weights.add(j);
        }
        for j in 0..count {
            *weights.add(j) /= sum;
        }
    }
}

/// # Safety
/// None beyond the instruction set.
#[inline(always)]
unsafe fn first_lane<S: Simd>(x: S::F) -> f32 {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: there is room for a vector.
    unsafe { S::store(lanes.as_mut_ptr(), x) };
    lanes[0]
}

/// Inputs of [`mix`].
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    /// `(slots, width)`.
    pub outputs: Rows,
    /// As [`Route::out`].
    pub routes: Rows,
    /// The shared expert's output, and its gate's logit where it has a gate.
    pub shared: Option<(Rows, Option<Rows>)>,
    /// Multiplies what is added.
    pub scale: f32,
    /// The stream, added to.
    pub out: Rows,
    pub chosen: usize,
    pub width: usize,
}

/// This thread's share of the tokens' columns.
///
/// # Safety
/// The views have `tokens` rows (`outputs` `tokens * chosen`), padded to whole vectors.
pub(crate) unsafe fn mix(isa: Isa, call: Mix, tokens: usize, team: &Team<'_>) {
    /// Whole vectors, so that a single token keeps every thread busy.
    const PIECE: usize = 256;
    let pieces = call.width.div_ceil(PIECE);
    for item in team.share(tokens * pieces) {
        let (token, from) = (item / pieces, item % pieces * PIECE);
        let to = (from + PIECE).min(call.width);
        // SAFETY: the caller's contract; pieces are disjoint.
        unsafe {
            dispatch(
                isa,
                RunMix {
                    call,
                    token,
                    from,
                    to,
                },
            )
        }
    }
}

struct RunMix {
    call: Mix,
    token: usize,
    from: usize,
    to: usize,
}

impl Kernel for RunMix {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let c = &self.call;
        // SAFETY: the contract of `mix`.
        unsafe {
            let weights = c.routes.row(self.token).add(c.chosen);
            let first = self.token * c.chosen;
            let out = c.out.row(self.token);
            let scale = S::splat(c.scale);
            let mut col = self.from;
            while col < self.to {
                let mut y = S::load(out.add(col));
                for j in 0..c.chosen {
                    let e = S::load(c.outputs.row(first + j).add(col));
                    let weight = S::mul(S::splat(*weights.add(j)), scale);
                    y = S::fma(weight, e, y);
                }
                if let Some((shared, gate)) = c.shared {
                    let factor = match gate {
                        Some(gate) => {
                            let logit = S::splat(*gate.row(self.token));
                            S::mul(math::sigmoid::<S>(logit), scale)
                        }
                        None => scale,
                    };
                    y = S::fma(factor, S::load(shared.row(self.token).add(col)), y);
                }
                store_first::<S>(out.add(col), y, self.to - col);
                col += LANES;
            }
        }
    }
}
