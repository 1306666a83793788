//! Near the reference for every set and length, and the same bits on all of them; what is no number is not one afterwards.

use ops::log_sum_exp::{Shape, TOLERANCE, cases, reference};

use super::log_sum_exp;
use crate::Isa;

#[test]
fn near_the_reference_and_the_same_on_every_set() {
    for case in cases() {
        for scale in [0.1, 4.0, 40.0] {
            let x: Vec<f32> = ops::input::normal(11, case.shape.len)
                .iter()
                .map(|x| x * scale)
                .collect();
            let want = reference(&case.shape, &x);
            let portable = log_sum_exp(Isa::Portable, &x);
            for isa in Isa::available() {
                let got = log_sum_exp(isa, &x);
                // An error of the logarithm is a relative one of the sum.
                assert!(
                    (got - want).abs() <= TOLERANCE,
                    "{}, {}: {got} instead of {want}",
                    isa.name(),
                    case.name
                );
                assert_eq!(got.to_bits(), portable.to_bits(), "{}", isa.name());
            }
        }
    }
}

#[test]
fn what_is_no_number() {
    for isa in Isa::available() {
        for len in [1, 16, 40, 600] {
            for at in [0, len / 2, len - 1] {
                for bad in [f32::NAN, f32::INFINITY] {
                    let mut x = vec![0.5; len];
                    x[at] = bad;
                    assert!(log_sum_exp(isa, &x).is_nan(), "{bad} at {at} of {len}");
                }
            }
        }
        assert_eq!(log_sum_exp(isa, &[]), f64::NEG_INFINITY);
        assert!(log_sum_exp(isa, &[f32::NEG_INFINITY; 20]).is_nan());
        let masked = [&[f32::NEG_INFINITY; 30][..], &[2.0]].concat();
        let want = reference(&Shape { len: 31 }, &masked);
        assert!((log_sum_exp(isa, &masked) - want).abs() <= TOLERANCE);
    }
}
