//! Where a packed matrix comes from and goes: packed into memory, or taken from what was kept.

use std::{io, sync::Arc};

use kernels::{
    PackError, PackedMatrix, StoredMatrix,
    memory::{Arena, Lender, Pages},
};

use super::{Kept, RowMap};

/// Why a matrix could not be had.
pub(super) enum Fault {
    /// Its weights.
    Pack(PackError),
    /// The disk, where it was to be kept.
    Keep(io::Error),
}

pub(super) struct Places<'a> {
    pub arena: &'a mut Arena,
    pub kept: &'a mut Kept,
    /// How many matrices came before.
    pub turn: usize,
    pub threads: usize,
}

impl Places<'_> {
    /// The next matrix. `done` hears how many of its rows are read.
    pub fn matrix(
        &mut self,
        stored: StoredMatrix<'_>,
        rows: usize,
        map: RowMap<'_>,
        done: &mut dyn FnMut(usize),
    ) -> Result<PackedMatrix, Fault> {
        let threads = self.threads;
        let pack = |arena: &mut Arena, done: &mut dyn FnMut(usize)| {
            PackedMatrix::pack(stored, rows, map, threads, arena, done)
        };
        let (file, is_copied) = match self.kept {
            Kept::Nothing => return pack(self.arena, done).map_err(Fault::Pack),
            Kept::Written(writer) => {
                // Memory of its own, since it is given back at once.
                let packed = pack(&mut Arena::new(Pages::Small), done).map_err(Fault::Pack)?;
                let bytes = writer
                    .append(stored.dtype, rows, stored.cols, packed.packed_bytes())
                    .and_then(|()| writer.last())
                    .map_err(Fault::Keep)?;
                drop(packed);
                let lender: Arc<dyn Lender> = match bytes {
                    Some(bytes) => Arc::new(bytes),
                    None => Arc::new([]),
                };
                return PackedMatrix::kept(stored, rows, map, &lender, None, &mut |_| {})
                    .map_err(Fault::Pack);
            }
            Kept::Copied(file) => (file, true),
            Kept::Lent(file) => (file, false),
        };
        let entry = file.entries().get(self.turn).filter(|entry| {
            (entry.dtype, entry.rows, entry.cols) == (stored.dtype, rows, stored.cols)
        });
        let entry = entry.ok_or(Fault::Pack(PackError::Kept))?;
        let bytes = file.bytes(entry);
        let lender: Arc<dyn Lender> = Arc::new(bytes.clone());
        let copy = is_copied.then_some((threads, &mut *self.arena));
        let mut released = 0;
        let mut copied = |to: usize| {
            bytes.release(released..to);
            released = to;
        };
        PackedMatrix::kept(stored, rows, map, &lender, copy, &mut copied).map_err(Fault::Pack)
    }
}
