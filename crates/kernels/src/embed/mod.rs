//! Token embeddings: one row of the table per token, read as stored and scaled.
//!
//! The table stays where it is (a mapped file): a step reads a few rows of it, so it is not packed.

use ops::Dtype;

use crate::{pool::Team, rows::Rows};

/// Rows of weights that lie somewhere else, as stored.
pub trait StoredRows: Send + Sync {
    /// Bytes of row `row`, below [`StoredRows::rows`].
    fn row(&self, row: usize) -> &[u8];
    /// How many rows there are.
    fn rows(&self) -> usize;
    /// Their format.
    fn dtype(&self) -> Dtype;
    /// Weights per row.
    fn cols(&self) -> usize;
}

/// This thread's share of the tokens. A row that is not whole blocks of its format cannot be: the program checked it.
///
/// # Safety
/// `out` has `tokens.len()` rows of `table.cols()` columns; every token is below `table.rows()`.
pub(crate) unsafe fn embed(
    table: &dyn StoredRows,
    tokens: &[u32],
    scale: f32,
    out: Rows,
    team: &Team<'_>,
) {
    for i in team.share(tokens.len()) {
        // SAFETY: the caller's contract; rows are disjoint.
        let row = unsafe { std::slice::from_raw_parts_mut(out.row(i), table.cols()) };
        let read = ops::dequantize::dequantize(table.dtype(), table.row(tokens[i] as usize), row);
        debug_assert!(read.is_ok(), "the program checked the table's rows");
        if scale != 1.0 {
            for x in row {
                *x *= scale;
            }
        }
    }
}

#[cfg(test)]
mod tests;
