//! The training form against the parent's reference, its denominators by hand, and all gradients against finite differences.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{attention, input};

const SMALL: Shape = Shape {
    tokens: 5,
    heads: 4,
    kv_heads: 2,
    head_dim: 3,
    scale: 0.5,
    window: None,
};

/// Single and grouped heads, no window and windows shorter, equal and longer than the sequence.
fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for window in [None, Some(1), Some(2), Some(5), Some(100)] {
        for (heads, kv_heads) in [(1, 1), (4, 2), (3, 1)] {
            shapes.push(Shape {
                heads,
                kv_heads,
                window,
                ..SMALL
            });
        }
    }
    shapes
}

#[test]
fn the_training_form_is_the_reference() {
    for shape in shapes() {
        let shape = Shape {
            tokens: 19,
            head_dim: 8,
            ..shape
        };
        let q = input::normal(1, shape.tokens * shape.heads * 8);
        let k = input::normal(2, shape.tokens * shape.kv_heads * 8);
        let v = input::normal(3, k.len());
        let got = forward(&shape, &q, &k, &v);
        let want = attention::reference(&shape.of_inference(), &q, &k, &v, None);
        assert_eq!(got.log_sum_exp.len(), shape.tokens * shape.heads);
        assert_eq!(got.out.len(), want.len());
        let near = |(got, want): (&f64, &f64)| (got - want).abs() <= 1e-13;
        assert!(got.out.iter().zip(&want).all(near), "{shape:?}");
    }
}

#[test]
fn denominators_by_hand() {
    let shape = Shape {
        tokens: 2,
        heads: 1,
        kv_heads: 1,
        head_dim: 1,
        scale: 2.0,
        window: None,
    };
    // The first token sees a score of 0; the second one of 0 and one of 2 * 3 * 0.5.
    let got = forward(&shape, &[1.0, 3.0], &[0.0, 0.5], &[1.0, 1.0]);
    let want = [0.0, (1.0 + 3f64.exp()).ln()];
    assert!((got.log_sum_exp[0] - want[0]).abs() <= 1e-15);
    assert!((got.log_sum_exp[1] - want[1]).abs() <= 1e-15);
}

#[test]
fn gradients_are_those_of_the_forward() {
    // Alone, a token's own position has all of its weight, whatever the scores: a window of one gives q and k no gradient.
    for shape in shapes() {
        let q = grid(1, shape.tokens * shape.heads * shape.head_dim, -2.0, 2.0);
        let k = grid(2, shape.tokens * shape.kv_heads * shape.head_dim, -2.0, 2.0);
        let v = grid(3, k.len(), -2.0, 2.0);
        let dout = input::normal(4, q.len());
        let got = reference(&shape, &q, &k, &v, &dout);
        let at = |q: &[f32], k: &[f32], v: &[f32]| {
            let y = attention::reference(&shape.of_inference(), q, k, v, None);
            loss(&y, &dout)
        };
        let name = |tensor: &str| format!("{tensor} of {shape:?}");
        assert_gradient(&name("v"), &v, &got.v, |v| at(&q, &k, v));
        if shape.window == Some(1) {
            let zero = |x: &f64| x.abs() <= 1e-14;
            assert!(got.q.iter().chain(&got.k).all(zero), "{shape:?}");
        } else {
            assert_gradient(&name("q"), &q, &got.q, |q| at(q, &k, &v));
            assert_gradient(&name("k"), &k, &got.k, |k| at(&q, k, &v));
        }
    }
}
