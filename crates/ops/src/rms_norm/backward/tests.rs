//! Against finite differences, with an eps that matters; and what a norm cannot feel.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{input, rms_norm};

#[test]
fn gradients_are_those_of_the_forward() {
    // A width of one is left out: its norm is flat but for eps. 6 rows are 2 tokens of 3 heads that share the weight.
    for (rows, width, eps) in [(1, 4, 1e-6), (3, 7, 0.5), (6, 5, 1e-5)] {
        let shape = Shape { rows, width, eps };
        let x = grid(1, rows * width, -2.0, 2.0);
        let weight = grid(2, width, -2.0, 2.0);
        let dy = input::normal(3, rows * width);
        let got = reference(&shape, &x, &weight, &dy);
        assert_gradient("x", &x, &got.x, |x| {
            loss(&rms_norm::reference(&shape, x, &weight), &dy)
        });
        assert_gradient("weight", &weight, &got.weight, |weight| {
            loss(&rms_norm::reference(&shape, &x, weight), &dy)
        });
    }
}

/// A longer row has the same norm, so that nothing pulls along it.
#[test]
fn no_gradient_along_the_row_without_eps() {
    let shape = Shape {
        rows: 1,
        width: 6,
        eps: 0.0,
    };
    let x = input::normal(1, 6);
    let got = reference(&shape, &x, &input::normal(2, 6), &input::normal(3, 6));
    let along: f64 = got.x.iter().zip(&x).map(|(dx, &x)| dx * f64::from(x)).sum();
    assert!(along.abs() <= 1e-14, "{along:e}");
}
