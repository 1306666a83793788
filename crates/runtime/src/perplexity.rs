//! Perplexity: how well a model foretells a text, in windows that each start afresh.
//!
//! The text is cut into windows of `window` tokens that do not overlap; a rest is left out. Where the model starts texts with a
//! BOS token, it takes the place of each window's first token (the text's tokens there are scored by nobody). Every token of a
//! window but the first is scored by the model that has seen the window up to it. The result is e to the mean negative
//! log-likelihood.

use kernels::{Isa, cpu::Outputs, log_sum_exp};

use crate::{Engine, RuntimeError};

/// Rows of logits computed at once: with the largest vocabularies 64 MiB.
const ROWS: usize = 64;

/// How to cut the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerplexityOptions {
    /// Tokens of a window.
    pub window: usize,
    /// Most windows; `None` for all.
    pub windows: Option<usize>,
}

/// The result.
#[derive(Clone, Debug, PartialEq)]
pub struct Perplexity {
    /// e^mean_nll.
    pub perplexity: f64,
    /// Mean negative log-likelihood of a scored token, in nats.
    pub mean_nll: f64,
    /// Standard error of that mean, tokens taken as independent.
    pub standard_error: f64,
    /// Tokens scored.
    pub scored: usize,
    /// Tokens of the whole text.
    pub tokens: usize,
    /// Windows.
    pub windows: usize,
    /// Whether each window started with BOS.
    pub bos: bool,
}

/// Scores `tokens` (without BOS). `progress` hears windows done, of how many.
///
/// # Errors
/// The text is shorter than a window, the window is longer than the model's context, or numbers are not finite.
pub fn perplexity(
    engine: &Engine,
    tokens: &[u32],
    options: PerplexityOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Perplexity, RuntimeError> {
    let (window, trained) = (options.window, engine.model().config.context);
    if window < 2 {
        let (found, expected) = (window.to_string(), "at least 2 tokens");
        return Err(RuntimeError::Option {
            option: "--window",
            found,
            expected,
        });
    }
    if window > trained {
        return Err(RuntimeError::Context {
            asked: window,
            trained,
        });
    }
    if options.windows == Some(0) {
        let (found, expected) = ("0".to_owned(), "at least 1");
        return Err(RuntimeError::Option {
            option: "--windows",
            found,
            expected,
        });
    }
    let windows = (tokens.len() / window).min(options.windows.unwrap_or(usize::MAX));
    if windows == 0 {
        return Err(RuntimeError::TextTooShort {
            tokens: tokens.len(),
            window,
        });
    }
    let bos = engine.tokenizer().added_bos();
    let mut session = engine.session_with_outputs(window, ROWS)?;
    let isa = engine.profile().isa;
    let (mut sum, mut squares, mut scored) = (0.0f64, 0.0f64, 0usize);
    for (i, text) in tokens.chunks_exact(window).take(windows).enumerate() {
        let mut text = text.to_vec();
        if let Some(bos) = bos {
            text[0] = bos;
        }
        session.reset();
        for start in (0..window).step_by(ROWS) {
            let end = (start + ROWS).min(window);
            session.step(&text[start..end], Outputs::All, None)?;
            for position in start..end.min(window - 1) {
                let logits = session.logits(position - start).unwrap_or(&[]);
                let nll = negative_log_likelihood(isa, logits, text[position + 1])
                    .ok_or(RuntimeError::NotFinite { position })?;
                sum += nll;
                squares += nll * nll;
                scored += 1;
            }
        }
        progress(i + 1, windows);
    }
    let n = scored as f64;
    let mean_nll = sum / n;
    let variance = (squares / n - mean_nll * mean_nll).max(0.0);
    Ok(Perplexity {
        perplexity: mean_nll.exp(),
        mean_nll,
        standard_error: (variance / n).sqrt(),
        scored,
        tokens: tokens.len(),
        windows,
        bos: bos.is_some(),
    })
}

/// -ln softmax(logits)[target]; `None` unless finite.
fn negative_log_likelihood(isa: Isa, logits: &[f32], target: u32) -> Option<f64> {
    let nll = log_sum_exp(isa, logits) - f64::from(*logits.get(target as usize)?);
    nll.is_finite().then_some(nll)
}
