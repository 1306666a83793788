//! Order, ties, numbers that are none, and weights by hand.

use super::*;

fn route(chosen: usize, logits: &[f32]) -> Routes {
    let shape = Shape {
        tokens: 1,
        experts: logits.len(),
        chosen,
        scoring: Scoring::Softmax,
    };
    reference(&shape, logits, None)
}

#[test]
fn the_largest_come_first_and_ties_go_to_the_lower_index() {
    assert_eq!(route(3, &[1.0, 3.0, 2.0, 3.0]).experts, [1, 3, 2]);
    assert_eq!(route(2, &[0.0, 0.0, 0.0]).experts, [0, 1]);
    assert_eq!(route(2, &[f32::NAN, -5.0, f32::NEG_INFINITY]).experts[0], 1);
}

#[test]
fn weights_are_the_softmax_of_the_chosen() {
    let routes = route(2, &[0.0, 3.0_f32.ln(), -100.0]);
    assert!((routes.weights[0] - 0.75).abs() <= 1e-7);
    assert!((routes.weights[1] - 0.25).abs() <= 1e-7);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        experts: 8,
        chosen: 3,
        scoring: Scoring::Softmax,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 64,
            written_bytes: 48,
            f32_flops: 16 + 18,
            ..Cost::default()
        }
    );
    let scored = Shape {
        scoring: scored(Groups::NONE, true, 1.0),
        ..shape
    };
    assert_eq!(cost(&scored).f32_flops, 80 + 18);
}

fn scored(groups: Groups, renormalise: bool, scale: f32) -> Scoring {
    Scoring::Sigmoid {
        groups,
        renormalise,
        scale,
    }
}

/// Logits whose sigmoids are 1/2, 3/4, 1/4 and 1/10.
fn quarters() -> [f32; 4] {
    [0.0, 3f32.ln(), -(3f32.ln()), -(9f32.ln())]
}

#[test]
fn a_bias_chooses_and_does_not_weigh() {
    let shape = Shape {
        tokens: 1,
        experts: 4,
        chosen: 2,
        scoring: scored(Groups::NONE, false, 2.0),
    };
    let bias = [0.0, -0.5, 0.5, 0.0];
    let routes = reference(&shape, &quarters(), Some(&bias));
    assert_eq!(routes.experts, [2, 0]);
    assert!((routes.weights[0] - 0.5).abs() <= 1e-7 && (routes.weights[1] - 1.0).abs() <= 1e-7);
    let shape = Shape {
        scoring: scored(Groups::NONE, true, 3.0),
        ..shape
    };
    let routes = reference(&shape, &quarters(), Some(&bias));
    assert!((routes.weights[0] - 1.0).abs() <= 1e-6 && (routes.weights[1] - 2.0).abs() <= 1e-6);
}

#[test]
fn the_best_two_of_a_group_rank_it() {
    // Sums of three would keep the first group, the single best expert is in the second; the best pair is in the third.
    let logits = [0.6, 0.6, 0.6, 2.0, -9.0, -9.0, 1.0, 0.9, -9.0];
    let shape = Shape {
        tokens: 1,
        experts: 9,
        chosen: 2,
        scoring: scored(Groups { count: 3, used: 1 }, true, 1.0),
    };
    assert_eq!(reference(&shape, &logits, None).experts, [6, 7]);
}

#[test]
fn groups_that_fit() {
    let fit = |count, used, experts, chosen| Groups { count, used }.fit(experts, chosen);
    assert!(fit(1, 1, 1, 1) && fit(3, 2, 9, 6) && fit(4, 4, 8, 8));
    assert!(!fit(0, 0, 4, 1) && !fit(1, 0, 4, 1) && !fit(1, 2, 4, 1) && !fit(2, 3, 4, 1));
    assert!(!fit(3, 1, 8, 1) && !fit(4, 2, 4, 1) && !fit(3, 1, 9, 4));
}
