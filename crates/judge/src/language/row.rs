//! Rows of 256 log-probabilities: read, checked, and compared.

use crate::candidate::Fault;
use crate::refusal::Refusal;

/// Values of a byte.
pub(super) const WIDTH: usize = 256;
/// Of a row on the wire.
pub(super) const ROW_BYTES: usize = WIDTH * 4;
/// How far the logarithm of a row's sum may be from 0; what is left is divided out.
const MOST_LOG_SUM: f64 = 1e-3;

/// The rows of a window, or of a part of it: row i foretells byte i.
pub(super) type Rows = Vec<f32>;

/// Reads rows and checks each; `first` is the number of the first in its window.
pub(super) fn read(bytes: &[u8], window: usize, first: usize) -> Result<Rows, Refusal> {
    if is_text(bytes) {
        return Err(Fault::Unasked.into());
    }
    let (words, _) = bytes.as_chunks::<4>();
    let rows: Rows = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    for (at, row) in rows.chunks_exact(WIDTH).enumerate() {
        let row_number = first + at;
        if let Some((byte, &value)) = row.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(Refusal::NotFinite {
                window,
                row: row_number,
                byte,
                value,
            });
        }
        let log_sum = log_sum(row);
        let is_normal = log_sum.abs() <= MOST_LOG_SUM;
        if !is_normal {
            return Err(Refusal::NotNormalised {
                window,
                row: row_number,
                log_sum,
                most: MOST_LOG_SUM,
            });
        }
    }
    Ok(rows)
}

/// Whether this begins with something that was printed: a logarithm of a probability is negative, and its last byte no letter.
fn is_text(bytes: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    bytes
        .first_chunk::<8>()
        .is_some_and(|first| first.iter().all(is_letter))
}

/// ln of the sum of exponentials.
fn log_sum(row: &[f32]) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(largest);
    let sum: f64 = row
        .iter()
        .map(|&value| (f64::from(value) - largest).exp())
        .sum();
    largest + sum.ln()
}

/// The log-probability of a byte, normalised.
pub(super) fn of_byte(row: &[f32], byte: u8) -> f64 {
    f64::from(row[usize::from(byte)]) - log_sum(row)
}

/// How far apart two rows are: the larger of half the sum of differences of probabilities, and the difference of the log-probability of
/// the byte that comes.
pub(super) fn difference(one: &[f32], other: &[f32], byte: u8) -> f64 {
    let (sum_one, sum_other) = (log_sum(one), log_sum(other));
    let probability = |value: f32, log_sum: f64| (f64::from(value) - log_sum).exp();
    let apart: f64 = one
        .iter()
        .zip(other)
        .map(|(&a, &b)| (probability(a, sum_one) - probability(b, sum_other)).abs())
        .sum();
    let at_byte = (of_byte(one, byte) - of_byte(other, byte)).abs();
    // Both are finite: every row was checked before.
    (apart / 2.0).max(at_byte)
}

#[cfg(test)]
mod tests;
