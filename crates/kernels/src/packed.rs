//! How weights lie in memory: repacked once, at load, for the kernels that read them.
//!
//! A matrix of `rows` outputs by `cols` inputs is cut into *panels* of 16 rows, one row a lane; the last panel is padded with
//! zeros. A panel runs along `cols`, so a product over it streams its bytes once, in order:
//!
//! - f32 and f16: for each column the 16 rows' values;
//! - bf16: for each two columns the 16 rows' pairs of values, as the instructions that multiply bf16 want them;
//! - integers: for each block of 32 columns the 16 rows' scales (and minima) and then their codes. Codes are unsigned and lie
//!   in 8 groups of 64 bytes: group g holds columns 4g..4g+4 of row 0, then of row 1, ... as the dot-product instructions
//!   (and AMX tiles) want them. Four-bit codes share a byte between groups g and g + 4; fifth and sixth bits are planes
//!   of their own. Super-block formats keep their two levels of scales.
//!
//! Every format keeps the bytes that it has in the file, but for Q4_K and Q5_K, whose 6-bit scales take a byte each (+2.8%).

mod kept;

use ops::{
    Dtype,
    dequantize::{Block, DequantizeError, dequantize, for_each_block},
};

use crate::{
    in_turns,
    memory::{Aligned, Arena, OutOfMemory},
};

/// Rows of a panel: one per lane.
pub const PANEL_ROWS: usize = 16;
/// Columns of a block of integer codes.
pub(crate) const BLOCK: usize = 32;
/// Bytes that are packed at a time.
const PIECE_BYTES: usize = 16 << 20;
/// Bytes of 16 f16 values.
const HALVES: usize = 2 * PANEL_ROWS;

/// Bytes of the integer formats' parts, in the order in which they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntLayout {
    /// Blocks of 32 columns that share a header.
    pub blocks_per_super: usize,
    /// d (and d_min) as f16 per row.
    pub header_bytes: usize,
    /// Scales and minima of a block of 32 columns.
    pub scale_bytes: usize,
    /// Codes: 256 bytes of nibbles or 512 of bytes.
    pub code_bytes: usize,
    /// Planes of higher bits.
    pub plane_bytes: usize,
}

impl IntLayout {
    /// `None` for float formats.
    pub(crate) const fn of(dtype: Dtype) -> Option<Self> {
        let (blocks_per_super, header_bytes, scale_bytes, code_bytes, plane_bytes) = match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => return None,
            Dtype::Q4_0 => (1, 0, HALVES, 256, 0),
            Dtype::Q4_1 => (1, 0, 2 * HALVES, 256, 0),
            Dtype::Q5_0 => (1, 0, HALVES, 256, 64),
            Dtype::Q5_1 => (1, 0, 2 * HALVES, 256, 64),
            Dtype::Q8_0 => (1, 0, HALVES, 512, 0),
            Dtype::Q4K => (8, 2 * HALVES, 2 * PANEL_ROWS, 256, 0),
            Dtype::Q5K => (8, 2 * HALVES, 2 * PANEL_ROWS, 256, 64),
            Dtype::Q6K => (8, HALVES, 2 * PANEL_ROWS, 256, 128),
        };
        Some(Self {
            blocks_per_super,
            header_bytes,
            scale_bytes,
            code_bytes,
            plane_bytes,
        })
    }

    /// Bytes of one block of 32 columns, header aside.
    pub(crate) const fn block_bytes(&self) -> usize {
        self.scale_bytes + self.code_bytes + self.plane_bytes
    }

    /// Bytes of a super-block.
    pub(crate) const fn super_bytes(&self) -> usize {
        self.header_bytes + self.blocks_per_super * self.block_bytes()
    }
}

/// Why weights could not be packed.
#[derive(Clone, Debug, PartialEq)]
pub enum PackError {
    /// The bytes are not `rows` x `cols` weights of the format.
    Shape(DequantizeError),
    /// A weight or a block's scale is NaN or infinite.
    NotFinite {
        /// Row of the file's tensor.
        row: usize,
        /// First column of the block.
        col: usize,
    },
    /// No memory for the packed copy.
    Memory(OutOfMemory),
    /// Bytes that were kept are not what packing this matrix yields.
    Kept,
}

impl std::fmt::Display for PackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(error) => error.fmt(f),
            Self::NotFinite { row, col } => write!(
                f,
                "row {row} has a NaN or infinite weight or scale at column {col}; the file is damaged: pull it again"
            ),
            Self::Memory(error) => error.fmt(f),
            Self::Kept => write!(f, "the copy kept on disk is another's"),
        }
    }
}

impl std::error::Error for PackError {}

/// Of the layout above. A change to it is a change of this number, so that what was kept on disk before is packed anew.
pub const PACKING: u32 = 2;

/// A weight matrix in panels.
pub struct PackedMatrix {
    pub(crate) dtype: Dtype,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) panel_bytes: usize,
    pub(crate) data: Aligned<u8>,
}

/// A matrix as it lies in a file: `rows` rows of `cols` weights.
#[derive(Clone, Copy, Debug)]
pub struct StoredMatrix<'a> {
    /// Format.
    pub dtype: Dtype,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Exactly the rows' bytes.
    pub bytes: &'a [u8],
}

impl PackedMatrix {
    /// Packs `rows` rows: row r is row `from(r)` of `stored` (the identity, or a permutation or choice that an architecture
    /// needs), on `threads` threads, in memory of `arena`. `done` hears again and again how many rows are packed, so that what
    /// they were read from can be given back.
    ///
    /// # Errors
    /// Bytes that do not fit the shape, numbers that are not finite, no memory.
    ///
    /// # Panics
    /// If `from` names a row that `stored` does not have: an architecture's map, not the file, decides that.
    pub fn pack(
        stored: StoredMatrix<'_>,
        rows: usize,
        from: &(dyn Fn(usize) -> usize + Sync),
        threads: usize,
        arena: &mut Arena,
        done: &mut dyn FnMut(usize),
    ) -> Result<Self, PackError> {
        let StoredMatrix { dtype, cols, .. } = stored;
        let packer = Packer::new(stored, rows, from)?;
        let panel_bytes = panel_bytes(dtype, cols);
        let panels = rows.div_ceil(PANEL_ROWS);
        let total = panels
            .checked_mul(panel_bytes)
            .ok_or(PackError::Memory(OutOfMemory { bytes: None }))?;
        let mut data = arena.zeroed(total).map_err(PackError::Memory)?;
        let threads = threads.max(1);
        let piece = (PIECE_BYTES / panel_bytes.max(1)).max(threads);
        let pieces = data.as_mut_slice().chunks_mut((piece * panel_bytes).max(1));
        for (i, part) in pieces.enumerate() {
            packer.on_threads(i * piece, part, panel_bytes, threads)?;
            done(((i + 1) * piece * PANEL_ROWS).min(rows));
        }
        Ok(Self {
            dtype,
            rows,
            cols,
            panel_bytes,
            data,
        })
    }

    /// The panels, one behind the other: what [`PackedMatrix::kept`] takes back.
    #[must_use]
    pub fn packed_bytes(&self) -> &[u8] {
        self.data.as_slice()
    }

    /// A matrix of this shape without its weights: for costs and memory, from a file's header alone. A program with one
    /// cannot be run. `None` when the columns are not whole blocks or the size overflows.
    #[must_use]
    pub fn hollow(dtype: Dtype, rows: usize, cols: usize) -> Option<Self> {
        dtype
            .bytes_for(cols)?
            .checked_mul(rows.checked_add(PANEL_ROWS)?)?;
        let data = Aligned::zeroed(0).ok()?;
        Some(Self {
            dtype,
            rows,
            cols,
            panel_bytes: panel_bytes(dtype, cols),
            data,
        })
    }

    /// Whether the weights are not here.
    #[must_use]
    pub fn is_hollow(&self) -> bool {
        self.data.len() != self.bytes()
    }

    /// Format of the weights.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes that a product streams.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.panels() * self.panel_bytes
    }

    /// Whether its products take 8-bit activations (else f32).
    #[must_use]
    pub fn is_integer(&self) -> bool {
        IntLayout::of(self.dtype).is_some()
    }

    pub(crate) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    /// The bytes of a panel.
    ///
    /// # Safety
    /// The matrix has the panel, and is not hollow.
    #[inline(always)]
    pub(crate) unsafe fn panel(&self, panel: usize) -> *const u8 {
        // SAFETY: the caller's contract.
        unsafe { self.data.as_slice().as_ptr().add(panel * self.panel_bytes) }
    }
}

fn panel_bytes(dtype: Dtype, cols: usize) -> usize {
    match IntLayout::of(dtype) {
        Some(layout) => cols / (BLOCK * layout.blocks_per_super) * layout.super_bytes(),
        None => {
            let together = columns_together(dtype);
            cols.next_multiple_of(together) * PANEL_ROWS * dtype.block_bytes()
        }
    }
}

/// Columns of a float format whose values of one row lie side by side.
fn columns_together(dtype: Dtype) -> usize {
    if dtype == Dtype::Bf16 { 2 } else { 1 }
}

#[derive(Clone, Copy)]
struct Packer<'a> {
    stored: StoredMatrix<'a>,
    row_bytes: usize,
    rows: usize,
    from: &'a (dyn Fn(usize) -> usize + Sync),
}

impl<'a> Packer<'a> {
    /// # Errors
    /// The bytes are not the shape's.
    fn new(
        stored: StoredMatrix<'a>,
        rows: usize,
        from: &'a (dyn Fn(usize) -> usize + Sync),
    ) -> Result<Self, PackError> {
        let StoredMatrix { dtype, cols, .. } = stored;
        let shape = DequantizeError::PartialBlock {
            dtype,
            elements: cols,
        };
        let row_bytes = dtype.bytes_for(cols).ok_or(PackError::Shape(shape))?;
        let expected = row_bytes
            .checked_mul(stored.rows)
            .ok_or(PackError::Memory(OutOfMemory { bytes: None }))?;
        if stored.bytes.len() != expected {
            return Err(PackError::Shape(DequantizeError::WrongLength {
                dtype,
                elements: stored.rows * cols,
                expected_bytes: expected,
                got_bytes: stored.bytes.len(),
            }));
        }
        Ok(Self {
            stored,
            row_bytes,
            rows,
            from,
        })
    }

    /// The panels of `out`, of which the first is `first`.
    fn on_threads(
        &self,
        first: usize,
        out: &mut [u8],
        panel_bytes: usize,
        threads: usize,
    ) -> Result<(), PackError> {
        /// Turns of each thread.
        const TURNS: usize = 4;
        let panels = out.len() / panel_bytes.max(1);
        let few = panels.div_ceil(TURNS * threads).max(1);
        let parts = out.chunks_mut((few * panel_bytes).max(1)).enumerate();
        in_turns(threads, parts, |(i, part)| {
            self.panels(first + i * few, part, panel_bytes)
        })
    }

    fn panels(&self, first: usize, out: &mut [u8], panel_bytes: usize) -> Result<(), PackError> {
        for (i, panel) in out.chunks_exact_mut(panel_bytes.max(1)).enumerate() {
            for lane in 0..PANEL_ROWS {
                let row = (first + i) * PANEL_ROWS + lane;
                if row < self.rows {
                    self.row(row, lane, panel)?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, row: usize, lane: usize, panel: &mut [u8]) -> Result<(), PackError> {
        let source = (self.from)(row);
        let dtype = self.stored.dtype;
        let bytes = &self.stored.bytes[source * self.row_bytes..][..self.row_bytes];
        match IntLayout::of(dtype) {
            None => float_row(dtype, bytes, lane, panel)
                .map_err(|col| PackError::NotFinite { row: source, col }),
            Some(layout) => {
                let (stored, packed) = (dtype.block_bytes(), layout.super_bytes());
                let finite = |x: &f32| x.is_finite();
                let mut fault = None;
                for_each_block(dtype, bytes, self.stored.cols, |s, block| {
                    if block.scales().iter().all(finite) && block.minima().iter().all(finite) {
                        let packed = &mut panel[s * packed..][..packed];
                        super_block(&layout, block, &bytes[s * stored..], lane, packed);
                    } else if fault.is_none() {
                        fault = Some(PackError::NotFinite {
                            row: source,
                            col: s * dtype.block_len(),
                        });
                    }
                })
                .map_err(PackError::Shape)?;
                fault.map_or(Ok(()), Err)
            }
        }
    }
}

/// On failure the column of the number that is not finite.
fn float_row(dtype: Dtype, bytes: &[u8], lane: usize, panel: &mut [u8]) -> Result<(), usize> {
    /// Weights that are checked at a time.
    const SOME: usize = 64;
    let width = dtype.block_bytes();
    let mut numbers = [0.0f32; SOME];
    for (i, some) in bytes.chunks(SOME * width).enumerate() {
        let numbers = &mut numbers[..some.len() / width];
        let read = dequantize(dtype, some, numbers);
        let bad = numbers.iter().position(|x| !x.is_finite());
        match (read, bad) {
            (Ok(()), None) => {}
            (_, bad) => return Err(i * SOME + bad.unwrap_or(0)),
        }
    }
    let together = width * columns_together(dtype);
    let slots = panel.chunks_exact_mut(PANEL_ROWS * together);
    for (values, slot) in bytes.chunks(together).zip(slots) {
        slot[lane * together..][..values.len()].copy_from_slice(values);
    }
    Ok(())
}

fn put_half(at: &mut [u8], lane: usize, bytes: [u8; 2]) {
    at[2 * lane..][..2].copy_from_slice(&bytes);
}

/// One row's lane of one super-block (or, in the plain formats, of one block).
fn super_block(layout: &IntLayout, block: &Block, stored: &[u8], lane: usize, packed: &mut [u8]) {
    let (header, rest) = packed.split_at_mut(layout.header_bytes);
    if let Some(factors) = &block.factors {
        put_half(header, lane, factors.d.to_le_bytes());
        if layout.header_bytes > HALVES {
            put_half(&mut header[HALVES..], lane, factors.d_min.to_le_bytes());
        }
    }
    let codes = block.codes().chunks_exact(BLOCK);
    for (b, (codes, packed)) in codes
        .zip(rest.chunks_exact_mut(layout.block_bytes()))
        .enumerate()
    {
        let (scales, rest) = packed.split_at_mut(layout.scale_bytes);
        match &block.factors {
            // Q6_K: two scales of 16 columns; Q4_K, Q5_K: a scale and a minimum of 32.
            Some(factors) if block.layout.group == 16 => {
                scales[lane] = factors.scales[2 * b].cast_unsigned();
                scales[PANEL_ROWS + lane] = factors.scales[2 * b + 1].cast_unsigned();
            }
            Some(factors) => {
                scales[lane] = factors.scales[b].cast_unsigned();
                scales[PANEL_ROWS + lane] = factors.minima[b];
            }
            None => {
                put_half(scales, lane, [stored[0], stored[1]]);
                if layout.scale_bytes > HALVES {
                    put_half(&mut scales[HALVES..], lane, [stored[2], stored[3]]);
                }
            }
        }
        let (low, planes) = rest.split_at_mut(layout.code_bytes);
        pack_codes(codes, lane, low, planes);
    }
}

/// 32 codes of one row into the groups, the nibbles and the planes; four codes of a group at a time.
fn pack_codes(codes: &[u8], lane: usize, low: &mut [u8], planes: &mut [u8]) {
    const NIBBLES: u32 = 0x0f0f_0f0f;
    let (fours, _) = codes.as_chunks::<4>();
    let group = |g: usize| u32::from_le_bytes(fours[g]);
    let put = |bytes: &mut [u8], g: usize, value: u32| {
        bytes[64 * g + 4 * lane..][..4].copy_from_slice(&value.to_le_bytes());
    };
    if low.len() == 512 {
        for g in 0..8 {
            put(low, g, group(g));
        }
        return;
    }
    for g in 0..4 {
        put(low, g, group(g) & NIBBLES | (group(g + 4) & NIBBLES) << 4);
    }
    match planes.len() {
        // Fifth bits: bit g of the plane's byte belongs to group g.
        64 => {
            let bit = |g: usize| (group(g) >> 4 & 0x0101_0101) << g;
            put(planes, 0, (0..8).map(bit).fold(0, |all, bit| all | bit));
        }
        // Fifth and sixth bits: pair g % 4 of the byte in plane g / 4.
        128 => {
            for plane in 0..2 {
                let pair = |g: usize| (group(4 * plane + g) >> 4 & 0x0303_0303) << (2 * g);
                put(
                    planes,
                    plane,
                    (0..4).map(pair).fold(0, |all, pair| all | pair),
                );
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
