//! Known answers and properties of the statistics.

use measure::{Pairs, SampleError, Samples};
use proptest::prelude::*;

fn samples(values: &[f64]) -> Samples {
    Samples::new(values.to_vec()).expect("the tables hold finite samples")
}

#[test]
fn median_and_quantiles_of_known_series() {
    let odd = samples(&[5.0, 1.0, 9.0]);
    assert_eq!((odd.median(), odd.min(), odd.max()), (5.0, 1.0, 9.0));
    assert_eq!(samples(&[4.0, 1.0, 3.0, 2.0]).median(), 2.5);
    // Definition 7 (the default of R and NumPy): quantile([1, 2, 3, 4], 0.1) = 1.3.
    assert!((samples(&[1.0, 2.0, 3.0, 4.0]).quantile(0.1).unwrap() - 1.3).abs() < 1e-12);
    assert_eq!(samples(&[7.0]).quantile(0.99).unwrap(), 7.0);
}

#[test]
fn mad_ignores_an_outlier() {
    assert_eq!(samples(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0]).mad(), 1.0);
    assert_eq!(samples(&[1.0, 2.0, 3.0, 4.0, 1e12]).mad(), 1.0);
}

#[test]
fn sign_test_interval_matches_the_binomial_table() {
    // n = 10: P(B <= 1) = 11/1024, so the 2nd smallest to the 2nd largest covers 1 - 22/1024.
    let ten = samples(&(1..=10).map(f64::from).collect::<Vec<_>>());
    let interval = ten.median_interval(0.95).unwrap();
    assert_eq!((interval.low, interval.high), (2.0, 9.0));
    assert!((interval.confidence - (1.0 - 22.0 / 1024.0)).abs() < 1e-12);
    // n = 6 is the least for 95%: 1 - 2/64.
    assert!(
        samples(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .median_interval(0.95)
            .is_ok()
    );
    let error = samples(&[1.0; 5]).median_interval(0.95).unwrap_err();
    assert_eq!(
        error,
        SampleError::TooFew {
            have: 5,
            need: 6,
            confidence: 0.95
        }
    );
}

#[test]
fn interval_of_many_samples_does_not_underflow() {
    let many = samples(&(0..5000).map(f64::from).collect::<Vec<_>>());
    let interval = many.median_interval(0.95).unwrap();
    // Normal approximation: 2500 -+ 1.96 sqrt(5000) / 2 = 2500 -+ 69.3.
    assert!((interval.low - 2430.0).abs() < 3.0, "{interval:?}");
    assert!((interval.high - 2569.0).abs() < 3.0, "{interval:?}");
    assert!(interval.confidence >= 0.95 && interval.confidence < 0.955);
}

#[test]
fn bad_input_is_named() {
    assert_eq!(Samples::new(vec![]).unwrap_err(), SampleError::Empty);
    assert!(matches!(
        Samples::new(vec![1.0, f64::NAN]),
        Err(SampleError::NotFinite { position: 1, .. })
    ));
    assert!(samples(&[1.0]).quantile(f64::NAN).is_err());
    assert!(samples(&[1.0]).median_interval(1.0).is_err());
    assert!(Pairs::new(samples(&[1.0]), samples(&[1.0, 2.0])).is_err());
    assert!(Pairs::new(samples(&[1.0]), samples(&[0.0])).is_err());
    assert!(
        Pairs::new(samples(&[1.0; 4]), samples(&[1.0; 4]))
            .unwrap()
            .ratio_of_medians(0.95)
            .is_err()
    );
}

#[test]
fn ratio_of_a_scaled_series_is_exact() {
    let b = [10.0, 12.0, 11.0, 50.0, 10.5, 11.5, 9.0];
    let a: Vec<f64> = b.iter().map(|value| value * 0.5).collect();
    let ratio = Pairs::new(samples(&a), samples(&b))
        .unwrap()
        .ratio_of_medians(0.95)
        .unwrap();
    assert_eq!(
        (
            ratio.ratio,
            ratio.interval.low,
            ratio.interval.high,
            ratio.pairs
        ),
        (0.5, 0.5, 0.5, 7)
    );
}

#[test]
fn the_ratio_of_two_runs_knows_its_spread() {
    let steady = samples(&[2.0; 20]);
    let noisy: Vec<f64> = (0..20).map(|i| 1.0 + f64::from(i % 5) * 0.1).collect();
    let middle = |x: &mut [f64]| {
        x.sort_by(f64::total_cmp);
        x[x.len() / 2]
    };
    let (ratio, interval) =
        measure::unpaired::ratio_of(&steady, &samples(&noisy), 0.95, middle).unwrap();
    assert_eq!(ratio, 2.0 / 1.2);
    assert!(
        interval.low < ratio && ratio < interval.high,
        "{interval:?}"
    );
    let (one, interval) = measure::unpaired::ratio_of(&steady, &steady, 0.95, middle).unwrap();
    assert_eq!((one, interval.low, interval.high), (1.0, 1.0, 1.0));
    let few = samples(&[1.0; 4]);
    assert!(measure::unpaired::ratio_of(&steady, &few, 0.95, middle).is_err());
    let zero = samples(&[0.0; 8]);
    assert!(measure::unpaired::ratio_of(&steady, &zero, 0.95, middle).is_err());
}

#[test]
fn samples_survive_json_and_reject_bad_json() {
    let before = samples(&[3.0, 1.0, 2.5]);
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(text, "[3.0,1.0,2.5]");
    assert_eq!(serde_json::from_str::<Samples>(&text).unwrap(), before);
    assert!(serde_json::from_str::<Samples>("[]").is_err());
}

proptest! {
    #[test]
    fn statistics_stay_within_the_samples(values in prop::collection::vec(-1e9f64..1e9, 1..200), p in 0.0f64..=1.0) {
        let samples = Samples::new(values).unwrap();
        let quantile = samples.quantile(p).unwrap();
        prop_assert!(samples.min() <= quantile && quantile <= samples.max());
        prop_assert!(samples.mad() >= 0.0 && samples.mad() <= samples.max() - samples.min());
        if let Ok(interval) = samples.median_interval(0.95) {
            prop_assert!(interval.holds(samples.median()) && interval.confidence >= 0.95);
        }
    }

    #[test]
    fn order_does_not_matter(mut values in prop::collection::vec(-1e9f64..1e9, 1..100)) {
        let before = Samples::new(values.clone()).unwrap();
        values.reverse();
        let after = Samples::new(values).unwrap();
        prop_assert_eq!(before.median(), after.median());
        prop_assert_eq!(before.mad(), after.mad());
    }

    #[test]
    fn ratio_lies_in_its_interval(values in prop::collection::vec((1.0f64..100.0, 1.0f64..100.0), 15..40)) {
        let (a, b) = values.into_iter().unzip();
        let pairs = Pairs::new(Samples::new(a).unwrap(), Samples::new(b).unwrap()).unwrap();
        let ratio = pairs.ratio_of_medians(0.99).unwrap();
        prop_assert!(ratio.interval.holds(ratio.ratio), "{:?}", ratio);
    }
}
