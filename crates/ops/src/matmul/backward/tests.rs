//! Both gradients by hand, and against finite differences of the forward reference.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{Dtype, input, matmul};

fn forward(shape: &Shape, weights: &[f32], x: &[f32]) -> Vec<f64> {
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    matmul::reference(shape, &bytes, x).expect("f32 weights of the shape")
}

#[test]
fn gradients_by_hand() {
    let shape = Shape {
        tokens: 1,
        inputs: 2,
        outputs: 2,
        dtype: Dtype::F32,
    };
    let got = reference(&shape, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0], &[10.0, 1.0]);
    assert_eq!(got.x, [13.0, 24.0]);
    assert_eq!(got.weights, [50.0, 60.0, 5.0, 6.0]);
}

#[test]
fn gradients_are_those_of_the_forward() {
    for (tokens, inputs, outputs) in [(1, 1, 1), (3, 5, 2), (4, 2, 7)] {
        let shape = Shape {
            tokens,
            inputs,
            outputs,
            dtype: Dtype::F32,
        };
        let x = grid(1, tokens * inputs, -2.0, 2.0);
        let weights = grid(2, outputs * inputs, -2.0, 2.0);
        let dy = input::normal(3, tokens * outputs);
        let got = reference(&shape, &weights, &x, &dy);
        assert_gradient("x", &x, &got.x, |x| {
            loss(&forward(&shape, &weights, x), &dy)
        });
        assert_gradient("weights", &weights, &got.weights, |weights| {
            loss(&forward(&shape, weights, &x), &dy)
        });
    }
}
