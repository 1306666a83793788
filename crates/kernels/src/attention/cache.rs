//! Keys and values of a sequence, layer by layer.
//!
//! Both lie in blocks of 16 positions. A block of keys is `[dimension][position % 16]`, so that a score of 16 keys is a chain of
//! vectors over the dimensions with no reduction across lanes; a block of values is `[dimension / 16][position % 16][dimension % 16]`,
//! so that the sums of a few dimensions read memory in order too. Scales, where there are some, follow their block as
//! `[dimension / 32][position % 16]`: one vector scales 16 keys, or the weights of 16 values. Dimensions are padded to whole vectors.
//! 16-bit whole numbers, which are multiplied in pairs, lie in pairs: `[dimension / 2][position % 16][dimension % 2]` and
//! `[dimension / 16][position % 16 / 2][dimension % 16][position % 2]`, and have one scale for all dimensions.
//!
//! Four blocks of a head are followed by those of the next head, keys by values, a layer by the next, and all of that by the next 64
//! positions (a *run*). So a short sequence touches the beginning of its memory only, with huge pages too: memory that no position
//! reached yet is zero and, by the system, not there.

use std::{ops::Range, sync::Arc};

use crate::{
    memory::{Aligned, Arena, OutOfMemory},
    profile::{KvType, SCALED},
    simd::{LANES, Simd, load_first},
};

/// Positions are taken in multiples of this.
pub(crate) const KEY_BLOCK: usize = 64;

/// Keys and values of one layer.
pub struct KvCache {
    kind: KvType,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    /// Of all layers.
    memory: Arc<Aligned<u8>>,
    /// Where in a run this layer's keys begin; its values follow.
    offset: usize,
    /// Bytes of a run of all layers.
    run: usize,
}

impl KvCache {
    /// The caches of all `layers`, given as (KV heads, width of a head), with room for `positions`, rounded up, in memory of
    /// `arena`.
    ///
    /// # Errors
    /// The size overflows or the system refuses it.
    pub fn of_layers(
        kind: KvType,
        layers: &[(usize, usize)],
        positions: usize,
        arena: &mut Arena,
    ) -> Result<Vec<Self>, OutOfMemory> {
        let sizes = layers
            .iter()
            .map(|&(kv_heads, head_dim)| Self::bytes_for(kind, kv_heads, head_dim, KEY_BLOCK));
        let run = sizes
            .clone()
            .try_fold(0, |sum: usize, bytes| sum.checked_add(bytes?))
            .ok_or(OutOfMemory { bytes: None })?;
        // A vector of slack: the last head's last value may be read as a whole vector.
        let bytes = positions
            .div_ceil(KEY_BLOCK)
            .checked_mul(run)
            .and_then(|bytes| bytes.checked_add(LANES * size_of::<f32>()))
            .ok_or(OutOfMemory { bytes: None })?;
        let memory = Arc::new(arena.zeroed(bytes)?);
        let mut offset = 0;
        let caches = layers
            .iter()
            .zip(sizes)
            .map(|(&(kv_heads, head_dim), size)| {
                let cache = Self {
                    kind,
                    kv_heads,
                    head_dim,
                    capacity: positions.next_multiple_of(KEY_BLOCK),
                    memory: Arc::clone(&memory),
                    offset,
                    run,
                };
                offset += size.unwrap_or(0);
                cache
            });
        Ok(caches.collect())
    }

    /// A single layer's.
    ///
    /// # Errors
    /// As [`KvCache::of_layers`].
    #[cfg(test)]
    pub(crate) fn new(
        kind: KvType,
        kv_heads: usize,
        head_dim: usize,
        positions: usize,
        arena: &mut Arena,
    ) -> Result<Self, OutOfMemory> {
        let mut all = Self::of_layers(kind, &[(kv_heads, head_dim)], positions, arena)?;
        all.pop().ok_or(OutOfMemory { bytes: None })
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
            .checked_mul(kind.head_bytes(head_dim))?
            .checked_mul(2)
    }

    /// Gives these positions memory of their own. Memory that was never written is one page of zeros, read again and again:
    /// reading that would be faster than reading a cache.
    pub(crate) fn materialise(&mut self, positions: Range<usize>) {
        /// The smallest that a page is.
        const PAGE: usize = 4096;
        for run in positions.start / KEY_BLOCK..positions.end.div_ceil(KEY_BLOCK) {
            let start = run * self.run + self.offset;
            for at in (0..self.layer_bytes()).step_by(PAGE) {
                // SAFETY: a byte of this layer's, which `&mut self` has alone, written as it is; volatile, since the compiler would
                // see that nothing changes.
                unsafe {
                    let byte = self.memory.as_mut_pointer().add(start + at);
                    std::ptr::write_volatile(byte, *byte);
                }
            }
        }
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

    /// Bytes from the beginning of a block to its scales.
    #[inline(always)]
    pub(crate) fn codes_bytes(&self) -> usize {
        LANES * self.head_dim.next_multiple_of(LANES) * self.number_bytes()
    }

    /// Bytes of a number without its scale.
    #[inline(always)]
    fn number_bytes(&self) -> usize {
        match self.kind {
            KvType::I16 | KvType::F16 => 2,
            KvType::Q8_0 => 1,
            KvType::F32 => 4,
        }
    }

    /// Bytes from a block of 64 positions to the same head's next.
    #[inline(always)]
    pub(crate) fn run_bytes(&self) -> usize {
        self.run
    }

    /// Bytes of this layer's keys and values in a run.
    #[inline(always)]
    fn layer_bytes(&self) -> usize {
        2 * self.kv_heads * KEY_BLOCK * self.kind.head_bytes(self.head_dim)
    }

    /// Where the block of 16 positions of a head's keys begins, in bytes.
    #[inline(always)]
    fn block(&self, head: usize, block: usize) -> usize {
        const BLOCKS: usize = KEY_BLOCK / LANES;
        let within = head * BLOCKS + block % BLOCKS;
        block / BLOCKS * self.run
            + self.offset
            + within * LANES * self.kind.head_bytes(self.head_dim)
    }

    /// Keys of the 16 positions from `block * 16`.
    #[inline(always)]
    pub(crate) fn key_block(&self, head: usize, block: usize) -> *mut u8 {
        let memory = self.memory.as_mut_pointer();
        memory.wrapping_add(self.block(head, block))
    }

    /// Values of the 16 positions from `block * 16`.
    #[inline(always)]
    pub(crate) fn value_block(&self, head: usize, block: usize) -> *mut u8 {
        let memory = self.memory.as_mut_pointer();
        memory.wrapping_add(self.block(head, block) + self.layer_bytes() / 2)
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
        let keys = self.key_block(head, block);
        let values = self.value_block(head, block);
        let dims = self.head_dim;
        // SAFETY: the caller's contract; slots lie within their blocks.
        unsafe {
            match self.kind {
                KvType::I16 => {
                    let scales = self.codes_bytes() + size_of::<f32>() * lane;
                    let mut rounded = [0i16; LANES];
                    let scale = norm::<S>(key, dims) / WHOLE;
                    let inverse = S::splat(inverse_of(scale));
                    keys.add(scales).cast::<f32>().write(scale);
                    let codes = keys.cast::<i16>().add(2 * lane);
                    let mut d = 0;
                    while d < dims {
                        let x = load_first::<S>(key.add(d), dims - d);
                        S::store_as_i16(rounded.as_mut_ptr(), S::mul(x, inverse));
                        for (i, pair) in rounded.chunks_exact(2).enumerate() {
                            let at = codes.add((d + 2 * i) * LANES);
                            at.copy_from_nonoverlapping(pair.as_ptr(), 2);
                        }
                        d += LANES;
                    }
                    let scale = most::<S>(value, dims) / WHOLE;
                    let inverse = S::splat(inverse_of(scale));
                    values.add(scales).cast::<f32>().write(scale);
                    let codes = values.cast::<i16>().add(lane / 2 * (2 * LANES) + lane % 2);
                    let mut d = 0;
                    while d < dims {
                        let x = load_first::<S>(value.add(d), dims - d);
                        S::store_as_i16(rounded.as_mut_ptr(), S::mul(x, inverse));
                        for (i, &code) in rounded.iter().enumerate() {
                            *codes.add(d * LANES + 2 * i) = code;
                        }
                        d += LANES;
                    }
                }
                KvType::F16 => {
                    let keys = keys.cast::<u16>().add(lane);
                    let values = values.cast::<u16>().add(lane * LANES);
                    let mut rounded = [0u16; LANES];
                    let mut d = 0;
                    while d < dims {
                        let count = LANES.min(dims - d);
                        S::store_f16(rounded.as_mut_ptr(), S::load(key.add(d)));
                        for (i, &half) in rounded.iter().take(count).enumerate() {
                            *keys.add((d + i) * LANES) = half;
                        }
                        S::store_f16(rounded.as_mut_ptr(), S::load(value.add(d)));
                        values
                            .add(d * LANES)
                            .copy_from_nonoverlapping(rounded.as_ptr(), LANES);
                        d += LANES;
                    }
                }
                KvType::Q8_0 => {
                    let scales = self.codes_bytes() + 2 * lane;
                    let mut d = 0;
                    while d < dims {
                        let count = SCALED.min(dims - d);
                        // Blocks of odd widths begin at odd addresses.
                        let scale = scales + d / SCALED * 2 * LANES;
                        let (codes, half) = rounded::<S>(key.add(d), count);
                        for (i, &code) in codes.iter().take(count).enumerate() {
                            *keys.cast::<i8>().add((d + i) * LANES + lane) = code;
                        }
                        keys.add(scale).cast::<u16>().write_unaligned(half);
                        let (codes, half) = rounded::<S>(value.add(d), count);
                        for (i, codes) in
                            codes.chunks(LANES).take(count.div_ceil(LANES)).enumerate()
                        {
                            values
                                .cast::<i8>()
                                .add((d + i * LANES + lane) * LANES)
                                .copy_from_nonoverlapping(codes.as_ptr(), LANES);
                        }
                        values.add(scale).cast::<u16>().write_unaligned(half);
                        d += SCALED;
                    }
                }
                KvType::F32 => {
                    let keys = keys.cast::<f32>().add(lane);
                    let values = values.cast::<f32>().add(lane * LANES);
                    for d in 0..dims {
                        *keys.add(d * LANES) = *key.add(d);
                        *values.add(d / LANES * LANES * LANES + d % LANES) = *value.add(d);
                    }
                }
            }
        }
    }
}

/// The largest whole number of 16 bits.
pub(crate) const WHOLE: f32 = 32_767.0;

/// The Euclidean norm of `dims` numbers; not finite if one is not.
///
/// # Safety
/// `x` holds them, padded to whole vectors.
#[inline(always)]
pub(crate) unsafe fn norm<S: Simd>(x: *const f32, dims: usize) -> f32 {
    // SAFETY: the caller's contract.
    unsafe {
        let mut squares = S::splat(0.0);
        let mut d = 0;
        while d < dims {
            let x = load_first::<S>(x.add(d), dims - d);
            squares = S::fma(x, x, squares);
            d += LANES;
        }
        S::sum(squares).sqrt()
    }
}

/// The largest magnitude of `dims` numbers; not finite if one is not.
///
/// # Safety
/// `x` holds them, padded to whole vectors.
#[inline(always)]
unsafe fn most<S: Simd>(x: *const f32, dims: usize) -> f32 {
    // SAFETY: the caller's contract.
    unsafe {
        let (mut most, mut nothing) = (S::splat(0.0), S::splat(0.0));
        let mut d = 0;
        while d < dims {
            let x = load_first::<S>(x.add(d), dims - d);
            most = S::max(S::abs(x), most);
            nothing = S::fma(x, S::splat(0.0), nothing);
            d += LANES;
        }
        S::largest(most) + S::sum(nothing)
    }
}

/// 1 over a scale; 0 for what is too small, or no number: then the scale alone says so.
#[inline(always)]
pub(crate) fn inverse_of(scale: f32) -> f32 {
    if scale >= f32::MIN_POSITIVE {
        1.0 / scale
    } else {
        0.0
    }
}

/// The first `count` of up to 32 numbers as bytes, and their scale in binary16: the largest magnitude over 127. A number that is
/// not finite makes the scale NaN, so that it is not lost.
///
/// # Safety
/// `x` holds `count` numbers, padded to whole vectors.
#[inline(always)]
unsafe fn rounded<S: Simd>(x: *const f32, count: usize) -> ([i8; SCALED], u16) {
    // SAFETY: the caller's contract; lanes beyond `count` are replaced by 0 before they count.
    unsafe {
        let zero = S::splat(0.0);
        let part = |i: usize| S::keep(S::load(x.add(i * LANES)), zero, 0, count - i * LANES);
        let parts = [part(0), if count > LANES { part(1) } else { zero }];
        let most = S::largest(S::max(S::abs(parts[0]), S::abs(parts[1])));
        let nothing = S::fma(parts[0], zero, S::mul(parts[1], zero));
        let scale = most / 127.0 + S::sum(nothing);
        let inverse = S::splat(if scale > 0.0 { 1.0 / scale } else { 0.0 });
        let mut codes = [0i8; SCALED];
        for (i, part) in parts.into_iter().enumerate() {
            S::store_as_i8(codes.as_mut_ptr().add(i * LANES), S::mul(part, inverse));
        }
        let mut half = [0u16; LANES];
        S::store_f16(half.as_mut_ptr(), S::splat(scale));
        (codes, half[0])
    }
}
