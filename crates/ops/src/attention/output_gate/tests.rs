//! The step is the gate inside attention, and its gradients are those of finite differences.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::{attention, input};

/// A token that sees only itself returns its own values, so that gated attention is the gate alone.
#[test]
fn the_step_is_the_gate_of_attention() {
    let shape = attention::Shape {
        tokens: 3,
        depth: 0,
        heads: 2,
        kv_heads: 2,
        head_dim: 4,
        scale: 1.0,
        window: Some(1),
        softcap: None,
        gated: true,
    };
    let (q, v, gate) = (
        input::normal(1, 24),
        input::normal(2, 24),
        input::normal(3, 24),
    );
    let want = attention::reference(&shape, &q, &q, &v, Some(&gate));
    assert_eq!(reference(&v, &gate), want);
}

#[test]
fn gradients_are_those_of_the_forward() {
    let (x, gate) = (grid(1, 20, -2.0, 2.0), grid(2, 20, -4.0, 4.0));
    let dy = input::normal(3, 20);
    let got = backward(&x, &gate, &dy);
    assert_gradient("x", &x, &got.x, |x| loss(&reference(x, &gate), &dy));
    assert_gradient("gate", &gate, &got.gate, |gate| {
        loss(&reference(&x, gate), &dy)
    });
}
