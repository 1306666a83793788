//! The recurrence by hand, its equals (the gated delta rule, the single-read form, any split into calls), and what the keys do.

use super::*;
use crate::{gated_delta, input, l2_norm};

struct Owned {
    receptance: Vec<f32>,
    decay: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    removal: Vec<f32>,
    erasure: Vec<f32>,
    state: Vec<f64>,
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

impl Owned {
    /// Inputs as a model makes them: removal keys of norm 1, learning rates and decays in their ranges, a state that is not empty.
    fn of(shape: &Shape) -> Self {
        let Shape {
            tokens,
            heads,
            head_dim,
        } = *shape;
        let len = tokens * heads * head_dim;
        let unit = l2_norm::Shape {
            rows: tokens * heads,
            width: head_dim,
            eps: 0.0,
            scale: 1.0,
        };
        let removal = narrow(&l2_norm::reference(&unit, &input::normal(5, len)));
        let rates = input::uniform(6, len, 0.0, 1.0);
        Self {
            receptance: input::normal(1, len),
            decay: input::uniform(2, len, 0.55, 1.0),
            key: input::normal(3, len),
            value: input::normal(4, len),
            erasure: removal.iter().zip(rates).map(|(k, a)| k * a).collect(),
            removal,
            state: input::normal(7, heads * head_dim * head_dim)
                .iter()
                .map(|&s| f64::from(s))
                .collect(),
        }
    }

    /// The inputs of `tokens` tokens from `from` on.
    fn part(&self, shape: &Shape, from: usize, tokens: usize) -> Inputs<'_> {
        let width = shape.heads * shape.head_dim;
        let rows = from * width..(from + tokens) * width;
        Inputs {
            receptance: &self.receptance[rows.clone()],
            decay: &self.decay[rows.clone()],
            key: &self.key[rows.clone()],
            value: &self.value[rows.clone()],
            removal: &self.removal[rows.clone()],
            erasure: &self.erasure[rows],
        }
    }
}

#[test]
fn two_tokens_by_hand() {
    let shape = Shape {
        tokens: 2,
        heads: 1,
        head_dim: 2,
    };
    let inputs = Inputs {
        receptance: &[1.0, 10.0, 1.0, 1.0],
        decay: &[0.5, 0.25, 1.0, 0.5],
        key: &[1.0, 0.0, 0.0, 2.0],
        value: &[3.0, 5.0, 1.0, -1.0],
        removal: &[1.0, 0.0, 0.0, 1.0],
        erasure: &[0.0, 0.5, 1.0, 0.0],
    };
    let mut state = [2.0, 4.0, 8.0, 16.0];
    // u = (2, 4): rows (1, 2) + (3, 5) and (2, 4) - (1, 2). Then u = (1, 2): rows (4, 7) - (1, 2) and (0.5, 1) + (2, -2).
    let y = reference(&shape, &inputs, &mut state);
    assert_eq!(y, [4.0 + 10.0, 7.0 + 20.0, 3.0 + 2.5, 5.0 - 1.0]);
    assert_eq!(state, [3.0, 5.0, 2.5, -1.0]);
}

#[test]
fn with_one_decay_and_one_key_it_is_the_gated_delta_rule() {
    let shape = Shape {
        tokens: 12,
        heads: 3,
        head_dim: 8,
    };
    let own = Owned::of(&shape);
    let alpha = [0.5f32, 0.75, 1.0, 0.25].repeat(9);
    let beta = [1.0f32, 0.5, 0.25].repeat(12);
    let per_head = |gate: &[f32]| -> Vec<f32> { gate.iter().flat_map(|&g| [g; 8]).collect() };
    let (decay, rate) = (per_head(&alpha), per_head(&beta));
    // Powers of two, or nearly, so that the products are exact in f32.
    let key: Vec<f32> = own.removal.iter().zip(&rate).map(|(k, b)| k * b).collect();
    let erasure: Vec<f64> = key
        .iter()
        .zip(&decay)
        .map(|(&k, &d)| f64::from(k) * f64::from(d))
        .collect();
    let erasure = narrow(&erasure);
    let (mut state, mut delta_state) = (own.state.clone(), own.state.clone());
    let inputs = Inputs {
        decay: &decay,
        key: &key,
        erasure: &erasure,
        ..own.part(&shape, 0, 12)
    };
    let y = reference(&shape, &inputs, &mut state);
    let delta = gated_delta::Shape {
        tokens: 12,
        key_heads: 3,
        value_heads: 3,
        key_dim: 8,
        value_dim: 8,
        head_map: gated_delta::HeadMap::Grouped,
        decay: gated_delta::Decay::PerHead,
    };
    let inputs = gated_delta::Inputs {
        q: &own.receptance,
        k: &own.removal,
        v: &own.value,
        alpha: &alpha,
        beta: &beta,
    };
    let want = gated_delta::reference(&delta, &inputs, &mut delta_state);
    for (got, want) in y.iter().zip(&want).chain(state.iter().zip(&delta_state)) {
        assert!(
            (got - want).abs() <= 1e-6 * want.abs().max(1.0),
            "{got} {want}"
        );
    }
}

#[test]
fn the_single_read_form_gives_the_same() {
    let shape = Shape {
        tokens: 1,
        heads: 1,
        head_dim: 6,
    };
    let own = Owned::of(&shape);
    let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let (r, w) = (wide(&own.receptance), wide(&own.decay));
    let decayed: Vec<f64> = r.iter().zip(&w).map(|(r, w)| r * w).collect();
    let (erased, written) = (dot(&wide(&own.erasure), &r), dot(&wide(&own.key), &r));
    let y = reference(&shape, &own.part(&shape, 0, 1), &mut own.state.clone());
    for (column, got) in y.iter().enumerate() {
        let s: Vec<f64> = (0..6).map(|row| own.state[row * 6 + column]).collect();
        let want = dot(&s, &decayed) - erased * dot(&s, &wide(&own.removal))
            + written * f64::from(own.value[column]);
        assert!((got - want).abs() <= 1e-13, "{got} {want}");
    }
}

/// Without decay and at a learning rate of 1, what the state held under a key is replaced, and other directions stay.
#[test]
fn a_full_learning_rate_replaces_what_a_key_held() {
    let shape = Shape {
        tokens: 1,
        heads: 1,
        head_dim: 3,
    };
    let key = [0.0, 1.0, 0.0];
    let inputs = Inputs {
        receptance: &key,
        decay: &[1.0; 3],
        key: &key,
        value: &[7.0, 8.0, 9.0],
        removal: &key,
        erasure: &key,
    };
    let mut state = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, -2.0, -3.0];
    let y = reference(&shape, &inputs, &mut state);
    assert_eq!(y, [7.0, 8.0, 9.0]);
    assert_eq!(state, [1.0, 2.0, 3.0, 7.0, 8.0, 9.0, -1.0, -2.0, -3.0]);
}

#[test]
fn any_split_into_calls_gives_the_same() {
    let shape = cases().pop().map(|case| case.shape).unwrap();
    let own = Owned::of(&shape);
    let mut state = own.state.clone();
    let want = reference(&shape, &own.part(&shape, 0, shape.tokens), &mut state);
    let (mut split, mut split_state) = (Vec::new(), own.state.clone());
    for from in (0..shape.tokens).step_by(33) {
        let tokens = 33.min(shape.tokens - from);
        split.extend(reference(
            &Shape { tokens, ..shape },
            &own.part(&shape, from, tokens),
            &mut split_state,
        ));
    }
    assert_eq!((split, split_state), (want, state));
}

#[test]
#[should_panic(expected = "erasure must be (tokens, heads, head_dim)")]
fn a_vector_that_does_not_fit_is_a_mistake() {
    let shape = Shape {
        tokens: 1,
        heads: 1,
        head_dim: 2,
    };
    let own = Owned::of(&shape);
    let inputs = Inputs {
        erasure: &[0.0],
        ..own.part(&shape, 0, 1)
    };
    reference(&shape, &inputs, &mut [0.0; 4]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        heads: 2,
        head_dim: 5,
    };
    let (state, values) = (2 * 25 * 4, 3 * 10 * 4);
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: state + 6 * values,
            written_bytes: state + values,
            f32_flops: 9 * 3 * 50,
            ..Cost::default()
        }
    );
}
