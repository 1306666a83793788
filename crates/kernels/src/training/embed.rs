//! Rows of a table by token, and the table's gradient: each token's row of the gradient is added to the row it came from.

use super::{Into, Machine, shared::Shared};

/// `out[i] = table[tokens[i]]`.
///
/// # Shape
/// `table` (vocabulary, width); `out` (tokens, width).
///
/// # Panics
/// When a slice does not fit, or a token is beyond the table.
pub fn embed(machine: &Machine, table: &[f32], width: usize, tokens: &[u32], out: &mut [f32]) {
    assert_eq!(out.len(), tokens.len() * width, "out");
    let out = Shared::of(out);
    machine.for_pieces(tokens.len(), |some| {
        for i in some {
            let token = tokens[i] as usize;
            let from = &table[token * width..(token + 1) * width];
            // SAFETY: row `i` of `out` exists, and is this piece's.
            unsafe {
                out.at(i * width)
                    .copy_from_nonoverlapping(from.as_ptr(), width)
            };
        }
    });
}

/// Adds to the table's gradient, or sets it.
///
/// # Panics
/// When a slice does not fit, or a token is beyond the table.
pub fn embed_backward(
    machine: &Machine,
    width: usize,
    tokens: &[u32],
    d_out: &[f32],
    (d_table, into): (&mut [f32], Into),
) {
    assert_eq!(d_out.len(), tokens.len() * width, "gradient of the result");
    let rows = d_table.len() / width;
    assert!(
        tokens.iter().all(|&token| (token as usize) < rows),
        "tokens of the table"
    );
    if into == Into::Set {
        d_table.fill(0.0);
    }
    let table = Shared::of(d_table);
    // A thread has some columns of all rows: two tokens may be the same.
    machine.pool.run(|team| {
        let columns = team.share(width);
        for (token, row) in tokens.iter().zip(d_out.chunks_exact(width)) {
            let to = table.at(*token as usize * width);
            for column in columns.clone() {
                // SAFETY: the row exists, and the column is this thread's.
                unsafe { *to.add(column) += row[column] };
            }
        }
    });
}
