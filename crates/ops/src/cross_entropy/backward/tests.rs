//! Against finite differences of the mean, with ignored tokens and a cap that bends; and what all gradients of a token sum to.

use super::*;
use crate::cross_entropy;
use crate::finite_differences::{assert_gradient, grid};

#[test]
fn gradients_are_those_of_the_forward() {
    let targets = [Some(2), None, Some(0), Some(6), None];
    for softcap in [None, Some(2.0)] {
        let shape = Shape {
            tokens: 5,
            width: 3,
            vocabulary: 7,
            softcap,
        };
        let hidden = grid(1, 15, -1.0, 1.0);
        let weights = grid(2, 21, -1.0, 1.0);
        let got = reference(&shape, &hidden, &weights, &targets);
        let mean = |hidden: &[f32], weights: &[f32]| {
            cross_entropy::reference(&shape, hidden, weights, &targets)
                .mean
                .expect("three targets")
        };
        let name = |tensor: &str| format!("{tensor}, cap {softcap:?}");
        assert_gradient(&name("hidden"), &hidden, &got.hidden, |hidden| {
            mean(hidden, &weights)
        });
        assert_gradient(&name("weights"), &weights, &got.weights, |weights| {
            mean(&hidden, weights)
        });
        assert_eq!(got.hidden[3..6], [0.0; 3], "an ignored token");
    }
}

#[test]
fn without_targets_nothing_moves() {
    let shape = Shape {
        tokens: 2,
        width: 2,
        vocabulary: 3,
        softcap: None,
    };
    let got = reference(&shape, &[1.0; 4], &[2.0; 6], &[None, None]);
    assert_eq!((got.hidden, got.weights), (vec![0.0; 4], vec![0.0; 6]));
}

/// Raising all logits alike changes no probability.
#[test]
fn a_tokens_gradients_sum_to_zero_over_the_vocabulary() {
    let shape = Shape {
        tokens: 1,
        width: 1,
        vocabulary: 5,
        softcap: None,
    };
    let weights = grid(1, 5, -2.0, 2.0);
    let got = reference(&shape, &[1.0], &weights, &[Some(3)]);
    assert!(got.weights.iter().sum::<f64>().abs() <= 1e-15);
}
