//! How far two ways of running one model are apart: the Kullback-Leibler divergence of their next tokens on a text.
//!
//! Both read the same windows; at every token of a window, KL(reference || other) of the distributions of the next one, in nats. The mean
//! over tokens is what a change of precision costs; the ratchet's `stack` track allows 1e-3.

use kernels::cpu::Outputs;

use crate::{Engine, RuntimeError};

/// Rows of logits computed at once.
const ROWS: usize = 64;

/// The result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// Nats a token.
    pub mean: f64,
    /// Of one token.
    pub largest: f64,
    /// Tokens compared.
    pub tokens: usize,
}

/// Compares `other` with `reference`, both of the same model, on windows of `window` tokens.
///
/// # Errors
/// The text is shorter than a window, the window is longer than the context, or numbers are not finite.
pub fn divergence(
    reference: &Engine,
    other: &Engine,
    tokens: &[u32],
    window: usize,
) -> Result<Divergence, RuntimeError> {
    if tokens.len() < window || window == 0 {
        return Err(RuntimeError::TextTooShort {
            tokens: tokens.len(),
            window,
        });
    }
    let mut first = reference.session_with_outputs(window, ROWS)?;
    let mut second = other.session_with_outputs(window, ROWS)?;
    let (mut sum, mut largest, mut count) = (0.0f64, 0.0f64, 0usize);
    for text in tokens.chunks_exact(window) {
        first.reset();
        second.reset();
        for start in (0..window).step_by(ROWS) {
            let piece = &text[start..(start + ROWS).min(window)];
            first.step(piece, Outputs::All, None)?;
            second.step(piece, Outputs::All, None)?;
            for row in 0..piece.len() {
                let (p, q) = (
                    first.logits(row).unwrap_or(&[]),
                    second.logits(row).unwrap_or(&[]),
                );
                let nats = between(p, q).ok_or(RuntimeError::NotFinite {
                    position: start + row,
                })?;
                sum += nats;
                largest = largest.max(nats);
                count += 1;
            }
        }
    }
    Ok(Divergence {
        mean: sum / count as f64,
        largest,
        tokens: count,
    })
}

/// KL(softmax(p) || softmax(q)) in nats; `None` unless finite.
fn between(p: &[f32], q: &[f32]) -> Option<f64> {
    let normaliser = |logits: &[f32]| {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
        f64::from(top) + sum.ln()
    };
    let (of_p, of_q) = (normaliser(p), normaliser(q));
    let nats: f64 = p
        .iter()
        .zip(q)
        .map(|(&p, &q)| {
            let (p, q) = (f64::from(p) - of_p, f64::from(q) - of_q);
            p.exp() * (p - q)
        })
        .sum();
    // Rounding may leave it a hair below 0, which no divergence is.
    nats.is_finite().then(|| nats.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn of_equal_distributions_it_is_nothing_and_of_others_what_the_sum_says() {
        assert_eq!(between(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(0.0));
        // Adding a constant to all logits changes no distribution.
        assert!(between(&[1.0, 2.0], &[5.0, 6.0]).unwrap() <= 1e-12);
        // (1/2, 1/2) against (1/4, 3/4): ln 2 / 2 + ln(2/3) / 2.
        let expected = 0.5 * 2f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
        let found = between(&[0.0, 0.0], &[0.0, 3f32.ln()]).unwrap();
        assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
        assert_eq!(between(&[f32::NAN], &[0.0]), None);
    }
}
