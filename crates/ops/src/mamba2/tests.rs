//! The recurrence by hand, its equal as a sum over the past, and any split into calls.

use super::*;
use crate::input;

struct Owned {
    x: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    steps: Vec<f32>,
    decays: Vec<f32>,
    skip: Vec<f32>,
    state: Vec<f64>,
}

impl Owned {
    fn of(shape: &Shape) -> Self {
        let Shape {
            tokens,
            heads,
            groups,
            head_dim,
            state_dim,
        } = *shape;
        Self {
            x: input::normal(1, tokens * heads * head_dim),
            b: input::normal(2, tokens * groups * state_dim),
            c: input::normal(3, tokens * groups * state_dim),
            steps: input::uniform(4, tokens * heads, 0.01, 1.0),
            decays: input::uniform(5, tokens * heads, 0.5, 1.0),
            skip: input::normal(6, heads),
            state: input::normal(7, heads * state_dim * head_dim)
                .iter()
                .map(|&s| f64::from(s))
                .collect(),
        }
    }

    /// The inputs of `tokens` tokens from `from` on.
    fn part(&self, shape: &Shape, from: usize, tokens: usize) -> Inputs<'_> {
        let rows = |width: usize| from * width..(from + tokens) * width;
        let projections = rows(shape.groups * shape.state_dim);
        Inputs {
            x: &self.x[rows(shape.heads * shape.head_dim)],
            b: &self.b[projections.clone()],
            c: &self.c[projections],
            steps: &self.steps[rows(shape.heads)],
            decays: &self.decays[rows(shape.heads)],
            skip: &self.skip,
        }
    }
}

#[test]
fn two_tokens_by_hand() {
    let shape = Shape {
        tokens: 2,
        heads: 1,
        groups: 1,
        head_dim: 1,
        state_dim: 2,
    };
    let inputs = Inputs {
        x: &[6.0, 8.0],
        b: &[1.0, 2.0, 0.0, 1.0],
        c: &[1.0, 1.0, 2.0, 0.0],
        steps: &[0.5, 0.25],
        decays: &[0.5, 0.25],
        skip: &[10.0],
    };
    let mut state = [4.0, 2.0];
    // (2, 1) and 3 (1, 2): (5, 7), read as 12. (1.25, 1.75) and 2 (0, 1): (1.25, 3.75), read as 2.5.
    let y = reference(&shape, &inputs, &mut state);
    assert_eq!((y, state), (vec![72.0, 82.5], [1.25, 3.75]));
}

#[test]
fn heads_read_their_group() {
    let shape = Shape {
        tokens: 1,
        heads: 4,
        groups: 2,
        head_dim: 1,
        state_dim: 1,
    };
    let inputs = Inputs {
        x: &[1.0; 4],
        b: &[2.0, 3.0],
        c: &[1.0, 10.0],
        steps: &[1.0; 4],
        decays: &[0.0; 4],
        skip: &[0.0; 4],
    };
    let y = reference(&shape, &inputs, &mut [7.0; 4]);
    assert_eq!(y, [2.0, 2.0, 30.0, 30.0]);
}

/// `y_t = sum over s <= t of (C_t . B_s) decay(t, s) step_s x_s`, as attention would compute it.
#[test]
fn the_recurrence_is_a_sum_over_the_past() {
    let shape = Shape {
        tokens: 20,
        heads: 1,
        groups: 1,
        head_dim: 3,
        state_dim: 5,
    };
    let own = Owned::of(&shape);
    let y = reference(&shape, &own.part(&shape, 0, 20), &mut [0.0; 15]);
    let wide = |x: f32| f64::from(x);
    for t in 0..20 {
        for column in 0..3 {
            let mut want = wide(own.skip[0]) * wide(own.x[t * 3 + column]);
            for s in 0..=t {
                let dot: f64 = (0..5)
                    .map(|i| wide(own.c[t * 5 + i]) * wide(own.b[s * 5 + i]))
                    .sum();
                let decay: f64 = own.decays[s + 1..=t].iter().map(|&d| wide(d)).product();
                want += dot * decay * wide(own.steps[s]) * wide(own.x[s * 3 + column]);
            }
            assert!((y[t * 3 + column] - want).abs() <= 1e-12 * want.abs().max(1.0));
        }
    }
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
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        heads: 4,
        groups: 2,
        head_dim: 5,
        state_dim: 8,
    };
    let (state, values, projections) = (4 * 8 * 5 * 4, 3 * 4 * 5 * 4, 2 * 3 * 2 * 8 * 4);
    let want = Cost {
        read_bytes: state + values + projections + 2 * 3 * 4 * 4 + 4 * 4,
        written_bytes: state + values,
        f32_flops: 5 * 3 * 4 * 40 + 3 * 3 * 20,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
}
