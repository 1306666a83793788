//! Every gate, with the residual and without, and what a head of zeros becomes.

use ops::wkv7_gates::{self as reference, Inputs, Shape};

use super::super::cpu::{Gates, Residual, Wkv7Shape, gates};
use crate::{
    Isa, Pool,
    fixture::{Matrix, assert_near, assert_same_bits, padded, same_everywhere},
};

struct Case {
    shape: Shape,
    decay: Vec<f32>,
    rate: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    first: Vec<f32>,
    mix: Vec<f32>,
    k_k: Vec<f32>,
    k_a: Vec<f32>,
}

impl Case {
    fn of(shape: Shape) -> Self {
        let width = shape.heads * shape.head_dim;
        let rows = |seed| ops::input::normal(seed, shape.tokens * width);
        Self {
            shape,
            decay: rows(1),
            rate: rows(2),
            key: rows(3),
            value: rows(4),
            first: rows(5),
            mix: rows(6),
            k_k: ops::input::normal(7, width),
            k_a: ops::input::uniform(8, width, 0.5, 1.5),
        }
    }

    /// Decay, erasure, key, value and removal, one behind the other.
    fn run(&self, isa: Isa, pool: &Pool) -> [Vec<f32>; 5] {
        let shape = Wkv7Shape {
            heads: self.shape.heads,
            head_dim: self.shape.head_dim,
        };
        let of = |x: &[f32]| Matrix::of(x, shape.width());
        let [decay, rate, key, value] =
            [&self.decay, &self.rate, &self.key, &self.value].map(|x| of(x));
        let (first, mix) = (of(&self.first), of(&self.mix));
        let removal = Matrix::empty(self.shape.tokens, shape.width());
        let (k_k, k_a) = (padded(&self.k_k), padded(&self.k_a));
        pool.run(|team| {
            let call = Gates {
                decay: decay.rows(),
                rate: rate.rows(),
                key: key.rows(),
                value: value.rows(),
                removal: removal.rows(),
                residual: self.shape.residual.then(|| Residual {
                    first: first.rows(),
                    mix: mix.rows(),
                }),
                k_k: &k_k,
                k_a: &k_a,
                shape,
            };
            // SAFETY: the views have a row per token, heads are whole vectors.
            unsafe { gates(isa, call, self.shape.tokens, team) }
        });
        [decay, rate, key, value, removal].map(|rows| rows.values())
    }

    fn check(&self, what: &str) {
        let inputs = Inputs {
            decay: &self.decay,
            rate: &self.rate,
            key: &self.key,
            value: &self.value,
            residual: self.shape.residual.then_some(reference::Residual {
                first: &self.first,
                mix: &self.mix,
            }),
            k_k: &self.k_k,
            k_a: &self.k_a,
        };
        let want = reference::reference(&self.shape, &inputs);
        let all = same_everywhere(what, |isa, pool| self.run(isa, pool).concat());
        let parts = all.chunks_exact(self.key.len());
        let wants = [want.decay, want.erasure, want.key, want.value, want.removal];
        for (got, want) in parts.zip(&wants) {
            assert_near(got, want, reference::TOLERANCE, what);
        }
    }
}

#[test]
fn the_table_is_right() {
    let cases = reference::cases().into_iter();
    for case in cases.filter(|case| case.shape.head_dim.is_multiple_of(16)) {
        Case::of(case.shape).check(case.name);
    }
}

#[test]
fn every_width_is_right_with_and_without_residual() {
    for head_dim in [16, 32, 48, 64] {
        for residual in [false, true] {
            let case = Case::of(Shape {
                tokens: 7,
                heads: 3,
                head_dim,
                residual,
            });
            case.check(&format!("{head_dim} channels, residual {residual}"));
        }
    }
}

/// The floor of the norm is what keeps a head of zeros from becoming NaN.
#[test]
fn a_head_of_zeros_stays_one_and_others_are_not_touched() {
    let shape = Shape {
        tokens: 2,
        heads: 2,
        head_dim: 16,
        residual: false,
    };
    let mut case = Case::of(shape);
    let isa = Isa::detect();
    let pool = Pool::new(1, 100, 100).expect("threads");
    let before = case.run(isa, &pool);
    case.key[16..32].fill(0.0);
    let [_, erasure, key, value, removal] = case.run(isa, &pool);
    for zeros in [&erasure, &key, &removal] {
        assert!(zeros[16..32].iter().all(|&x| x == 0.0));
    }
    assert_same_bits(&removal[..16], &before[4][..16], "another head");
    assert_same_bits(&removal[32..], &before[4][32..], "another token");
    assert_same_bits(&value, &case.value, "no residual, no change");
}
