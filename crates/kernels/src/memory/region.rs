//! Address space from the system, for which huge pages are asked.

use super::OutOfMemory;

/// Zeroed, writable memory that starts on a huge page's boundary.
pub(super) struct Region {
    start: *mut u8,
    len: usize,
    /// What the system gave: up to a huge page more on both sides.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux maps regions")
    )]
    mapped: (*mut u8, usize),
}

// SAFETY: a region is an address and a length; who may write where is for the buffers that are cut from it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// `len` bytes; `None` where the system has no huge pages to ask for.
    ///
    /// # Errors
    /// The system refuses the memory.
    #[cfg(target_os = "linux")]
    pub(super) fn map(len: usize) -> Result<Option<Self>, OutOfMemory> {
        const HUGE_PAGE: usize = 2 << 20;
        let refused = |bytes| OutOfMemory { bytes };
        let len = len
            .checked_next_multiple_of(HUGE_PAGE)
            .ok_or(refused(None))?;
        let bytes = len.checked_add(HUGE_PAGE).ok_or(refused(None))?;
        // SAFETY: a new private mapping at an address of the system's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(refused(Some(bytes)));
        }
        let base = base.cast::<u8>();
        // SAFETY: the mapping has a huge page more than `len`, and no byte is further from a boundary.
        let start = unsafe { base.add(base.align_offset(HUGE_PAGE)) };
        // SAFETY: the range lies in the mapping. A refusal changes nothing but speed.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
        Ok(Some(Self {
            start,
            len,
            mapped: (base, bytes),
        }))
    }

    /// No huge pages to ask for here.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn map(_len: usize) -> Result<Option<Self>, OutOfMemory> {
        Ok(None)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The byte at `offset`, which is at most the length.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        self.start.wrapping_add(offset)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, made in `map`; no buffer of it is alive, since each holds a share of this region.
        unsafe { libc::munmap(self.mapped.0.cast(), self.mapped.1) };
    }
}
