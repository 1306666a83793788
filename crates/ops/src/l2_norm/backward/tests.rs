//! Against finite differences, with a scale and an eps that matters.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{input, l2_norm};

#[test]
fn gradients_are_those_of_the_forward() {
    for (rows, width, eps, scale) in [(1, 4, 1e-6, 1.0), (3, 7, 0.5, 0.25), (2, 1, 1.0, 3.0)] {
        let shape = Shape {
            rows,
            width,
            eps,
            scale,
        };
        let x = grid(1, rows * width, -2.0, 2.0);
        let dy = input::normal(2, rows * width);
        let got = reference(&shape, &x, &dy);
        assert_gradient("x", &x, &got.x, |x| {
            loss(&l2_norm::reference(&shape, x), &dy)
        });
    }
}
