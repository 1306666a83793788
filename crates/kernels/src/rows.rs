//! Activations: matrices of f32 rows that the threads of a team share, and their 8-bit form.
//!
//! A [`Rows`] is a raw view: kernels running on several threads write disjoint parts of it between two barriers, which
//! Rust's references cannot express. Whoever calls a kernel guarantees that disjointness; see [`crate::cpu`].

/// `len` elements per row, rows `stride` elements apart; rows are padded so that stores of whole vectors stay inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub pointer: *mut f32,
    pub stride: usize,
}

// SAFETY: a view is an address; the kernels that share one write disjoint parts (see the module's head).
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

impl Rows {
    /// Row `i`.
    ///
    /// # Safety
    /// The view has a row `i`.
    #[inline(always)]
    pub(crate) unsafe fn row(self, i: usize) -> *mut f32 {
        // SAFETY: the caller's contract.
        unsafe { self.pointer.add(i * self.stride) }
    }

    /// The rows from `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        Self {
            pointer: self.pointer.wrapping_add(first * self.stride),
            ..self
        }
    }

    /// The columns from `first` on.
    pub(crate) fn columns(self, first: usize) -> Self {
        Self {
            pointer: self.pointer.wrapping_add(first),
            ..self
        }
    }
}

/// Rows of 8-bit activations with a scale for every 32 columns.
///
/// A row holds, one after the other: codes `i8[cols]`; scales `f32[cols / 32]`; scale times the sum of the codes
/// `f32[cols / 32]`; -8 times that sum as `i32[cols / 32]`; and the same for each half of 16, `i32[cols / 16]`.
/// The factor -8 is what a 4-bit code's offset of 8 needs; other offsets are that, shifted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantRows {
    pub pointer: *mut u8,
    pub cols: usize,
}

// SAFETY: as for `Rows`.
unsafe impl Send for QuantRows {}
// SAFETY: as for `Rows`.
unsafe impl Sync for QuantRows {}

impl QuantRows {
    /// Bytes of a row of `cols` activations: whole cache lines, an odd number of them, so that the rows of a tile do not
    /// fall into the same cache sets.
    pub(crate) const fn row_bytes(cols: usize) -> usize {
        let bytes = cols + cols / 32 * 20;
        let lines = bytes.div_ceil(64);
        (lines | 1) * 64
    }

    /// The rows from `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        Self {
            pointer: self
                .pointer
                .wrapping_add(first * Self::row_bytes(self.cols)),
            ..self
        }
    }

    /// Row `i`.
    ///
    /// # Safety
    /// The view has a row `i`.
    #[inline(always)]
    pub(crate) unsafe fn row(self, i: usize) -> QuantRow {
        // SAFETY: the caller's contract.
        unsafe {
            QuantRow {
                pointer: self.pointer.add(i * Self::row_bytes(self.cols)),
                cols: self.cols,
            }
        }
    }
}

/// One row of [`QuantRows`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantRow {
    pointer: *mut u8,
    cols: usize,
}

impl QuantRow {
    #[inline(always)]
    pub(crate) fn codes(self) -> *mut i8 {
        self.pointer.cast()
    }
    #[inline(always)]
    pub(crate) fn scales(self) -> *mut f32 {
        self.pointer.wrapping_add(self.cols).cast()
    }
    #[inline(always)]
    pub(crate) fn scaled_sums(self) -> *mut f32 {
        self.pointer.wrapping_add(self.cols + self.cols / 8).cast()
    }
    #[inline(always)]
    pub(crate) fn minus_8_sums(self) -> *mut i32 {
        self.pointer.wrapping_add(self.cols + self.cols / 4).cast()
    }
    #[inline(always)]
    pub(crate) fn minus_8_half_sums(self) -> *mut i32 {
        self.pointer
            .wrapping_add(self.cols + self.cols / 8 * 3)
            .cast()
    }
}
