//! Order, ties, numbers that are none, and weights by hand.

use super::*;

fn route(chosen: usize, logits: &[f32]) -> Routes {
    let shape = Shape {
        tokens: 1,
        experts: logits.len(),
        chosen,
    };
    reference(&shape, logits)
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
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 64,
            written_bytes: 48,
            f32_flops: 16 + 18,
            int8_ops: 0
        }
    );
}
