//! Slices that the threads of a team cut up among themselves.

use std::ops::Range;

use super::Machine;
use crate::simd::{LANES, Simd};

/// Where values begin that threads write disjoint parts of, or all read.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

// SAFETY: an address; the kernels that share one write disjoint parts between two barriers.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) const fn of(values: &mut [f32]) -> Self {
        Self(values.as_mut_ptr())
    }

    /// Of values that nobody writes.
    pub(super) const fn read(values: &[f32]) -> Self {
        Self(values.as_ptr().cast_mut())
    }

    /// The address of value `at`, which may lie beyond the end as long as it is not used.
    #[inline(always)]
    pub(super) const fn at(self, at: usize) -> *mut f32 {
        self.0.wrapping_add(at)
    }
}

/// The first `count` lanes (all, if there are no more), zeros in the others; no more than that is read.
///
/// # Safety
/// `p` is valid for the lanes read.
#[inline(always)]
pub(super) unsafe fn load_some<S: Simd>(p: *const f32, count: usize) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        if count >= LANES {
            return S::load(p);
        }
        let mut lanes = [0.0f32; LANES];
        lanes.as_mut_ptr().copy_from_nonoverlapping(p, count);
        S::load(lanes.as_ptr())
    }
}

/// Hands out pieces of a thread's working memory.
pub(super) struct Pieces(pub *mut f32);

impl Pieces {
    pub(super) fn take(&mut self, len: usize) -> *mut f32 {
        let at = self.0;
        self.0 = at.wrapping_add(len);
        at
    }
}

/// Rows that one thread takes at a time, and whose sums are made first: fixed, so that sums do not depend on threads.
pub(super) const PIECE: usize = 64;

/// How many pieces `rows` are.
pub(super) const fn pieces(rows: usize) -> usize {
    rows.div_ceil(PIECE)
}

/// The rows of piece `piece`.
pub(super) fn piece(piece: usize, rows: usize) -> Range<usize> {
    piece * PIECE..rows.min((piece + 1) * PIECE)
}

impl Machine {
    /// Every piece of `rows` once, by whichever thread is free.
    pub(super) fn for_pieces(&self, rows: usize, work: impl Fn(Range<usize>) + Sync) {
        self.pool.run(|team| {
            team.deal(0, pieces(rows), 1, |some| {
                some.for_each(|number| work(piece(number, rows)));
            });
        });
    }
}
