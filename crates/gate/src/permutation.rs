//! Tests and intervals over cases: the same cases in both arms, so that only their differences speak.
//!
//! **Sign flips** (Fisher, "The Design of Experiments", 1935): where the arms do not differ, each case's difference has either sign
//! with equal probability. The one-sided p is the share of sign patterns whose sum is at least the observed one. Three ways:
//! differences that are all of one size (one repeat of a yes-or-no metric) make it a binomial tail, which is McNemar's exact test;
//! up to 16 that are not zero are enumerated; beyond that the patterns are drawn from a seeded generator, and p = (1 + hits) /
//! (1 + draws) is valid at any number of draws (Phipson and Smyth, 2010). No level below one in 200,000 can be reached by drawing,
//! which is that of a track's five-hundredth race.
//!
//! **Bootstrap by case** (Efron and Tibshirani, 1993, ch. 13): cases are drawn with replacement; the interval speaks of the
//! population that the cases were taken from.

use crate::random::Random;

const ENUMERATED: usize = 16;
/// Draws per 1 / level, so that p is resolved well below its level, and their bounds.
const DRAWS_PER_LEVEL: f64 = 20.0;
const LEAST_DRAWS: f64 = 10_000.0;
const MOST_DRAWS: f64 = 200_000.0;
/// Hits that estimate a p well enough to be told.
const LEAST_HITS: f64 = 20.0;
const BOOTSTRAP: usize = 2000;
/// Sums that differ by less than this part of the total are equal: they were added in another order.
const TIE: f64 = 1e-9;

/// One-sided p of "the differences are above 0".
pub(crate) fn sign_flip_p(differences: &[f64], level: f64, seed: u64) -> f64 {
    let sizes: Vec<f64> = differences
        .iter()
        .map(|d| d.abs())
        .filter(|size| 0.0 < *size)
        .collect();
    let total: f64 = sizes.iter().sum();
    if sizes.is_empty() || !total.is_finite() {
        return 1.0;
    }
    let observed: f64 = differences.iter().sum();
    let reached = observed - TIE * total;
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    if sizes.iter().all(|size| largest * (1.0 - TIE) <= *size) {
        let wins = differences.iter().filter(|d| 0.0 < **d).count();
        return binomial_tail(sizes.len(), wins);
    }
    if sizes.len() <= ENUMERATED {
        let patterns = 1_u32 << sizes.len();
        let hits = (0..patterns)
            .filter(|pattern| reached <= flipped(&sizes, u64::from(*pattern)))
            .count();
        return hits as f64 / f64::from(patterns);
    }
    let draws = (DRAWS_PER_LEVEL / level).clamp(LEAST_DRAWS, MOST_DRAWS) as u32;
    // With as many hits p can no longer come down to its level; hits / drawn is then a valid p (Besag and Clifford, 1991).
    let enough = (level * (1.0 + f64::from(draws))).max(LEAST_HITS).ceil() as u32;
    let mut random = Random(seed);
    let mut hits = 0;
    for drawn in 1..=draws {
        let sum: f64 = sizes
            .chunks(64)
            .map(|chunk| flipped(chunk, random.bits()))
            .sum();
        if reached <= sum {
            hits += 1;
        }
        if enough <= hits {
            return f64::from(hits) / f64::from(drawn);
        }
    }
    (1.0 + f64::from(hits)) / (1.0 + f64::from(draws))
}

/// The sum with the sign of each size taken from one bit.
fn flipped(sizes: &[f64], pattern: u64) -> f64 {
    let signed =
        |(bit, size): (usize, &f64)| f64::from_bits(size.to_bits() ^ (pattern >> bit << 63));
    sizes.iter().enumerate().map(signed).sum()
}

/// P(at least `wins` of `n` fair coins), in logarithms because 2^-n underflows.
fn binomial_tail(n: usize, wins: usize) -> f64 {
    let mut ln_p = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=n {
        if wins <= k {
            tail += ln_p.exp();
        }
        ln_p += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    tail.min(1.0)
}

/// The 95% percentile interval of the mean.
pub(crate) fn bootstrap_95(values: &[f64], seed: u64) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mut random = Random(seed);
    let mut means: Vec<f64> = (0..BOOTSTRAP)
        .map(|_| {
            let sum: f64 = (0..values.len())
                .map(|_| values[random.below(values.len())])
                .sum();
            sum / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |p: f64| means[((means.len() - 1) as f64 * p).round() as usize];
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests;
