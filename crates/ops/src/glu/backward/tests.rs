//! Both activations against finite differences, and the ends of their slopes.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{glu, input};

#[test]
fn gradients_are_those_of_the_forward() {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        let shape = Shape {
            activation,
            tokens: 3,
            width: 7,
        };
        let (gate, up) = (grid(1, 21, -4.0, 4.0), grid(2, 21, -2.0, 2.0));
        let dy = input::normal(3, 21);
        let got = reference(&shape, &gate, &up, &dy);
        assert_gradient("gate", &gate, &got.gate, |gate| {
            loss(&glu::reference(&shape, gate, &up), &dy)
        });
        assert_gradient("up", &up, &got.up, |up| {
            loss(&glu::reference(&shape, &gate, up), &dy)
        });
    }
}

#[test]
fn slopes_at_zero_and_far_away() {
    for slope in [silu_slope, gelu_slope] {
        assert_eq!(
            [slope(0.0), slope(100.0), slope(-100.0).abs().round()],
            [0.5, 1.0, 0.0]
        );
    }
    assert_eq!(
        [
            sigmoid_slope(0.0),
            sigmoid_slope(1000.0),
            sigmoid_slope(-1000.0)
        ],
        [0.25, 0.0, 0.0]
    );
    assert!(sigmoid_slope(50.0) > 0.0, "the small end keeps its digits");
}
