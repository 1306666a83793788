//! Every function against finite differences, and the squared ReLU's corner by hand.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{input, pointwise};

#[test]
fn gradients_are_those_of_the_forward() {
    for function in [
        Function::Tanh,
        Function::Sigmoid,
        Function::SquaredRelu,
        Function::SoftCap(1.5),
    ] {
        let shape = Shape {
            function,
            tokens: 3,
            width: 7,
        };
        let mut x = grid(1, 21, -2.0, 2.0);
        // A difference across zero would see both sides of the squared ReLU's corner.
        x.iter_mut()
            .filter(|x| x.abs() < 0.0625)
            .for_each(|x| *x += 0.125);
        let dy = input::normal(2, 21);
        let got = reference(&shape, &x, &dy);
        assert_gradient(&format!("{function:?}"), &x, &got.x, |x| {
            loss(&pointwise::reference(&shape, x), &dy)
        });
    }
}

#[test]
fn the_squared_relu_by_hand() {
    let shape = Shape {
        function: Function::SquaredRelu,
        tokens: 1,
        width: 4,
    };
    let got = reference(&shape, &[-3.0, 0.0, 0.5, f32::NAN], &[1.0, 1.0, 4.0, 1.0]);
    assert_eq!(got.x[..3], [0.0, 0.0, 4.0]);
    assert!(got.x[3].is_nan());
}
