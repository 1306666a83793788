//! Against finite differences in both pairings, and that it undoes the forward.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::rope::Pairing;
use crate::{Case, input, rope};

#[test]
fn gradients_are_those_of_the_forward() {
    let factors = [1.5, 3.0];
    for pairing in [Pairing::Half, Pairing::Interleaved] {
        for factors in [None, Some(&factors[..])] {
            let shape = Shape {
                tokens: 3,
                heads: 2,
                head_dim: 6,
                rotary_dims: 4,
                pairing,
                theta: 100.0,
                position_scale: 0.5,
            };
            let (x, dy) = (grid(1, 36, -2.0, 2.0), input::normal(2, 36));
            let positions = [0, 1, 7];
            let got = reference(&shape, &dy, &positions, factors);
            assert_gradient("x", &x, &got.x, |x| {
                loss(&rope::reference(&shape, x, &positions, factors), &dy)
            });
        }
    }
}

#[test]
fn it_turns_back_what_was_turned() {
    for Case { name, shape } in rope::cases() {
        let x = input::normal(1, shape.tokens * shape.heads * shape.head_dim);
        let positions: Vec<u32> = (0..).map(|i| 5 * i).take(shape.tokens).collect();
        let turned: Vec<f32> = rope::reference(&shape, &x, &positions, None)
            .iter()
            .map(|&y| y as f32)
            .collect();
        let back = reference(&shape, &turned, &positions, None);
        let near = |(&x, back): (&f32, &f64)| (f64::from(x) - back).abs() <= 1e-6;
        assert!(x.iter().zip(&back.x).all(near), "{name}");
    }
}
