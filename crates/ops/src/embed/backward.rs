//! The embedding backwards: each token adds its gradient to the row that it was looked up in.
//!
//! ```text
//! dTable[r] = scale * sum over the tokens t with tokens[t] = r of dy[t]
//! ```
//!
//! Rows that no token names stay zero. A table that is the output projection too (tied) has a second gradient, which the caller adds.
//!
//! # Shape
//! `tokens`: row indices; `dy` `(tokens, width)`; the result `(rows, width)`.

use super::{EmbedError, Shape};

/// Of a loss with respect to the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `(rows, width)`.
    pub table: Vec<f64>,
}

/// The table's gradient; the shape's `dtype` is nothing to it.
///
/// # Errors
/// [`EmbedError::UnknownToken`] for an index beyond the table.
///
/// # Panics
/// When `tokens` or `dy` does not fit `shape`.
pub fn reference(shape: &Shape, tokens: &[u32], dy: &[f32]) -> Result<Gradients, EmbedError> {
    let Shape {
        rows, width, scale, ..
    } = *shape;
    assert_eq!(tokens.len(), shape.tokens, "tokens must be (tokens)");
    assert_eq!(dy.len(), shape.tokens * width, "dy must be (tokens, width)");
    let mut table = vec![0.0; rows * width];
    for (t, &token) in tokens.iter().enumerate() {
        let index = usize::try_from(token).ok().filter(|&index| index < rows);
        let index = index.ok_or(EmbedError::UnknownToken { token, rows })?;
        let row = &mut table[index * width..][..width];
        for (row, &dy) in row.iter_mut().zip(&dy[t * width..][..width]) {
            *row += f64::from(scale) * f64::from(dy);
        }
    }
    Ok(Gradients { table })
}

#[cfg(test)]
mod tests;
