//! Which proposer is asked next: Thompson sampling over what their earlier proposals came to.
//!
//! Each proposer's rate of success has a Beta distribution, begun at Beta(1, 1). A proposal that became part of a champion counts as one
//! success; one that was kept provisionally and then lost its race as a third of one, since it was at least worth a race; a refusal as a
//! failure; a proposal that was never measured as half a failure, since it cost little. One draw from each; the largest is asked.
//!
//! Source: Thompson, "On the likelihood that one unknown probability exceeds another" (1933).

use super::{Past, Standing};

#[cfg(test)]
mod tests;

/// The index of the proposer to ask, of those that `can` be asked.
#[must_use]
pub fn choose(names: &[&str], can: &[bool], past: &[Past], seed: u64) -> Option<usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut best: Option<(usize, f64)> = None;
    for (i, name) in names.iter().enumerate() {
        let (mut won, mut lost) = (1.0, 1.0);
        for experiment in past
            .iter()
            .filter(|past| past.proposer == *name && !past.is_pending)
        {
            match experiment.standing {
                Standing::Merged => won += 1.0,
                Standing::Kept | Standing::Dropped => {
                    won += 1.0 / 3.0;
                    lost += 2.0 / 3.0;
                }
                Standing::Refused => lost += 1.0,
                Standing::Void => lost += 0.5,
            }
        }
        // Drawn for all, so that who can be asked does not shift the others' draws.
        let drawn = beta(&mut random, won, lost);
        if can.get(i) == Some(&true) && best.is_none_or(|(_, value)| drawn > value) {
            best = Some((i, drawn));
        }
    }
    best.map(|(i, _)| i)
}

/// A draw from Beta(a, b), as the share of one gamma draw in two.
fn beta(random: &mut fastrand::Rng, a: f64, b: f64) -> f64 {
    let (x, y) = (gamma(random, a), gamma(random, b));
    x / (x + y)
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), for shapes from 1 on.
fn gamma(random: &mut fastrand::Rng, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 {
            let u = 1.0 - random.f64();
            if u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

/// Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}
