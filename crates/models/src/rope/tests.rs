//! Divisors against those of `transformers` 5.24 (`ROPE_INIT_FUNCTIONS`; plain frequencies over its own, to seven digits).

use super::*;

fn assert_near(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (&found, expected) in found.iter().zip(expected) {
        let error = (f64::from(found) - expected).abs() / expected;
        assert!(error <= 5e-7, "{found} where {expected} is expected");
    }
}

fn yarn(original_context: usize, beta_fast: f64, beta_slow: f64, factor: f64) -> Vec<f32> {
    let yarn = Yarn {
        factor,
        original_context,
        beta_fast,
        beta_slow,
        magnitude: 1.0,
    };
    yarn.divisors(16, 10_000.0)
}

#[test]
fn yarn_slows_pairs_between_its_two_ends() {
    let (rest, whole) = ([4.0; 4], [4.0; 7]);
    let usual = [&[1.0, 4.0 / 3.0, 2.0, 4.0], &rest[..]].concat();
    assert_near(&yarn(64, 32.0, 1.0, 4.0), &usual);
    let other_ends = [&[1.0, 1.0, 4.0 / 3.0, 2.0], &rest[..]].concat();
    assert_near(&yarn(64, 2.0, 0.25, 4.0), &other_ends);
    // Both ends at the first pair.
    let steep = [&[1.0], &whole[..]].concat();
    assert_near(&yarn(4, 2.0, 1.0, 4.0), &steep);
    let long = [1.0, 1.0, 1.0, 1.322_314, 1.951_22, 3.720_93, 40.0, 40.0];
    assert_near(&yarn(4096, 32.0, 1.0, 40.0), &long);
}

#[test]
fn magnitudes_follow_from_factors() {
    let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-12;
    assert!(near(Yarn::magnitude_of(4.0, 1.0), 1.138_629_436_111_989));
    let ratio = Yarn::magnitude_of(40.0, 0.707) / Yarn::magnitude_of(40.0, 1.0);
    assert!(near(ratio, 0.921_042_355_316_339_9));
    assert!(near(Yarn::magnitude_of(1.0, 1.0), 1.0) && near(Yarn::magnitude_of(0.5, 1.0), 1.0));
}

#[test]
fn llama3_slows_pairs_by_their_wavelength() {
    let llama3 = |factor, original_context| Llama3 {
        factor,
        low: 1.0,
        high: 4.0,
        original_context,
    };
    let expected = [1.0, 1.293_976, 7.667_385, 8.0, 8.0, 8.0, 8.0, 8.0];
    assert_near(&llama3(8.0, 64).divisors(16, 10_000.0), &expected);
    // Llama 3.2 1B's numbers.
    let between = [
        1.234_937, 1.651_329, 2.276_659, 3.292_263, 5.171_598, 9.666_731,
    ];
    let expected = [&[1.0; 29], &between[..], &[32.0; 29]].concat();
    assert_near(&llama3(32.0, 8192).divisors(128, 500_000.0), &expected);
}
