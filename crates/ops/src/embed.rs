//! The embedding: a row of the table per token, decoded, times a factor (Gemma's `sqrt(hidden)`; 1 elsewhere).
//!
//! # Shape
//! `table`: `(rows, width)` rows of whole blocks; `tokens`: row indices; result `(tokens, width)`.

pub mod backward;

use std::fmt;

use crate::cost::{f32_bytes, product};
use crate::dequantize::{self, DequantizeError};
use crate::{Case, Cost, Dtype};

/// One f32 product on decoded weights.
pub const TOLERANCE: f64 = 1e-7;

/// Dimensions and constants of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens to look up.
    pub tokens: usize,
    /// Rows of the table: the vocabulary.
    pub rows: usize,
    /// Weights in a row; whole blocks of `dtype`.
    pub width: usize,
    /// The table's format.
    pub dtype: Dtype,
    /// Multiplies every weight.
    pub scale: f32,
}

/// Why rows could not be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedError {
    /// A token is beyond the table.
    UnknownToken {
        /// The token.
        token: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// The table's bytes do not fit its shape.
    Table(DequantizeError),
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken { token, rows } => write!(
                f,
                "token {token} is beyond the table's {rows} rows; check that the tokenizer belongs to this model"
            ),
            Self::Table(error) => write!(f, "embedding table: {error}"),
        }
    }
}

impl std::error::Error for EmbedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownToken { .. } => None,
            Self::Table(error) => Some(error),
        }
    }
}

/// The rows of `tokens`.
///
/// # Errors
/// [`EmbedError::UnknownToken`] for an index beyond the table, [`EmbedError::Table`] when `table` does not fit `shape`.
///
/// # Panics
/// When `tokens` does not fit `shape`.
pub fn reference(shape: &Shape, table: &[u8], tokens: &[u32]) -> Result<Vec<f64>, EmbedError> {
    let Shape {
        rows,
        width,
        dtype,
        scale,
        ..
    } = *shape;
    assert_eq!(tokens.len(), shape.tokens, "tokens must be (tokens)");
    let row_bytes = dtype.bytes_for(width).ok_or(DequantizeError::PartialBlock {
        dtype,
        elements: width,
    });
    let row_bytes = row_bytes.map_err(EmbedError::Table)?;
    let expected_bytes = row_bytes.saturating_mul(rows);
    if table.len() != expected_bytes {
        let elements = rows.saturating_mul(width);
        let error = DequantizeError::WrongLength {
            dtype,
            elements,
            expected_bytes,
            got_bytes: table.len(),
        };
        return Err(EmbedError::Table(error));
    }
    let (mut row, mut out) = (
        vec![0.0f32; width],
        Vec::with_capacity(tokens.len() * width),
    );
    for &token in tokens {
        let index = usize::try_from(token).ok().filter(|&index| index < rows);
        let index = index.ok_or(EmbedError::UnknownToken { token, rows })?;
        dequantize::dequantize(dtype, &table[index * row_bytes..][..row_bytes], &mut row)
            .map_err(EmbedError::Table)?;
        out.extend(
            row.iter()
                .map(|&weight| f64::from(weight) * f64::from(scale)),
        );
    }
    Ok(out)
}

/// Reads a row and an index per token, writes f32.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        width,
        dtype,
        ..
    } = *shape;
    let blocks = product(&[tokens, width / dtype.block_len()]);
    Cost {
        read_bytes: blocks
            .saturating_mul(dtype.block_bytes() as u64)
            .saturating_add(product(&[4, tokens])),
        written_bytes: f32_bytes(&[tokens, width]),
        f32_flops: product(&[tokens, width]),
        ..Cost::default()
    }
}

/// A small table in every format, with and without a factor.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let mut cases = Vec::new();
    for dtype in Dtype::ALL {
        // 32 is the square root of 1024
        for (name, tokens, width, scale) in [
            ("one token", 1, 256, 1.0),
            ("65 tokens, scaled", 65, 1024, 32.0),
        ] {
            cases.push(Case {
                name,
                shape: Shape {
                    tokens,
                    rows: 97,
                    width,
                    dtype,
                    scale,
                },
            });
        }
    }
    cases
}

#[cfg(test)]
mod tests;
