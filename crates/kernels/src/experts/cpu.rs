//! Routing and mixing on the lanes. Both are small beside the products; a token is one thread's.

use super::plan::Plan;
use crate::{
    pool::Team,
    rows::Rows,
    simd::{Isa, Kernel, LANES, Simd, dispatch, math, store_first},
};

/// Inputs of [`route`].
#[derive(Clone, Copy)]
pub(crate) struct Route {
    /// `(tokens, experts)`.
    pub logits: Rows,
    /// `(tokens, 2 chosen)`: the experts' indices, which f32 holds exactly, then their weights.
    pub out: Rows,
    pub plan: Plan,
    pub chosen: usize,
}

/// Chooses each token's experts, and orders all slots by expert. The team meets once inside.
///
/// # Safety
/// The views have `tokens` rows; the plan has `tokens * chosen` slots; all threads call it.
pub(crate) unsafe fn route(isa: Isa, call: Route, tokens: usize, team: &Team<'_>) {
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

struct RunRoute {
    call: Route,
    share: std::ops::Range<usize>,
}

impl Kernel for RunRoute {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Route {
            logits,
            out,
            plan,
            chosen,
        } = self.call;
        for token in self.share {
            // SAFETY: the contract of `route`.
            unsafe {
                let (row, out) = (logits.row(token).cast_const(), out.row(token));
                choose(row, plan.experts, out, chosen);
                let weights = out.add(chosen);
                let largest = S::splat(*weights);
                let mut sum = 0.0;
                for j in 0..chosen {
                    let mut lanes = [0.0f32; LANES];
                    let e = math::exp::<S>(S::sub(S::splat(*weights.add(j)), largest));
                    S::store(lanes.as_mut_ptr(), e);
                    *weights.add(j) = lanes[0];
                    sum += lanes[0];
                }
                for j in 0..chosen {
                    *weights.add(j) /= sum;
                }
            }
        }
    }
}

/// The indices and the logits of the `chosen` largest, largest first, into `out`: a list that stays sorted.
///
/// # Safety
/// `row` holds `experts` logits, `out` has room for `2 chosen` numbers; `chosen` is 1 to `experts`.
#[inline(always)]
unsafe fn choose(row: *const f32, experts: usize, out: *mut f32, chosen: usize) {
    // SAFETY: the caller's contract; `at` stays below `chosen`.
    unsafe {
        let values = out.add(chosen);
        // A NaN counts as the smallest; its weight stays a NaN, so that the logits show it.
        let key_of = |v: f32| if v.is_nan() { f32::NEG_INFINITY } else { v };
        let mut held = 0;
        for expert in 0..experts {
            let value = *row.add(expert);
            let key = key_of(value);
            if held == chosen && key <= key_of(*values.add(chosen - 1)) {
                continue;
            }
            let mut at = held.min(chosen - 1);
            while at > 0 && key > key_of(*values.add(at - 1)) {
                *values.add(at) = *values.add(at - 1);
                *out.add(at) = *out.add(at - 1);
                at -= 1;
            }
            *values.add(at) = value;
            *out.add(at) = expert as f32;
            held = (held + 1).min(chosen);
        }
    }
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
