//! Rotary angles for contexts beyond the one that a model was first trained on.
//!
//! Pairs of dimensions that turn often within the first context tell near positions apart and keep their angles; slow ones would
//! reach angles that training never showed, so theirs are divided by the extension's factor; those in between by something in
//! between. [`Llama3`] tells them by their wavelength, [`Yarn`] by their index, and YaRN multiplies what is turned as well, which
//! makes scores sharper. Both are divisors of angles, so the kernels need to know neither.
//!
//! # Source
//! Peng et al., *YaRN: Efficient Context Window Extension of Large Language Models*, 2023; for `llama3` Meta's release of Llama 3.1.
//! The fixtures hold both to what `transformers` computes.

use std::f64::consts::TAU;

/// YaRN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How many times longer the context becomes.
    pub factor: f64,
    /// The first context, in tokens.
    pub original_context: usize,
    /// Pairs that turn more often within the first context keep their angles.
    pub beta_fast: f64,
    /// Those that turn less often are divided by the whole factor.
    pub beta_slow: f64,
    /// Multiplies queries and keys where they are turned.
    pub magnitude: f64,
}

impl Yarn {
    /// `beta_fast` where nothing is said.
    pub(crate) const BETA_FAST: f64 = 32.0;
    /// `beta_slow` where nothing is said.
    pub(crate) const BETA_SLOW: f64 = 1.0;

    /// The magnitude for a factor, `slope` of the paper's.
    pub(crate) fn magnitude_of(factor: f64, slope: f64) -> f64 {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * slope * factor.ln() + 1.0
        }
    }

    /// What divides the angle of each pair; `theta` is above 1.
    pub(crate) fn divisors(&self, dims: usize, theta: f64) -> Vec<f32> {
        // The pair that turns so often within the first context, between two pairs as a rule.
        let pair_of = |turns: f64| {
            let wavelength = self.original_context as f64 / turns;
            dims as f64 * (wavelength / TAU).ln() / (2.0 * theta.ln())
        };
        let first = pair_of(self.beta_fast).floor().max(0.0);
        let mut last = pair_of(self.beta_slow).ceil().min(dims as f64 - 1.0);
        if first == last {
            last += 0.001;
        }
        let divisor = |pair: usize| {
            let slowed = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
            (1.0 / (slowed / self.factor + (1.0 - slowed))) as f32
        };
        (0..dims / 2).map(divisor).collect()
    }
}

/// The extension of Llama 3.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Llama3 {
    /// How many times longer the context becomes.
    pub factor: f64,
    /// Pairs that turn less often within the first context are divided by the whole factor.
    pub low: f64,
    /// Those that turn more often keep their angles; above `low`.
    pub high: f64,
    /// The first context, in tokens.
    pub original_context: usize,
}

impl Llama3 {
    /// What divides the angle of each pair.
    pub(crate) fn divisors(&self, dims: usize, theta: f64) -> Vec<f32> {
        let divisor = |pair: usize| {
            let wavelength = TAU * theta.powf(2.0 * pair as f64 / dims as f64);
            let turns = self.original_context as f64 / wavelength;
            let kept = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
            (1.0 / ((1.0 - kept) / self.factor + kept)) as f32
        };
        (0..dims / 2).map(divisor).collect()
    }
}

#[cfg(test)]
mod tests;
