//! Exact p-values against counting by hand, and drawn ones against exact ones.

use super::*;

#[test]
fn yes_or_no_is_mcnemars_exact_test() {
    // 9 cases gained, 1 lost, the rest equal: (1 + 10) / 2^10.
    let mut differences = vec![0.0; 50];
    differences.extend([1.0; 9]);
    differences.push(-1.0);
    assert!((sign_flip_p(&differences, 0.01, 1) - 11.0 / 1024.0).abs() <= 1e-12);
}

#[test]
fn few_differences_are_enumerated() {
    // Only the observed pattern reaches 6, of 8.
    assert_eq!(sign_flip_p(&[1.0, 2.0, 3.0], 0.01, 1), 1.0 / 8.0);
    assert_eq!(sign_flip_p(&[-1.0, -2.0, -3.0], 0.01, 1), 1.0);
}

#[test]
fn drawn_patterns_agree_with_the_normal_limit_and_are_repeatable() {
    let differences: Vec<f64> = (0..200).map(|i| f64::from(i % 7) - 2.6).collect();
    let mean = differences.iter().sum::<f64>();
    let z = mean / differences.iter().map(|d| d * d).sum::<f64>().sqrt();
    let p = sign_flip_p(&differences, 1e-4, 7);
    assert_eq!(p, sign_flip_p(&differences, 1e-4, 7));
    // P(Z > z) by the bounds of Mills' ratio.
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let (low, high) = (density * (1.0 / z - 1.0 / z.powi(3)), density / z);
    assert!(
        1.0 < z && low * 0.5 <= p && p <= high * 1.5,
        "z {z}, p {p}, {low} to {high}"
    );
}

#[test]
fn nothing_is_no_evidence() {
    assert_eq!(sign_flip_p(&[], 0.01, 1), 1.0);
    assert_eq!(sign_flip_p(&[0.0; 30], 0.01, 1), 1.0);
    assert_eq!(sign_flip_p(&[f64::INFINITY, 1.0], 0.01, 1), 1.0);
    // Many cases: 2^-n underflows and nothing divides by it.
    assert!(sign_flip_p(&vec![1.0; 5000], 0.01, 1) <= 1e-300);
    assert!(0.49 <= sign_flip_p(&[vec![1.0; 2500], vec![-1.0; 2500]].concat(), 0.01, 1));
}

#[test]
fn the_bootstrap_interval_holds_the_mean() {
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let (low, high) = bootstrap_95(&values, 3);
    // 49.5 with a standard error of 2.9.
    assert!(
        (low - 43.8).abs() <= 0.6 && (high - 55.2).abs() <= 0.6,
        "{low} to {high}"
    );
    assert_eq!(bootstrap_95(&[], 1), (0.0, 0.0));
}
