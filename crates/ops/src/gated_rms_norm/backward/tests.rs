//! Against finite differences, with both gates.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{gated_rms_norm, input};

#[test]
fn gradients_are_those_of_the_forward() {
    for gate in [Gate::Silu, Gate::Sigmoid] {
        let shape = Shape {
            rows: 3,
            width: 5,
            eps: 0.01,
            gate,
        };
        let (x, z) = (grid(1, 15, -2.0, 2.0), grid(2, 15, -2.0, 2.0));
        let (weight, dy) = (grid(3, 5, -2.0, 2.0), input::normal(4, 15));
        let got = reference(&shape, &x, &z, &weight, &dy);
        let at = |x: &[f32], z: &[f32], weight: &[f32]| {
            loss(&gated_rms_norm::reference(&shape, x, z, weight), &dy)
        };
        assert_gradient("x", &x, &got.x, |x| at(x, &z, &weight));
        assert_gradient("z", &z, &got.z, |z| at(&x, z, &weight));
        assert_gradient("weight", &weight, &got.weight, |weight| at(&x, &z, weight));
    }
}
