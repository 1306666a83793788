//! The measure itself: a wrong one would let everything pass.

use super::*;

#[test]
fn is_the_ratio_of_norms() {
    assert_eq!(relative_error(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
    assert_eq!(relative_error(&[3.0, 4.5], &[3.0, 4.0]), 0.1);
    assert_eq!(relative_error(&[0.0], &[0.0]), 0.0);
    assert_eq!(relative_error(&[1.0], &[0.0]), f64::INFINITY);
    assert_eq!(relative_error(&[], &[]), 0.0);
}

#[test]
fn what_cannot_be_compared_is_never_within_a_tolerance() {
    for (got, want) in [
        (&[f32::NAN][..], &[1.0][..]),
        (&[1.0], &[f64::NAN]),
        (&[f32::INFINITY], &[f64::INFINITY]),
        (&[1.0, 2.0], &[1.0]),
    ] {
        assert!(relative_error(got, want).is_nan(), "{got:?} {want:?}");
    }
}
