//! Matrices that were packed before, and kept.

use std::sync::Arc;

use super::{PANEL_ROWS, PIECE_BYTES, PackError, PackedMatrix, Packer, StoredMatrix, panel_bytes};
use crate::{
    in_turns,
    memory::{Aligned, Arena, Lender},
};

impl PackedMatrix {
    /// The matrix that [`PackedMatrix::pack`] would make, from bytes that were packed before: copied on `threads` threads into memory
    /// of `arena`, or used where they lie. A few panels are packed anew and compared, so that bytes of another matrix are not
    /// taken for this one's. `done` hears again and again how many bytes are copied.
    ///
    /// # Errors
    /// [`PackError::Kept`] where they differ; else as [`PackedMatrix::pack`].
    pub fn kept(
        stored: StoredMatrix<'_>,
        rows: usize,
        from: &(dyn Fn(usize) -> usize + Sync),
        bytes: &Arc<dyn Lender>,
        copy: Option<(usize, &mut Arena)>,
        done: &mut dyn FnMut(usize),
    ) -> Result<Self, PackError> {
        let StoredMatrix { dtype, cols, .. } = stored;
        let packer = Packer::new(stored, rows, from)?;
        let panel_bytes = panel_bytes(dtype, cols);
        let panels = rows.div_ceil(PANEL_ROWS);
        let source = (**bytes).as_ref();
        if panels.checked_mul(panel_bytes) != Some(source.len()) {
            return Err(PackError::Kept);
        }
        let mut fresh = vec![0; panel_bytes];
        for panel in [0, panels / 2, panels.saturating_sub(1)] {
            fresh.fill(0);
            packer.panels(panel, &mut fresh, panel_bytes)?;
            if source.get(panel * panel_bytes..(panel + 1) * panel_bytes) != Some(&fresh) {
                return Err(PackError::Kept);
            }
        }
        let data = match copy {
            None => Aligned::<u8>::lent(Arc::clone(bytes)).ok_or(PackError::Kept)?,
            Some((threads, arena)) => {
                let mut data = arena.zeroed(source.len()).map_err(PackError::Memory)?;
                let mut at = 0;
                for (to, from) in data
                    .as_mut_slice()
                    .chunks_mut(PIECE_BYTES)
                    .zip(source.chunks(PIECE_BYTES))
                {
                    let few = to.len().div_ceil(threads.max(1)).max(1);
                    let parts = to.chunks_mut(few).zip(from.chunks(few));
                    in_turns(threads.max(1), parts, |(to, from)| {
                        to.copy_from_slice(from);
                        Ok(())
                    })?;
                    at += to.len();
                    done(at);
                }
                data
            }
        };
        Ok(Self {
            dtype,
            rows,
            cols,
            panel_bytes,
            data,
        })
    }
}
