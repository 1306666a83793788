//! The one measure of correctness: the norm of the difference over the norm of what was wanted.
//!
//! Element-wise relative errors punish values that happen to be near zero, absolute errors depend on the scale of a model. The
//! ratio of norms does neither, and it composes: a network's error is bounded by its operations' errors.

/// Euclidean norm of `got - want` over the norm of `want`.
///
/// Zero when both are zero, infinite when only `want` is zero, NaN when either holds a NaN or an infinity, and NaN when the
/// lengths differ. Compare with `<= TOLERANCE`: that is false for NaN.
#[must_use]
pub fn relative_error(got: &[f32], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::NAN;
    }
    let (mut difference, mut norm) = (0.0f64, 0.0f64);
    for (&g, &w) in got.iter().zip(want) {
        difference += (f64::from(g) - w).powi(2);
        norm += w * w;
    }
    if !difference.is_finite() || !norm.is_finite() {
        f64::NAN
    } else if difference == 0.0 {
        0.0
    } else {
        (difference / norm).sqrt()
    }
}

#[cfg(test)]
mod tests;
