//! The best scale (and minimum) of one group, as real numbers, by weighted least squares.
//!
//! For given codes the best scale and minimum are a linear regression; for a given scale and minimum the best codes are roundings.
//! Both at once is not convex. So:
//!
//! 1. Values are normalised by the group's range, so that nothing overflows or vanishes below.
//! 2. A fan of step sizes around `range / levels` gives candidate codes; each is scored by the error that its regression leaves.
//! 3. The best one is polished: round with the regression's scale and minimum, regress again (Lloyd's alternation), as long as
//!    the error falls.
//!
//! Sums run over eight lanes, so that the compiler can use vectors; their order is fixed.

/// Values in a group with a minimum.
pub(super) const AFFINE: usize = 32;
/// Values in a group without.
pub(super) const SYMMETRIC: usize = 16;
/// Step sizes tried: `range / (levels + offset)` for offsets from -FAN to FAN.
const FAN: f32 = 1.2;
/// Between the offsets.
const FAN_STEP: f32 = 0.1;
/// Alternations at most.
const POLISH: usize = 3;
/// Extents below this are nothing to any f16 scale, and their inverse could overflow.
const NEGLIGIBLE: f32 = 1e-30;

/// `x` is about `scale * code - minimum`, both not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Affine {
    /// Step between codes.
    pub scale: f32,
    /// What code 0 stands for, negated.
    pub minimum: f32,
}

/// To the nearest integer, ties to even, for magnitudes below 2^22: adding 1.5 * 2^23 leaves no bits for the fraction.
///
/// `f32::round` is a call on processors that the baseline build supports, and would keep the loops from being vectorised.
pub(super) fn nearest(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// Weighted sums over a group: of q, of q * q, and of q * y, where q is the code of y.
struct Moments {
    q: f64,
    qq: f64,
    qy: f64,
}

/// `code(y)` for each value, and its moments.
fn moments(y: &[f32], weights: &[f32], code: impl Fn(f32) -> f32) -> Moments {
    let mut sums = [[0.0f32; 8]; 3];
    for (y, w) in y.as_chunks::<8>().0.iter().zip(weights.as_chunks::<8>().0) {
        for i in 0..8 {
            let q = code(y[i]);
            let wq = w[i] * q;
            sums[0][i] += wq;
            sums[1][i] += wq * q;
            sums[2][i] += wq * y[i];
        }
    }
    let [q, qq, qy] = sums.map(|lanes| f64::from(lanes.iter().sum::<f32>()));
    Moments { q, qq, qy }
}

/// The fan's offsets.
fn fan() -> impl Iterator<Item = f32> {
    let half = (FAN / FAN_STEP).round() as i32;
    (-half..=half).map(|i| FAN_STEP * i as f32)
}

/// Scale and minimum for codes from 0 to `levels`.
pub(super) fn affine(x: &[f32; AFFINE], weights: &[f32; AFFINE], levels: f32) -> Affine {
    let low = x.iter().fold(0.0f32, |low, &x| low.min(x));
    let range = x.iter().fold(f32::MIN, |high, &x| high.max(x)) - low;
    let mut best = Affine {
        scale: 0.0,
        minimum: -low,
    };
    if range < NEGLIGIBLE {
        return best;
    }
    // y is in 0..=1 and about scale * q + base, where a base above `most` would make the minimum negative.
    let y = x.map(|x| (x - low) / range);
    let most = f64::from(-low / range);
    let w: f64 = weights.iter().copied().map(f64::from).sum();
    let weighted = |f: fn(f32) -> f32| -> f64 {
        let terms = y.iter().zip(weights);
        terms.map(|(&y, &w)| f64::from(w * f(y))).sum()
    };
    let (wy, wyy) = (weighted(|y| y), weighted(|y| y * y));
    let fit = |m: &Moments| {
        let determinant = w * m.qq - m.q * m.q;
        let mut scale = (w * m.qy - m.q * wy) / determinant;
        let mut base = (wy - scale * m.q) / w;
        if determinant <= 1e-9 * w * m.qq {
            // All codes are equal: any line through them is as good, and this one keeps the lowest value.
            (scale, base) = (m.qy / m.qq, 0.0);
        } else if base > most {
            base = most;
            scale = (m.qy - base * m.q) / m.qq;
        }
        let error = wyy - 2.0 * (scale * m.qy + base * wy)
            + scale * (scale * m.qq + 2.0 * base * m.q)
            + base * base * w;
        (error, scale, base)
    };
    let mut least = (f64::INFINITY, 0.0, 0.0);
    for offset in fan() {
        let steps = levels + offset;
        let found = fit(&moments(&y, weights, |y| nearest(y * steps).min(levels)));
        // NaN, from codes that are all zero, is not less.
        if found.0 < least.0 {
            least = found;
        }
    }
    for _ in 0..POLISH {
        let (inverse, base) = ((1.0 / least.1) as f32, least.2 as f32);
        let code = |y: f32| nearest((y - base) * inverse).max(0.0).min(levels);
        let found = fit(&moments(&y, weights, code));
        if !(found.0 < least.0 && found.1 > 0.0) {
            break;
        }
        least = found;
    }
    if least.0 < f64::INFINITY {
        best.scale = (least.1 * f64::from(range)) as f32;
        best.minimum = -(least.2 * f64::from(range) + f64::from(low)) as f32;
    }
    best.minimum = best.minimum.max(0.0);
    best
}

/// The scale, of either sign, for codes from `-levels` to `levels - 1`, where each value weighs its square.
pub(super) fn symmetric(x: &[f32; SYMMETRIC], levels: f32) -> f32 {
    let extreme = super::largest(x).1;
    if extreme.abs() < NEGLIGIBLE {
        return 0.0;
    }
    // The extreme becomes -1, the side with one more code.
    let y = x.map(|x| x / -extreme);
    let weights = y.map(|y| y * y);
    // With codes q the best scale is qy / qq, and it leaves the error yy - qy^2 / qq.
    let found = |steps: f32| {
        let m = moments(&y, &weights, |y| {
            nearest(y * steps).max(-levels).min(levels - 1.0)
        });
        (m.qy * m.qy / m.qq, m.qy / m.qq)
    };
    let mut best = (0.0, 0.0);
    for offset in fan() {
        let next = found(levels + offset);
        if next.0 > best.0 {
            best = next;
        }
    }
    for _ in 0..POLISH {
        let next = found((1.0 / best.1) as f32);
        if !(next.0 > best.0 && next.1 > 0.0) {
            break;
        }
        best = next;
    }
    -(best.1 as f32) * extreme
}
