//! The gates and norms against their references, the recurrence against its own, and any cut of a sequence into passes.

use ops::{
    delta_gates,
    gated_delta::{self as reference, Decay, HeadMap, Inputs, Shape},
    l2_norm,
};

use super::cpu::{DeltaShape, Prepare, Step, prepare, step};
use crate::{
    Isa, Pool,
    fixture::{Matrix, assert_near, assert_same_bits, padded, same_everywhere},
    memory::Aligned,
};

/// A sequence's inputs, and the state before it.
struct Sequence {
    shape: Shape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
    state: Vec<f32>,
}

impl Sequence {
    /// As a model makes them: normed queries and keys, gates between 0 and 1.
    fn of(shape: Shape) -> Self {
        let Shape {
            tokens,
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            decay,
            ..
        } = shape;
        let unit = |seed, scale| {
            let norm = l2_norm::Shape {
                rows: tokens * key_heads,
                width: key_dim,
                eps: 1e-6,
                scale,
            };
            let x = ops::input::normal(seed, tokens * key_heads * key_dim);
            let y = l2_norm::reference(&norm, &x);
            y.iter().map(|&y| y as f32).collect()
        };
        Self {
            shape,
            q: unit(1, 1.0 / (key_dim as f32).sqrt()),
            k: unit(2, 1.0),
            v: ops::input::normal(3, tokens * value_heads * value_dim),
            alpha: ops::input::uniform(4, tokens * value_heads * decay.count(key_dim), 0.5, 1.0),
            beta: ops::input::uniform(5, tokens * value_heads, 0.0, 1.0),
            state: ops::input::normal(6, value_heads * key_dim * value_dim),
        }
    }

    fn delta_shape(&self) -> DeltaShape {
        DeltaShape {
            key_heads: self.shape.key_heads,
            value_heads: self.shape.value_heads,
            key_dim: self.shape.key_dim,
            value_dim: self.shape.value_dim,
            head_map: self.shape.head_map,
            decay: self.shape.decay,
        }
    }

    /// `q | k | v` of each token.
    fn rows(&self) -> Vec<f32> {
        let keys = self.shape.key_heads * self.shape.key_dim;
        let values = self.shape.value_heads * self.shape.value_dim;
        (0..self.shape.tokens)
            .flat_map(|t| {
                [
                    &self.q[t * keys..][..keys],
                    &self.k[t * keys..][..keys],
                    &self.v[t * values..][..values],
                ]
                .concat()
            })
            .collect()
    }

    /// Outputs and then the state, in passes of up to `pass` tokens.
    fn run(&self, isa: Isa, pool: &Pool, pass: usize) -> Vec<f32> {
        let shape = self.delta_shape();
        let width = 2 * shape.keys() + shape.values();
        let mut state = Aligned::<f32>::zeroed(shape.state_len()).expect("memory");
        state.as_mut_slice().copy_from_slice(&self.state);
        let rows = self.rows();
        let mut all = Vec::new();
        for from in (0..self.shape.tokens).step_by(pass) {
            let tokens = pass.min(self.shape.tokens - from);
            let part =
                |x: &[f32], width: usize| Matrix::of(&x[from * width..][..tokens * width], width);
            let qkv = part(&rows, width);
            let alpha = part(&self.alpha, shape.decays());
            let beta = part(&self.beta, shape.value_heads);
            let out = Matrix::empty(tokens, shape.values());
            pool.run(|team| {
                let call = Step {
                    qkv: qkv.rows(),
                    alpha: alpha.rows(),
                    beta: beta.rows(),
                    out: out.rows(),
                    state: state.as_mut_pointer(),
                    shape,
                    tokens,
                };
                // SAFETY: the views have a row per token, the state the shape's elements.
                unsafe { step(isa, call, team) }
            });
            all.extend(out.values());
        }
        all.extend_from_slice(state.as_slice());
        all
    }

    fn check(&self, what: &str) {
        let inputs = Inputs {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            alpha: &self.alpha,
            beta: &self.beta,
        };
        let mut state: Vec<f64> = self.state.iter().copied().map(f64::from).collect();
        let want = reference::reference(&self.shape, &inputs, &mut state);
        let got = same_everywhere(what, |isa, pool| self.run(isa, pool, self.shape.tokens));
        let (y, kept) = got.split_at(want.len());
        assert_near(y, &want, reference::TOLERANCE, what);
        assert_near(kept, &state, reference::TOLERANCE, what);
    }
}

#[test]
fn the_table_is_right() {
    for case in reference::cases() {
        Sequence::of(case.shape).check(case.name);
    }
}

#[test]
fn every_width_and_head_map_is_right_and_cuts_do_not_matter() {
    for value_dim in [16, 32, 48, 128] {
        for (head_map, decay) in [
            (HeadMap::Grouped, Decay::PerHead),
            (HeadMap::Tiled, Decay::PerHead),
            (HeadMap::Grouped, Decay::PerChannel),
        ] {
            let sequence = Sequence::of(Shape {
                tokens: 130,
                key_heads: 2,
                value_heads: 6,
                key_dim: 24,
                value_dim,
                head_map,
                decay,
            });
            let what = format!("{value_dim} columns, {head_map:?}, {decay:?}");
            sequence.check(&what);
            let pool = Pool::new(2, 100, 100).expect("threads");
            let whole = sequence.run(Isa::detect(), &pool, 130);
            for pass in [1, 7, 64] {
                let got = sequence.run(Isa::detect(), &pool, pass);
                assert_same_bits(&got, &whole, &format!("{what}, passes of {pass}"));
            }
        }
    }
}

/// Queries, keys, values, alpha and beta after preparation of `shape` rows with the given projections.
fn prepared(
    (isa, pool): (Isa, &Pool),
    shape: DeltaShape,
    qkv: &[f32],
    (a, b): (&[f32], &[f32]),
    (decay_rate, dt_bias): (&[f32], &[f32]),
) -> Vec<f32> {
    let width = 2 * shape.keys() + shape.values();
    let rows = Matrix::of(qkv, width);
    let (a, b) = (
        Matrix::of(a, shape.decays()),
        Matrix::of(b, shape.value_heads),
    );
    pool.run(|team| {
        let call = Prepare {
            qkv: rows.rows(),
            a: a.rows(),
            b: b.rows(),
            decay_rate: &padded(decay_rate),
            dt_bias: &padded(dt_bias),
            eps: 1e-6,
            shape,
        };
        // SAFETY: the views have a row per token, padded.
        unsafe { prepare(isa, call, qkv.len() / width, team) }
    });
    [rows.values(), a.values(), b.values()].concat()
}

#[test]
fn norms_and_gates_are_right() {
    for (key_heads, value_heads, key_dim, tokens, decay) in [
        (1, 1, 19, 5, Decay::PerHead),
        (2, 6, 24, 9, Decay::PerHead),
        (16, 48, 128, 65, Decay::PerHead),
        (3, 3, 48, 5, Decay::PerChannel),
        (32, 32, 128, 9, Decay::PerChannel),
    ] {
        let shape = DeltaShape {
            key_heads,
            value_heads,
            key_dim,
            value_dim: 16,
            head_map: HeadMap::Tiled,
            decay,
        };
        let width = 2 * shape.keys() + shape.values();
        let qkv = ops::input::normal(1, tokens * width);
        let mut a = ops::input::normal(2, tokens * shape.decays());
        a[0] = 50.0;
        let b = ops::input::normal(3, tokens * value_heads);
        let decay_rate = ops::input::uniform(4, value_heads, -8.0, -0.1);
        let dt_bias = ops::input::normal(5, shape.decays());
        let got = same_everywhere("prepare", |isa, pool| {
            prepared((isa, pool), shape, &qkv, (&a, &b), (&decay_rate, &dt_bias))
        });
        let (rows, gates) = got.split_at(qkv.len());
        let (alpha, beta) = gates.split_at(a.len());
        let gate_shape = delta_gates::Shape {
            tokens,
            value_heads,
            channels: decay.count(key_dim),
        };
        let want = delta_gates::reference(&gate_shape, &a, &b, &decay_rate, &dt_bias);
        assert_near(alpha, &want.alpha, delta_gates::TOLERANCE, "alpha");
        assert_near(beta, &want.beta, delta_gates::TOLERANCE, "beta");
        for (got, x) in rows.chunks_exact(width).zip(qkv.chunks_exact(width)) {
            let scales = [1.0 / (key_dim as f32).sqrt(), 1.0];
            for (part, scale) in scales.into_iter().enumerate() {
                let columns = part * shape.keys()..(part + 1) * shape.keys();
                let norm = l2_norm::Shape {
                    rows: key_heads,
                    width: key_dim,
                    eps: 1e-6,
                    scale,
                };
                let want = l2_norm::reference(&norm, &x[columns.clone()]);
                assert_near(&got[columns], &want, l2_norm::TOLERANCE, "norm");
            }
            let values = 2 * shape.keys()..;
            assert_same_bits(&got[values.clone()], &x[values], "values pass unchanged");
        }
    }
}
