//! Sequences shorter and longer than the taps against finite differences, with and without bias and SiLU.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{causal_conv, input};

#[test]
fn gradients_are_those_of_the_forward() {
    for (tokens, bias, silu) in [(2, false, true), (7, true, true), (6, true, false)] {
        let shape = Shape {
            tokens,
            channels: 3,
            bias,
            silu,
        };
        let x = grid(1, tokens * 3, -2.0, 2.0);
        let weight = grid(2, 3 * TAPS, -1.0, 1.0);
        let bias = bias.then(|| grid(3, 3, -1.0, 1.0));
        let dy = input::normal(4, tokens * 3);
        let got = reference(&shape, &x, &weight, bias.as_deref(), &dy);
        let at = |x: &[f32], weight: &[f32], bias: Option<&[f32]>| {
            let mut empty = vec![0.0; STATE_ROWS * 3];
            let y = causal_conv::reference(&shape, x, weight, bias, &mut empty);
            loss(&y, &dy)
        };
        assert_gradient("x", &x, &got.x, |x| at(x, &weight, bias.as_deref()));
        assert_gradient("weight", &weight, &got.weight, |weight| {
            at(&x, weight, bias.as_deref())
        });
        assert_eq!(got.bias.is_some(), shape.bias);
        if let (Some(bias), Some(got)) = (&bias, &got.bias) {
            assert_gradient("bias", bias, got, |bias| at(&x, &weight, Some(bias)));
        }
    }
}
