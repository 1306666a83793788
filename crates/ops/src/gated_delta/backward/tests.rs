//! Every gradient against finite differences of the recurrence, with equal and shared heads in both maps.

use super::*;
use crate::finite_differences::{assert_gradient, grid, loss};
use crate::gated_delta::{self, HeadMap};
use crate::input;

struct Owned {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
    dout: Vec<f32>,
}

impl Owned {
    fn of(shape: &Shape) -> Self {
        let keys = shape.tokens * shape.key_heads * shape.key_dim;
        let values = shape.tokens * shape.value_heads;
        Self {
            q: grid(1, keys, -1.0, 1.0),
            k: grid(2, keys, -1.0, 1.0),
            v: grid(3, values * shape.value_dim, -2.0, 2.0),
            alpha: grid(4, values, 0.5, 1.0),
            beta: grid(5, values, 0.1, 0.9),
            dout: input::normal(6, values * shape.value_dim),
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            alpha: &self.alpha,
            beta: &self.beta,
        }
    }
}

fn shapes() -> [Shape; 4] {
    let shape = |tokens, key_heads, value_heads, head_map| Shape {
        tokens,
        key_heads,
        value_heads,
        key_dim: 3,
        value_dim: 4,
        head_map,
        decay: Decay::PerHead,
    };
    [
        shape(2, 1, 1, HeadMap::Grouped),
        shape(6, 2, 2, HeadMap::Tiled),
        shape(4, 2, 4, HeadMap::Tiled),
        shape(4, 2, 4, HeadMap::Grouped),
    ]
}

#[test]
fn gradients_are_those_of_the_forward() {
    for shape in shapes() {
        let own = Owned::of(&shape);
        let inputs = own.inputs();
        let state = vec![0.0f32; shape.value_heads * shape.key_dim * shape.value_dim];
        let at = |inputs: &Inputs<'_>, state: &[f32]| {
            let mut state: Vec<f64> = state.iter().copied().map(f64::from).collect();
            let y = gated_delta::reference(&shape, inputs, &mut state);
            loss(&y, &own.dout)
        };
        let got = reference(&shape, &inputs, &own.dout);
        let name = |tensor: &str| format!("{tensor} of {shape:?}");
        assert_gradient(&name("q"), &own.q, &got.q, |q| {
            at(&Inputs { q, ..inputs }, &state)
        });
        assert_gradient(&name("k"), &own.k, &got.k, |k| {
            at(&Inputs { k, ..inputs }, &state)
        });
        assert_gradient(&name("v"), &own.v, &got.v, |v| {
            at(&Inputs { v, ..inputs }, &state)
        });
        assert_gradient(&name("alpha"), &own.alpha, &got.alpha, |alpha| {
            at(&Inputs { alpha, ..inputs }, &state)
        });
        assert_gradient(&name("beta"), &own.beta, &got.beta, |beta| {
            at(&Inputs { beta, ..inputs }, &state)
        });
        assert_gradient(&name("state"), &state, &got.state, |state| {
            at(&inputs, state)
        });
    }
}

/// An empty state is empty however much of it stays.
#[test]
fn the_first_decay_has_no_gradient() {
    let [shape, ..] = shapes();
    let own = Owned::of(&shape);
    let got = reference(&shape, &own.inputs(), &own.dout);
    assert_eq!(got.alpha[..shape.value_heads], [0.0]);
}

#[test]
#[should_panic(expected = "decays must be per head")]
fn decays_per_channel_are_refused() {
    let [shape, ..] = shapes();
    let own = Owned::of(&shape);
    let shape = Shape {
        decay: Decay::PerChannel,
        ..shape
    };
    let _never = reference(&shape, &own.inputs(), &own.dout);
}
