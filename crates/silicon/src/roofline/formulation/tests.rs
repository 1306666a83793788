//! Both forms of every instruction set compute the same product, and the verdict follows the interval.

use measure::{Interval, PairedRatio, Samples};

use super::{Form, Formulation, INPUTS, MAX_LANES, OUTPUTS, POSITIONS, Rate, Work, kernels};

#[test]
fn both_forms_compute_the_same() {
    for forms in kernels::all() {
        for positions in POSITIONS.into_iter().chain([3, 32]) {
            let mut work = Work::new(positions);
            (forms.product)(&work.by_position, &work.weights, &mut work.of_product);
            (forms.convolution)(&work.by_channel, &work.weights, &mut work.of_convolution);
            let stride = positions.next_multiple_of(MAX_LANES);
            for (position, x) in work.by_position.chunks_exact(INPUTS).enumerate() {
                for (output, w) in work.weights.chunks_exact(INPUTS).enumerate() {
                    let terms = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let wanted: f64 = terms().sum();
                    let tolerance = 1e-6 * terms().map(f64::abs).sum::<f64>();
                    for got in [
                        work.of_product[position * OUTPUTS + output],
                        work.of_convolution[output * stride + position],
                    ] {
                        let error = (f64::from(got) - wanted).abs();
                        assert!(
                            error <= tolerance,
                            "{} at {positions} positions: ({position}, {output}) is {got}, expected {wanted}",
                            forms.instructions
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_verdict_needs_an_interval_beside_one() {
    let rate = || Rate {
        median: 1.0,
        interval: None,
        samples: Samples::new(vec![1.0]).unwrap(),
    };
    let preferred = |low, high| {
        let product_over_convolution = PairedRatio {
            ratio: (low + high) / 2.0,
            interval: Interval {
                low,
                high,
                confidence: 0.95,
            },
            pairs: 31,
        };
        Formulation {
            positions: 1,
            inputs: INPUTS,
            outputs: OUTPUTS,
            instructions: "a test".into(),
            product_gflop_s: rate(),
            convolution_gflop_s: rate(),
            product_over_convolution,
        }
        .preferred()
    };
    assert_eq!(preferred(1.1, 1.2), Some(Form::Product));
    assert_eq!(preferred(0.8, 0.99), Some(Form::Convolution));
    assert_eq!(preferred(0.9, 1.1), None);
    assert_eq!(preferred(f64::NAN, f64::NAN), None);
}
