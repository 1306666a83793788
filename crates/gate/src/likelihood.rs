//! E-values of a normal difference: how strongly the data speak for "better" against "no better".
//!
//! With D the difference of two means and s2 its variance, the likelihood ratio of "better by d" against "equal" is
//! exp(d D / s2 - d^2 / (2 s2)). Its expectation is 1 where nothing is better and less where it is worse, at any stopping time: the
//! difference is all that the runs say about the effect once the level of both is unknown. A mixture over several d keeps that and
//! needs no guess of the effect (Wasserman, Ramdas and Balakrishnan, "Universal inference", 2020; Wald, 1945).
//!
//! Everything is in units of sigma, so that nothing over- or underflows for a metric of any size, and in logarithms.

/// ln of the mean over `effects` (in sigma) of the likelihood ratio, for a difference `z` (in sigma) of variance `v` (in sigma^2).
pub(crate) fn ln_mixture(z: f64, v: f64, effects: &[f64]) -> f64 {
    let terms: Vec<f64> = effects.iter().map(|d| (d * z - d * d / 2.0) / v).collect();
    ln_mean_exp(&terms)
}

/// ln of the mean of the exponentials, without overflow.
pub(crate) fn ln_mean_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    let sum: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
    largest + (sum / terms.len() as f64).ln()
}

/// The `z` at which the mixture reaches `ln_needed`, by bisection: it grows with `z`.
pub(crate) fn z_needed(ln_needed: f64, v: f64, effects: &[f64]) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        if ln_needed <= ln_mixture(high, v, effects) {
            break;
        }
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if ln_needed <= ln_mixture(middle, v, effects) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
