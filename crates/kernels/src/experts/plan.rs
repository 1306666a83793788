//! The slots of a step, ordered by expert.

/// What it was filled for (experts, slots), then `experts + 1` offsets, then the slots: those of expert e are
/// `slots[offsets[e]..offsets[e + 1]]`, in ascending order.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub pointer: *mut i32,
    pub experts: usize,
    pub slots: usize,
}

/// Numbers of the head.
const HEAD: usize = 2;

// SAFETY: a view is an address; `route` writes it on one thread before the barrier behind which all read it.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Plan {
    /// Numbers that a plan takes.
    pub(crate) const fn len(experts: usize, slots: usize) -> usize {
        HEAD + experts + 1 + slots
    }

    /// Whether it was filled for these experts and slots: a plan of another step names slots that this one does not have.
    ///
    /// # Safety
    /// The view holds [`Plan::len`] numbers and nobody writes it.
    pub(crate) unsafe fn is_filled(&self) -> bool {
        // SAFETY: the caller's contract.
        let head = unsafe { [*self.pointer, *self.pointer.add(1)] };
        head == [self.experts as i32, self.slots as i32]
    }

    /// The slots of an expert; none, unless the plan was filled for this very shape.
    ///
    /// # Safety
    /// As [`Plan::is_filled`], and `expert` exists.
    pub(crate) unsafe fn of(&self, expert: usize) -> &[i32] {
        // SAFETY: offsets ascend within the slots (`fill`).
        unsafe {
            if !self.is_filled() {
                return &[];
            }
            let offsets = self.pointer.add(HEAD);
            let (from, to) = (*offsets.add(expert), *offsets.add(expert + 1));
            let slots = offsets.add(self.experts + 1 + from as usize);
            std::slice::from_raw_parts(slots, (to - from) as usize)
        }
    }

    /// Orders the slots: `expert_of` names each one's expert, below `experts`.
    ///
    /// # Safety
    /// The view holds [`Plan::len`] numbers and nobody else touches it.
    pub(crate) unsafe fn fill(&self, expert_of: impl Fn(usize) -> usize) {
        // SAFETY: the caller's contract.
        let all = unsafe {
            std::slice::from_raw_parts_mut(self.pointer, Self::len(self.experts, self.slots))
        };
        let (head, rest) = all.split_at_mut(HEAD);
        let (ends, slots) = rest.split_at_mut(self.experts + 1);
        head.copy_from_slice(&[self.experts as i32, self.slots as i32]);
        // A counting sort: counts, then where each expert's slots end, then backwards into place.
        ends.fill(0);
        for slot in 0..self.slots {
            ends[expert_of(slot)] += 1;
        }
        let mut sum = 0;
        for end in ends.iter_mut() {
            sum += *end;
            *end = sum;
        }
        for slot in (0..self.slots).rev() {
            let end = &mut ends[expert_of(slot)];
            *end -= 1;
            slots[*end as usize] = slot as i32;
        }
    }
}
