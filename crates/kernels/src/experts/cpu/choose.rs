//! Choosing: a short list that stays sorted, largest first; of equal values the lower index stays in front.

use ops::route::Groups;

use super::MOST_GROUPS;
use crate::simd::{LANES, Simd, math};

/// A NaN counts as the smallest; its weight stays a NaN, so that the logits show it.
#[inline(always)]
fn key_of(value: f32) -> f32 {
    if value.is_nan() {
        f32::NEG_INFINITY
    } else {
        value
    }
}

/// The list: indices, then their values.
struct List {
    out: *mut f32,
    most: usize,
    held: usize,
}

impl List {
    /// # Safety
    /// `out` has room for `2 most` numbers; `most` is at least 1.
    #[inline(always)]
    unsafe fn offer(&mut self, index: usize, value: f32) {
        // SAFETY: the caller's contract; `at` stays below `most`.
        unsafe {
            let values = self.out.add(self.most);
            let key = key_of(value);
            if self.held == self.most && key <= key_of(*values.add(self.most - 1)) {
                return;
            }
            let mut at = self.held.min(self.most - 1);
            while at > 0 && key > key_of(*values.add(at - 1)) {
                *values.add(at) = *values.add(at - 1);
                *self.out.add(at) = *self.out.add(at - 1);
                at -= 1;
            }
            *values.add(at) = value;
            *self.out.add(at) = index as f32;
            self.held = (self.held + 1).min(self.most);
        }
    }
}

/// The indices and the logits of the `chosen` largest, largest first, into `out`.
///
/// # Safety
/// `row` holds `experts` logits, `out` has room for `2 chosen` numbers; `chosen` is 1 to `experts`.
#[inline(always)]
pub(super) unsafe fn largest(row: *const f32, experts: usize, out: *mut f32, chosen: usize) {
    let mut list = List {
        out,
        most: chosen,
        held: 0,
    };
    for expert in 0..experts {
        // SAFETY: the caller's contract.
        unsafe { list.offer(expert, *row.add(expert)) };
    }
}

/// As [`largest`] by the logits' sigmoids plus the bias, of the groups whose two largest are.
///
/// # Safety
/// As [`largest`]; the row and the bias are padded to whole vectors; groups fit the experts, at most [`MOST_GROUPS`].
#[inline(always)]
pub(super) unsafe fn by_score<S: Simd>(
    (row, bias): (*const f32, Option<&[f32]>),
    experts: usize,
    groups: Groups,
    out: *mut f32,
    chosen: usize,
) {
    let each = experts / groups.count;
    // SAFETY: the caller's contract.
    unsafe {
        let kept = match groups.count {
            1 => u64::MAX,
            count => {
                let mut best = [[f32::NEG_INFINITY; 2]; MOST_GROUPS];
                for_scores::<S>(row, bias, experts, |expert, score| {
                    let [first, second] = &mut best[expert / each];
                    if score > *first {
                        *second = *first;
                        *first = score;
                    } else if score > *second {
                        *second = score;
                    }
                });
                let mut ranks = [0.0f32; 2 * MOST_GROUPS];
                let mut list = List {
                    out: ranks.as_mut_ptr(),
                    most: groups.used,
                    held: 0,
                };
                for (group, [first, second]) in best.iter().take(count).enumerate() {
                    list.offer(group, first + second);
                }
                let used = ranks.iter().take(groups.used);
                used.fold(0, |mask, &group| mask | 1 << group as u64)
            }
        };
        let mut list = List {
            out,
            most: chosen,
            held: 0,
        };
        for_scores::<S>(row, bias, experts, |expert, score| {
            if kept >> (expert / each % 64) & 1 == 1 {
                list.offer(expert, score);
            }
        });
    }
}

/// Calls `each` with every expert and its score.
///
/// # Safety
/// As [`by_score`].
#[inline(always)]
unsafe fn for_scores<S: Simd>(
    row: *const f32,
    bias: Option<&[f32]>,
    experts: usize,
    mut each: impl FnMut(usize, f32),
) {
    let mut lanes = [0.0f32; LANES];
    for first in (0..experts).step_by(LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut score = math::sigmoid::<S>(S::load(row.add(first)));
            if let Some(bias) = bias {
                score = S::add(score, S::load(bias.as_ptr().add(first)));
            }
            S::store(lanes.as_mut_ptr(), score);
        }
        for (i, &score) in lanes.iter().enumerate().take(experts - first) {
            each(first + i, score);
        }
    }
}
