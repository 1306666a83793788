//! Zeroed, cache-line-aligned memory for weights, activations and state.
//!
//! Zeroed memory is left to the system until it is touched, so a cache for a long context costs what is used of it.
//!
//! What a step streams (weights, keys and values) comes from an [`Arena`]: large regions with huge pages where the system has
//! them. A walk through small pages costs a translation every 4 KiB, which in a virtual machine is two page walks deep.

mod region;

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    sync::Arc,
};

use region::Region;

/// Plain numbers for which all-zero bytes are a value.
pub trait Plain: Copy + Send + Sync + 'static {}
impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for u16 {}
impl Plain for f32 {}
impl Plain for i32 {}

/// Alignment of every buffer: a cache line.
pub const ALIGN: usize = 64;

/// A fixed-size, zero-initialised buffer on cache-line boundaries.
pub struct Aligned<T: Plain> {
    pointer: *mut T,
    len: usize,
    owner: Owner,
}

/// Whose memory it is.
enum Owner {
    /// Nobody's: there is none.
    Nobody,
    /// The allocator's, from `base`, which lies up to a line before the first element.
    Allocator { base: *mut u8 },
    /// A piece of a region, which no other piece overlaps.
    Region { _alive: Arc<Region> },
    /// Somebody else's, to read only.
    Lent { _alive: Arc<dyn Lender> },
}

/// Whoever has bytes, at one place as long as it lives.
pub trait Lender: AsRef<[u8]> + Send + Sync {}
impl<T: AsRef<[u8]> + Send + Sync> Lender for T {}

// SAFETY: it owns its memory like a `Vec<T>` of `Send + Sync` numbers.
unsafe impl<T: Plain> Send for Aligned<T> {}
// SAFETY: as above; shared access reads only, unless a kernel writes disjoint parts through `as_mut_pointer`.
unsafe impl<T: Plain> Sync for Aligned<T> {}

/// Memory could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes asked for; `None` when the size itself overflowed.
    pub bytes: Option<usize>,
}

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bytes {
            Some(bytes) => write!(f, "the system refused {bytes} bytes of memory"),
            None => write!(f, "a buffer larger than the address space was asked for"),
        }
    }
}

impl std::error::Error for OutOfMemory {}

impl<T: Plain> Aligned<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// The size overflows or the system refuses it.
    pub fn zeroed(len: usize) -> Result<Self, OutOfMemory> {
        if len == 0 {
            return Ok(Self {
                pointer: std::ptr::without_provenance_mut(ALIGN),
                len,
                owner: Owner::Nobody,
            });
        }
        let layout = Self::layout(len).ok_or(OutOfMemory { bytes: None })?;
        // SAFETY: the layout has a non-zero size, since `len` and the size of every `Plain` type are.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            return Err(OutOfMemory {
                bytes: Some(layout.size()),
            });
        }
        // SAFETY: the layout has `ALIGN - 1` bytes more than the elements need, and no byte is further from a line's start.
        let pointer = unsafe { base.add(base.align_offset(ALIGN)) }.cast::<T>();
        Ok(Self {
            pointer,
            len,
            owner: Owner::Allocator { base },
        })
    }

    /// The bytes of `lender`, to read where they lie; `None` unless they begin at a cache line.
    ///
    /// The lender must answer with the same bytes each time, as maps and vectors do.
    pub(crate) fn lent(lender: Arc<dyn Lender>) -> Option<Aligned<u8>> {
        let bytes = (*lender).as_ref();
        let (pointer, len) = (bytes.as_ptr().cast_mut(), bytes.len());
        (pointer.addr() % ALIGN == 0).then_some(Aligned {
            pointer,
            len,
            owner: Owner::Lent { _alive: lender },
        })
    }

    /// Of the natural alignment, with room to move up to a line: for larger alignments the standard allocator writes the
    /// zeros itself, which touches every page.
    fn layout(len: usize) -> Option<Layout> {
        let bytes = len.checked_mul(size_of::<T>())?.checked_add(ALIGN - 1)?;
        Layout::from_size_align(bytes, align_of::<T>()).ok()
    }

    /// Elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `pointer` is valid for `len` initialised elements.
        unsafe { std::slice::from_raw_parts(self.pointer, self.len) }
    }

    /// All of it, to write.
    ///
    /// # Panics
    /// If it is lent, which only packed weights are, and nobody writes those.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        assert!(
            !matches!(self.owner, Owner::Lent { .. }),
            "lent memory is read only"
        );
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.len) }
    }

    /// The first element's address, for kernels whose threads write disjoint parts.
    pub(crate) fn as_mut_pointer(&self) -> *mut T {
        self.pointer
    }
}

impl<T: Plain> Drop for Aligned<T> {
    fn drop(&mut self) {
        if let Owner::Allocator { base } = self.owner
            && let Some(layout) = Self::layout(self.len)
        {
            // SAFETY: allocated in `zeroed` with this very layout.
            unsafe { dealloc(base, layout) }
        }
    }
}

/// Which pages an [`Arena`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The system's own.
    Small,
    /// Huge ones where the system grants them (Linux, `madvise`), else small ones.
    Huge,
}

impl Pages {
    /// The name used in profiles and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Huge => "huge",
        }
    }
}

/// Hands out buffers that lie one behind the other in large regions.
///
/// A region is address space; memory is what its buffers touch, so the unused end of one costs nothing. It lives as long as the
/// last of its buffers.
pub struct Arena {
    pages: Pages,
    region: Option<Arc<Region>>,
    used: usize,
}

/// Address space of a region, unless one buffer needs more.
const REGION_BYTES: usize = 256 << 20;

impl Arena {
    /// An empty one.
    #[must_use]
    pub fn new(pages: Pages) -> Self {
        Self {
            pages,
            region: None,
            used: 0,
        }
    }

    /// `len` zeros.
    ///
    /// # Errors
    /// The size overflows or the system refuses it.
    pub fn zeroed<T: Plain>(&mut self, len: usize) -> Result<Aligned<T>, OutOfMemory> {
        if self.pages == Pages::Small || len == 0 {
            return Aligned::zeroed(len);
        }
        let too_large = OutOfMemory { bytes: None };
        let bytes = len.checked_mul(size_of::<T>()).ok_or(too_large)?;
        let bytes = bytes.checked_next_multiple_of(ALIGN).ok_or(too_large)?;
        let region = match &self.region {
            Some(region) if region.len() - self.used >= bytes => Arc::clone(region),
            _ => {
                // Under a limit on address space a region for this buffer alone may still fit.
                let region = Region::map(bytes.max(REGION_BYTES)).or_else(|_| Region::map(bytes));
                let Some(region) = region? else {
                    self.pages = Pages::Small;
                    return Aligned::zeroed(len);
                };
                self.used = 0;
                Arc::clone(self.region.insert(Arc::new(region)))
            }
        };
        let pointer = region.at(self.used).cast::<T>();
        self.used += bytes;
        Ok(Aligned {
            pointer,
            len,
            owner: Owner::Region { _alive: region },
        })
    }
}

#[cfg(test)]
mod tests;
