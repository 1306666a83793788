//! The recurrence by hand, and its proven equals: the chunked form, the single-read form, any split into calls, both head maps.

use super::*;
use crate::input;
use crate::l2_norm;

struct Owned {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
    state: Vec<f64>,
}

impl Owned {
    /// Inputs as a model makes them: normed q and k, gates between 0 and 1, and a state that is not empty.
    fn of(shape: &Shape) -> Self {
        let Shape {
            tokens,
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            decay,
            ..
        } = *shape;
        let unit = |seed, scale| {
            let norm = l2_norm::Shape {
                rows: tokens * key_heads,
                width: key_dim,
                eps: 1e-6,
                scale,
            };
            let x = input::normal(seed, tokens * key_heads * key_dim);
            l2_norm::reference(&norm, &x)
                .iter()
                .map(|&x| x as f32)
                .collect()
        };
        Self {
            q: unit(1, 1.0 / (key_dim as f32).sqrt()),
            k: unit(2, 1.0),
            v: input::normal(3, tokens * value_heads * value_dim),
            alpha: input::uniform(4, tokens * value_heads * decay.count(key_dim), 0.5, 1.0),
            beta: input::uniform(5, tokens * value_heads, 0.0, 1.0),
            state: input::normal(6, value_heads * key_dim * value_dim)
                .iter()
                .map(|&s| f64::from(s))
                .collect(),
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

    /// The inputs of `tokens` tokens from `from` on.
    fn part(&self, shape: &Shape, from: usize, tokens: usize) -> Inputs<'_> {
        let rows = |width: usize| from * width..(from + tokens) * width;
        let keys = rows(shape.key_heads * shape.key_dim);
        let gates = rows(shape.value_heads);
        Inputs {
            q: &self.q[keys.clone()],
            k: &self.k[keys],
            v: &self.v[rows(shape.value_heads * shape.value_dim)],
            alpha: &self.alpha[rows(shape.value_heads * shape.decay.count(shape.key_dim))],
            beta: &self.beta[gates],
        }
    }
}

fn distance(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let difference: f64 = got
        .iter()
        .zip(want)
        .map(|(got, want)| (got - want).powi(2))
        .sum();
    (difference / want.iter().map(|want| want * want).sum::<f64>()).sqrt()
}

#[test]
fn two_tokens_by_hand() {
    let shape = Shape {
        tokens: 2,
        key_heads: 1,
        value_heads: 1,
        key_dim: 2,
        value_dim: 1,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    let inputs = Inputs {
        q: &[1.0, 1.0, 0.0, 1.0],
        k: &[1.0, 0.0, 0.0, 1.0],
        v: &[6.0, 8.0],
        alpha: &[0.5, 0.25],
        beta: &[1.0, 0.5],
    };
    let mut state = [4.0, 2.0];
    // Decayed to (2, 1); the key reads 2, so 4 is written to row 0: (6, 1). Decayed to (1.5, 0.25); row 1 gets half of 7.75.
    let o = reference(&shape, &inputs, &mut state);
    assert_eq!((o, state), (vec![7.0, 4.125], [1.5, 4.125]));
}

#[test]
fn a_full_write_is_read_back() {
    let shape = Shape {
        tokens: 1,
        key_heads: 1,
        value_heads: 1,
        key_dim: 16,
        value_dim: 8,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    let mut own = Owned::of(&shape);
    own.beta = vec![1.0];
    own.q = own.k.clone();
    let o = reference(&shape, &own.inputs(), &mut own.state.clone());
    assert!(
        o.iter()
            .zip(&own.v)
            .all(|(o, &v)| (o - f64::from(v)).abs() <= 1e-5),
        "{o:?} {:?}",
        own.v
    );
}

#[test]
fn chunks_of_any_size_equal_the_recurrence() {
    for Case { name, shape } in cases() {
        let own = Owned::of(&shape);
        let mut state = own.state.clone();
        let want = reference(&shape, &own.inputs(), &mut state);
        for chunk in [1, 2, 7, 64, 1000] {
            let mut chunked_state = own.state.clone();
            let got = reference_chunked(&shape, &own.inputs(), &mut chunked_state, chunk);
            let error = distance(&got, &want).max(distance(&chunked_state, &state));
            assert!(error <= 1e-10, "{name}, chunks of {chunk}: {error:e}");
        }
    }
}

#[test]
fn chunks_survive_a_decay_to_zero() {
    let shape = Shape {
        tokens: 40,
        key_heads: 1,
        value_heads: 2,
        key_dim: 32,
        value_dim: 32,
        head_map: HeadMap::Grouped,
        decay: Decay::PerHead,
    };
    let mut own = Owned::of(&shape);
    own.alpha
        .iter_mut()
        .step_by(7)
        .for_each(|alpha| *alpha = 0.0);
    let (mut state, mut chunked_state) = (own.state.clone(), own.state.clone());
    let want = reference(&shape, &own.inputs(), &mut state);
    let got = reference_chunked(&shape, &own.inputs(), &mut chunked_state, 16);
    assert!(distance(&got, &want) <= 1e-10 && distance(&chunked_state, &state) <= 1e-10);
}

#[test]
fn the_single_read_form_is_the_recurrence() {
    let shape = Shape {
        tokens: 1,
        key_heads: 1,
        value_heads: 1,
        key_dim: 32,
        value_dim: 16,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    let own = Owned::of(&shape);
    let mut state = own.state.clone();
    let want = reference(&shape, &own.inputs(), &mut state);
    let one = Token::of(&shape, &own.inputs(), 0, 0);
    let (u, w) = (
        transposed_product(&own.state, &one.k, 16),
        transposed_product(&own.state, &one.q, 16),
    );
    let kq = dot(&one.k, &one.q);
    let o: Vec<f64> = (0..16)
        .map(|i| one.alpha[0] * w[i] + kq * one.beta * (one.v[i] - one.alpha[0] * u[i]))
        .collect();
    assert!(distance(&o, &want) <= 1e-14);
}

/// Of a state whose two rows forget at different speeds.
#[test]
fn channels_decay_apart_by_hand() {
    let shape = Shape {
        tokens: 1,
        key_heads: 1,
        value_heads: 1,
        key_dim: 2,
        value_dim: 1,
        head_map: HeadMap::Grouped,
        decay: Decay::PerChannel,
    };
    let inputs = Inputs {
        q: &[1.0, 2.0],
        k: &[1.0, 1.0],
        v: &[8.0],
        alpha: &[0.5, 0.25],
        beta: &[0.5],
    };
    let mut state = [4.0, 8.0];
    // Decayed to (2, 2); the key reads 4 of 8, half of what is missing is written to both rows.
    let o = reference(&shape, &inputs, &mut state);
    assert_eq!((o, state), (vec![12.0], [4.0, 4.0]));
}

/// Channels that decay alike are a head that decays.
#[test]
fn equal_channels_are_one_head() {
    for Case { name, shape } in cases() {
        let own = Owned::of(&Shape {
            decay: Decay::PerHead,
            ..shape
        });
        let per_head = Shape {
            decay: Decay::PerHead,
            ..shape
        };
        let per_channel = Shape {
            decay: Decay::PerChannel,
            ..shape
        };
        let spread: Vec<f32> = own
            .alpha
            .iter()
            .flat_map(|&alpha| vec![alpha; shape.key_dim])
            .collect();
        let inputs = Inputs {
            alpha: &spread,
            ..own.inputs()
        };
        let (mut one, mut other) = (own.state.clone(), own.state.clone());
        let want = reference(&per_head, &own.inputs(), &mut one);
        let got = reference(&per_channel, &inputs, &mut other);
        assert_eq!((got, other), (want, one), "{name}");
    }
}

#[test]
fn any_split_into_calls_gives_the_same() {
    let shape = cases().pop().map(|case| case.shape).unwrap();
    let own = Owned::of(&shape);
    let mut state = own.state.clone();
    let want = reference(&shape, &own.inputs(), &mut state);
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

/// Tiled heads are grouped heads in another order: value head `h` of one is `(h mod Hk) * r + h / Hk` of the other.
#[test]
fn head_maps_differ_by_a_permutation() {
    let (key_heads, value_heads, dim) = (3, 6, 16);
    let tiled = Shape {
        tokens: 4,
        key_heads,
        value_heads,
        key_dim: dim,
        value_dim: dim,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    let grouped = Shape {
        head_map: HeadMap::Grouped,
        ..tiled
    };
    let own = Owned::of(&tiled);
    let mut moved = Owned::of(&tiled);
    let place = |h: usize| (h % key_heads) * (value_heads / key_heads) + h / key_heads;
    for h in 0..value_heads {
        assert_eq!(
            HeadMap::Tiled.key_head(h, key_heads, value_heads),
            HeadMap::Grouped.key_head(place(h), key_heads, value_heads)
        );
        let size = dim * dim;
        moved.state[place(h) * size..][..size].copy_from_slice(&own.state[h * size..][..size]);
        for t in 0..4 {
            let (from, to) = (t * value_heads + h, t * value_heads + place(h));
            (moved.alpha[to], moved.beta[to]) = (own.alpha[from], own.beta[from]);
            moved.v[to * dim..][..dim].copy_from_slice(&own.v[from * dim..][..dim]);
        }
    }
    let y = reference(&tiled, &own.inputs(), &mut own.state.clone());
    let z = reference(&grouped, &moved.inputs(), &mut moved.state.clone());
    for t in 0..4 {
        for h in 0..value_heads {
            let (from, to) = (t * value_heads + h, t * value_heads + place(h));
            assert_eq!(y[from * dim..][..dim], z[to * dim..][..dim]);
        }
    }
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        key_heads: 2,
        value_heads: 4,
        key_dim: 8,
        value_dim: 5,
        head_map: HeadMap::Tiled,
        decay: Decay::PerHead,
    };
    let (state, values, keys, gates) = (
        4 * 8 * 5 * 4,
        3 * 4 * 5 * 4,
        2 * 3 * 2 * 8 * 4,
        2 * 3 * 4 * 4,
    );
    let want = Cost {
        read_bytes: state + values + keys + gates,
        written_bytes: state + values,
        f32_flops: 7 * 3 * 4 * 40 + 2 * 3 * 16 + 6 * 3 * 20,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
    let apart = Shape {
        decay: Decay::PerChannel,
        ..shape
    };
    let want = Cost {
        read_bytes: want.read_bytes + 3 * 4 * 7 * 4,
        f32_flops: want.f32_flops + 2 * 3 * 4 * 8,
        ..want
    };
    assert_eq!(cost(&apart), want);
}
