//! Both activations against their references, in place and apart, and the 8-bit form of what was written.

use ops::glu::{self as reference, Activation};

use super::cpu::{Glu, glu};
use crate::fixture::{Matrix, QuantMatrix, assert_near, assert_same_bits, same_everywhere};

/// The result with `out` apart; asserts that it is the same in place.
fn run(what: &str, activation: Activation, width: usize, gate: &[f32], up: &[f32]) -> Vec<f32> {
    let tokens = gate.len() / width;
    same_everywhere(what, |isa, pool| {
        let apart = Matrix::empty(tokens, width);
        let (gates, ups) = (Matrix::of(gate, width), Matrix::of(up, width));
        // In place comes second, since it overwrites the gates.
        for out in [&apart, &gates] {
            let quantised = width
                .is_multiple_of(32)
                .then(|| QuantMatrix::empty(tokens, width));
            pool.run(|team| {
                let call = Glu {
                    gate: gates.rows(),
                    up: ups.rows(),
                    out: out.rows(),
                    activation,
                    width,
                    quantised: quantised.as_ref().map(QuantMatrix::rows),
                };
                // SAFETY: all views have the rows and columns, padded.
                unsafe { glu(isa, call, tokens, team) }
            });
            if let Some(quantised) = quantised {
                quantised.assert_rounds(&out.values());
            }
        }
        assert_same_bits(&gates.values(), &apart.values(), "in place");
        apart.values()
    })
}

#[test]
fn both_activations_are_right() {
    for case in reference::cases() {
        let reference::Shape {
            activation,
            tokens,
            width,
        } = case.shape;
        let (gate, up) = (
            ops::input::normal(1, tokens * width),
            ops::input::normal(2, tokens * width),
        );
        let got = run(case.name, activation, width, &gate, &up);
        let want = reference::reference(&case.shape, &gate, &up);
        assert_near(&got, &want, reference::TOLERANCE, case.name);
    }
}

#[test]
fn large_gates_saturate() {
    let gate = [-1e20, -200.0, -90.0, 0.0, 90.0, 200.0, 1e20];
    for activation in [Activation::Silu, Activation::GeluTanh] {
        let got = run("saturated", activation, gate.len(), &gate, &[1.0; 7]);
        for (x, y) in gate.into_iter().zip(got) {
            // e^88 bounds the divisor, so what is left of a negative gate is tiny and not 0.
            let near = if x > 0.0 { y == x } else { y.abs() <= 1e-15 };
            assert!(near, "{activation:?} of {x:e} is {y:e}");
        }
    }
}
