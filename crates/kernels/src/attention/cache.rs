//! Keys and values of one layer of one sequence.
//!
//! Keys lie in blocks of 16 positions, `[kv head][position / 16][dimension][position % 16]`, so that a score of 16 keys is a chain
//! of vectors over the dimensions with no reduction across lanes. Values lie as `[kv head][position][dimension]`.
//! Capacity is a multiple of 64 positions; memory that no position reached yet is zero and, by the system, not there.

use crate::{
    memory::{Aligned, Arena, OutOfMemory},
    profile::KvType,
    simd::{LANES, Simd},
};

/// Positions are taken in multiples of this.
pub(crate) const KEY_BLOCK: usize = 64;

/// Keys and values of one layer.
pub struct KvCache {
    kind: KvType,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    keys: Aligned<u8>,
    values: Aligned<u8>,
}

impl KvCache {
    /// Room for `positions`, rounded up, in memory of `arena`.
    ///
    /// # Errors
    /// The size overflows or the system refuses it.
    pub fn new(
        kind: KvType,
        kv_heads: usize,
        head_dim: usize,
        positions: usize,
        arena: &mut Arena,
    ) -> Result<Self, OutOfMemory> {
        let bytes = Self::bytes_for(kind, kv_heads, head_dim, positions)
            .ok_or(OutOfMemory { bytes: None })?;
        let capacity = positions.next_multiple_of(KEY_BLOCK);
        // A vector of slack: the last head's last value may be read as a whole vector.
        let half = bytes / 2 + LANES * kind.bytes();
        Ok(Self {
            kind,
            kv_heads,
            head_dim,
            capacity,
            keys: arena.zeroed(half)?,
            values: arena.zeroed(half)?,
        })
    }

    /// Bytes of keys and values for `positions`, as allocated; `None` on overflow.
    #[must_use]
    pub fn bytes_for(
        kind: KvType,
        kv_heads: usize,
        head_dim: usize,
        positions: usize,
    ) -> Option<usize> {
        positions
            .checked_next_multiple_of(KEY_BLOCK)?
            .checked_mul(kv_heads)?
            .checked_mul(head_dim)?
            .checked_mul(2 * kind.bytes())
    }

    /// Positions that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn kind(&self) -> KvType {
        self.kind
    }

    pub(crate) fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Key of `dimension` for the 16 positions from `block * 16`.
    #[inline(always)]
    pub(crate) fn key_base(&self, head: usize, block: usize) -> *mut u8 {
        let element = (head * self.capacity + block * LANES) * self.head_dim;
        self.keys
            .as_mut_pointer()
            .wrapping_add(element * self.kind.bytes())
    }

    #[inline(always)]
    pub(crate) fn value_base(&self, head: usize, position: usize) -> *mut u8 {
        let element = (head * self.capacity + position) * self.head_dim;
        self.values
            .as_mut_pointer()
            .wrapping_add(element * self.kind.bytes())
    }

    /// Stores one head of one position.
    ///
    /// # Safety
    /// `head` and `position` exist, `key` and `value` hold `head_dim` numbers padded to whole vectors, and no other thread
    /// touches this head's caches.
    #[inline(always)]
    pub(crate) unsafe fn write<S: Simd>(
        &self,
        head: usize,
        position: usize,
        key: *const f32,
        value: *const f32,
    ) {
        let (block, lane) = (position / LANES, position % LANES);
        // SAFETY: the caller's contract; slots lie within the capacity.
        unsafe {
            match self.kind {
                KvType::F16 => {
                    let keys = self.key_base(head, block).cast::<u16>();
                    let values = self.value_base(head, position).cast::<u16>();
                    let mut rounded = [0u16; LANES];
                    let mut d = 0;
                    while d < self.head_dim {
                        let count = LANES.min(self.head_dim - d);
                        S::store_f16(rounded.as_mut_ptr(), S::load(key.add(d)));
                        for (i, &half) in rounded.iter().take(count).enumerate() {
                            *keys.add((d + i) * LANES + lane) = half;
                        }
                        S::store_f16(rounded.as_mut_ptr(), S::load(value.add(d)));
                        values
                            .add(d)
                            .copy_from_nonoverlapping(rounded.as_ptr(), count);
                        d += LANES;
                    }
                }
                KvType::F32 => {
                    let keys = self.key_base(head, block).cast::<f32>();
                    let values = self.value_base(head, position).cast::<f32>();
                    for d in 0..self.head_dim {
                        *keys.add(d * LANES + lane) = *key.add(d);
                        *values.add(d) = *value.add(d);
                    }
                }
            }
        }
    }
}
