//! The super-block formats: a group's scale is an f16 factor of the super-block times a small integer, and so is its minimum.
//!
//! 1. `search` finds each group's best scale and minimum as real numbers.
//! 2. The factors follow from the largest of them, so that the integers use their whole range.
//! 3. Per group, the integers around the wanted scale and minimum are tried, and those whose codes leave the least error stay.
//! 4. With codes and integers fixed, the factors are a regression over the whole super-block. They are rounded to f16, and step 3
//!    runs again around them; whatever leaves the least error in all is written.
//!
//! A value's weight in the error is what the field uses where nothing is known about activations: `rms + |x|` (rms of the group)
//! in Q4_K and Q5_K, `x * x` in Q6_K. Errors are measured with the rounded products that [`crate::dequantize`] computes.
//!
//! A super-block whose largest magnitude is less than half the smallest f16 cannot be told from zero and becomes zeros.

use half::f16;

use super::{largest, pack, search, search::nearest};

/// Weights in a super-block.
const BLOCK: usize = 256;
/// Largest magnitude of Q4_K and Q5_K: that of the largest minimum.
pub(super) const AFFINE_LIMIT: f32 = 65_504.0 * 63.0;
/// Largest magnitude of Q6_K, with one code to spare for the search.
pub(super) const SYMMETRIC_LIMIT: f32 = 65_504.0 * 127.0 * 31.0;
/// Largest 6-bit integer.
const SIX_BITS: f32 = 63.0;
/// Half of the smallest f16.
const VANISHING: f32 = 1.0 / (1u32 << 25) as f32;
/// Times that the factors are fitted to the codes.
const ROUNDS: usize = 2;

pub(super) fn q4_k(x: &[f32; BLOCK], out: &mut [u8; 144]) -> Option<()> {
    let best = affine(x, 15.0)?;
    best.header(&mut out[..16]);
    pack::groups_of_32(&best.codes(x, 15.0), &mut out[16..], None);
    Some(())
}

pub(super) fn q5_k(x: &[f32; BLOCK], out: &mut [u8; 176]) -> Option<()> {
    let best = affine(x, 31.0)?;
    best.header(&mut out[..16]);
    let (high, low) = out[16..].split_at_mut(32);
    pack::groups_of_32(&best.codes(x, 31.0), low, Some(high));
    Some(())
}

/// A factor: `x` rounded to f16, but neither zero (for an `x` that is not) nor infinite.
fn factor(x: f32) -> f16 {
    if x == 0.0 {
        return f16::ZERO;
    }
    let size = x.abs().max(f16::MIN_POSITIVE_SUBNORMAL.to_f32());
    f16::from_f32(size.min(f16::MAX.to_f32()).copysign(x))
}

/// As [`factor`], but not below `x` where f16 is coarse: integers can make up for a factor that is too large, not for one too small.
fn covering_factor(x: f32) -> f16 {
    let nearest = factor(x);
    let magnitude = nearest.to_f32().abs();
    if magnitude < f16::MIN_POSITIVE.to_f32() && magnitude < x.abs() {
        f16::from_bits(nearest.to_bits() + 1)
    } else {
        nearest
    }
}

/// The integer nearest to `x / factor`, and its neighbours, as far as they are in `range`.
fn around(x: f32, factor: f16, range: (f32, f32)) -> [f32; 3] {
    let middle = match factor.to_f32() {
        0.0 => 0.0,
        factor => (x / factor).round(),
    };
    [middle, middle - 1.0, middle + 1.0].map(|x| x.max(range.0).min(range.1))
}

/// Both levels of scales of a Q4_K or Q5_K super-block, and the error that they leave.
#[derive(Clone, Copy)]
struct AffineScales {
    d: f16,
    d_min: f16,
    /// Integers from 0 to 63.
    scales: [f32; 8],
    minima: [f32; 8],
    error: f64,
}

/// The best scales found for codes from 0 to `levels`.
fn affine(x: &[f32; BLOCK], levels: f32) -> Option<AffineScales> {
    let amax = largest(x).1.abs();
    if amax > AFFINE_LIMIT {
        return None;
    }
    if amax < VANISHING {
        return Some(AffineScales {
            d: f16::ZERO,
            d_min: f16::ZERO,
            scales: [0.0; 8],
            minima: [0.0; 8],
            error: 0.0,
        });
    }
    let mut weights = [0.0; BLOCK];
    let mut wanted = [search::Affine::default(); 8];
    let groups = x.as_chunks().0.iter().zip(weights.as_chunks_mut().0);
    for ((x, weights), wanted) in groups.zip(&mut wanted) {
        *weights = rms_plus_magnitude(x, amax);
        *wanted = search::affine(x, weights, levels);
    }
    let most = |of: fn(&search::Affine) -> f32| wanted.iter().map(of).fold(0.0, f32::max);
    let d = covering_factor(most(|w| w.scale) / SIX_BITS);
    let d_min = covering_factor(most(|w| w.minimum) / SIX_BITS);
    let mut best = AffineScales::choose(x, &weights, levels, &wanted, d, d_min);
    for _ in 0..ROUNDS {
        let (d, d_min) = best.fit(x, &weights, levels);
        let next = AffineScales::choose(x, &weights, levels, &wanted, d, d_min);
        if next.error < best.error {
            best = next;
        } else {
            break;
        }
    }
    Some(best)
}

/// The weights of one group, in units of the super-block's `amax`.
fn rms_plus_magnitude(x: &[f32; search::AFFINE], amax: f32) -> [f32; search::AFFINE] {
    let magnitudes = x.map(|x| x.abs() / amax);
    let rms = (magnitudes.iter().map(|x| x * x).sum::<f32>() / x.len() as f32).sqrt();
    // Never zero in all of a group: the regression divides by their sum.
    magnitudes.map(|x| rms + x + f32::MIN_POSITIVE)
}

/// The code of `x` for a step and a (negated) minimum; `inverse` is one over the step, or 0.
fn affine_code(x: f32, inverse: f32, minimum: f32, levels: f32) -> f32 {
    nearest(((x + minimum) * inverse).max(0.0).min(levels))
}

/// `1 / step`, or 0.
fn inverse(step: f32) -> f32 {
    if step == 0.0 { 0.0 } else { 1.0 / step }
}

impl AffineScales {
    /// For these factors, the integers near `wanted` that leave the least error.
    fn choose(
        x: &[f32; BLOCK],
        weights: &[f32; BLOCK],
        levels: f32,
        wanted: &[search::Affine; 8],
        d: f16,
        d_min: f16,
    ) -> Self {
        let mut chosen = Self {
            d,
            d_min,
            scales: [0.0; 8],
            minima: [0.0; 8],
            error: 0.0,
        };
        let groups = x
            .as_chunks::<32>()
            .0
            .iter()
            .zip(weights.as_chunks::<32>().0);
        for (g, (x, weights)) in groups.enumerate() {
            let mut least = f32::INFINITY;
            for scale in around(wanted[g].scale, d, (0.0, SIX_BITS)) {
                for minimum in around(wanted[g].minimum, d_min, (0.0, SIX_BITS)) {
                    let (step, base) = (d.to_f32() * scale, d_min.to_f32() * minimum);
                    let inverse = inverse(step);
                    let error = weighted_error(x, weights, |x| {
                        step * affine_code(x, inverse, base, levels) - base
                    });
                    if error < least {
                        least = error;
                        (chosen.scales[g], chosen.minima[g]) = (scale, minimum);
                    }
                }
            }
            chosen.error += f64::from(least);
        }
        chosen
    }

    /// The factors that suit the codes and integers best: a regression of x on `scale * code` and `-minimum`.
    fn fit(&self, x: &[f32; BLOCK], weights: &[f32; BLOCK], levels: f32) -> (f16, f16) {
        let codes = self.codes(x, levels);
        let (mut ss, mut sm, mut mm, mut xs, mut xm) = (0.0f64, 0.0, 0.0, 0.0, 0.0);
        for (i, (&x, &w)) in x.iter().zip(weights).enumerate() {
            let (s, m) = (
                self.scales[i / 32] * f32::from(codes[i]),
                self.minima[i / 32],
            );
            let [x, w, s, m] = [x, w, s, m].map(f64::from);
            ss += w * s * s;
            sm += w * s * m;
            mm += w * m * m;
            xs += w * x * s;
            xm += w * x * m;
        }
        let determinant = ss * mm - sm * sm;
        if determinant > 1e-9 * ss * mm {
            let d = (xs * mm - xm * sm) / determinant;
            let d_min = (xs * sm - xm * ss) / determinant;
            (factor(d.max(0.0) as f32), factor(d_min.max(0.0) as f32))
        } else if ss > 0.0 && mm == 0.0 {
            (factor((xs / ss).max(0.0) as f32), self.d_min)
        } else {
            (self.d, self.d_min)
        }
    }

    fn codes(&self, x: &[f32; BLOCK], levels: f32) -> [u8; BLOCK] {
        let mut codes = [0; BLOCK];
        let groups = x
            .as_chunks::<32>()
            .0
            .iter()
            .zip(codes.as_chunks_mut::<32>().0);
        for (g, (x, codes)) in groups.enumerate() {
            let inverse = inverse(self.d.to_f32() * self.scales[g]);
            let base = self.d_min.to_f32() * self.minima[g];
            *codes = x.map(|x| affine_code(x, inverse, base, levels) as u8);
        }
        codes
    }

    /// Factors and integers, 16 bytes.
    fn header(&self, out: &mut [u8]) {
        out[..2].copy_from_slice(&self.d.to_le_bytes());
        out[2..4].copy_from_slice(&self.d_min.to_le_bytes());
        let (scales, minima) = (self.scales.map(|x| x as u8), self.minima.map(|x| x as u8));
        pack::scales_and_minima(&scales, &minima, &mut out[4..16]);
    }
}

/// Weighted sum of squared errors of a group that `decoded` stands for.
fn weighted_error(x: &[f32], weights: &[f32], decoded: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    for (x, w) in x.as_chunks::<8>().0.iter().zip(weights.as_chunks::<8>().0) {
        for i in 0..8 {
            let error = x[i] - decoded(x[i]);
            sums[i] += w[i] * error * error;
        }
    }
    sums.iter().sum()
}

/// Both levels of scales of a Q6_K super-block, and the error that they leave.
#[derive(Clone, Copy)]
struct SymmetricScales {
    d: f16,
    /// Integers from -128 to 127.
    scales: [f32; 16],
    error: f64,
}

/// Codes of Q6_K are from -32 to 31, and stored with 32 added.
const HALF_RANGE: f32 = 32.0;

fn symmetric_code(x: f32, inverse: f32) -> f32 {
    nearest((x * inverse).clamp(-HALF_RANGE, HALF_RANGE - 1.0))
}

pub(super) fn q6_k(x: &[f32; BLOCK], out: &mut [u8; 210]) -> Option<()> {
    let best = symmetric(x)?;
    let codes = best.codes(x).map(|code| (code + HALF_RANGE) as u8);
    let (low, rest) = out.split_at_mut(128);
    let (high, rest) = rest.split_at_mut(64);
    pack::six_bits(&codes, low, high);
    for (&scale, out) in best.scales.iter().zip(rest.iter_mut()) {
        *out = (scale as i8).cast_unsigned();
    }
    rest[16..].copy_from_slice(&best.d.to_le_bytes());
    Some(())
}

fn symmetric(x: &[f32; BLOCK]) -> Option<SymmetricScales> {
    let amax = largest(x).1.abs();
    if amax > SYMMETRIC_LIMIT {
        return None;
    }
    if amax < VANISHING {
        return Some(SymmetricScales {
            d: f16::ZERO,
            scales: [0.0; 16],
            error: 0.0,
        });
    }
    let weights = x.map(|x| (x / amax) * (x / amax));
    let mut wanted = [0.0; 16];
    for (x, wanted) in x.as_chunks().0.iter().zip(&mut wanted) {
        *wanted = search::symmetric(x, HALF_RANGE);
    }
    // The largest becomes -128: the side with one more integer.
    let d = covering_factor(largest(&wanted).1 / -128.0);
    let mut best = SymmetricScales::choose(x, &weights, &wanted, d);
    for _ in 0..ROUNDS {
        let next = SymmetricScales::choose(x, &weights, &wanted, best.fit(x, &weights));
        if next.error < best.error {
            best = next;
        } else {
            break;
        }
    }
    Some(best)
}

impl SymmetricScales {
    /// For this factor, the integers near `wanted` that leave the least error.
    fn choose(x: &[f32; BLOCK], weights: &[f32; BLOCK], wanted: &[f32; 16], d: f16) -> Self {
        let mut chosen = Self {
            d,
            scales: [0.0; 16],
            error: 0.0,
        };
        let groups = x
            .as_chunks::<16>()
            .0
            .iter()
            .zip(weights.as_chunks::<16>().0);
        for (g, (x, weights)) in groups.enumerate() {
            let mut least = f32::INFINITY;
            for scale in around(wanted[g], d, (-128.0, 127.0)) {
                let step = d.to_f32() * scale;
                let inverse = inverse(step);
                let error = weighted_error(x, weights, |x| step * symmetric_code(x, inverse));
                if error < least {
                    least = error;
                    chosen.scales[g] = scale;
                }
            }
            chosen.error += f64::from(least);
        }
        chosen
    }

    /// The factor that suits the codes and integers best.
    fn fit(&self, x: &[f32; BLOCK], weights: &[f32; BLOCK]) -> f16 {
        let codes = self.codes(x);
        let (mut ss, mut xs) = (0.0f64, 0.0f64);
        for (i, (&x, &w)) in x.iter().zip(weights).enumerate() {
            let s = f64::from(self.scales[i / 16] * codes[i]);
            ss += f64::from(w) * s * s;
            xs += f64::from(w * x) * s;
        }
        if ss > 0.0 {
            factor((xs / ss) as f32)
        } else {
            self.d
        }
    }

    fn codes(&self, x: &[f32; BLOCK]) -> [f32; BLOCK] {
        let mut codes = [0.0; BLOCK];
        let groups = x
            .as_chunks::<16>()
            .0
            .iter()
            .zip(codes.as_chunks_mut::<16>().0);
        for (g, (x, codes)) in groups.enumerate() {
            let inverse = inverse(self.d.to_f32() * self.scales[g]);
            *codes = x.map(|x| symmetric_code(x, inverse));
        }
        codes
    }
}
