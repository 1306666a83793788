//! The recurrence against the token-by-token reference, and any cut of a sequence into passes: the same bits in outputs and state.

use ops::{
    l2_norm,
    wkv7::{self as reference, Inputs, Shape},
};

use super::super::cpu::{Scan, Wkv7Shape, scan};
use crate::{
    Isa, Pool,
    fixture::{Matrix, assert_near, assert_same_bits, same_everywhere},
    memory::Aligned,
};

/// A sequence's inputs, and the state before it.
struct Sequence {
    shape: Shape,
    receptance: Vec<f32>,
    decay: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    removal: Vec<f32>,
    erasure: Vec<f32>,
    state: Vec<f32>,
}

impl Sequence {
    /// Inputs as a model makes them: removal keys of norm 1, learning rates and decays in their ranges.
    fn of(shape: Shape) -> Self {
        let Shape {
            tokens,
            heads,
            head_dim,
        } = shape;
        let len = tokens * heads * head_dim;
        let unit = l2_norm::Shape {
            rows: tokens * heads,
            width: head_dim,
            eps: 0.0,
            scale: 1.0,
        };
        let removal: Vec<f32> = l2_norm::reference(&unit, &ops::input::normal(5, len))
            .iter()
            .map(|&x| x as f32)
            .collect();
        let rates = ops::input::uniform(6, len, 0.0, 1.0);
        Self {
            shape,
            receptance: ops::input::normal(1, len),
            decay: ops::input::uniform(2, len, 0.55, 1.0),
            key: ops::input::normal(3, len),
            value: ops::input::normal(4, len),
            erasure: removal.iter().zip(rates).map(|(k, a)| k * a).collect(),
            removal,
            state: ops::input::normal(7, heads * head_dim * head_dim),
        }
    }

    /// Outputs and then the state, in passes of up to `pass` tokens.
    fn run(&self, isa: Isa, pool: &Pool, pass: usize) -> Vec<f32> {
        let shape = Wkv7Shape {
            heads: self.shape.heads,
            head_dim: self.shape.head_dim,
        };
        let width = shape.width();
        let mut state = Aligned::<f32>::zeroed(shape.state_len()).expect("memory");
        state.as_mut_slice().copy_from_slice(&self.state);
        let mut all = Vec::new();
        for from in (0..self.shape.tokens).step_by(pass) {
            let tokens = pass.min(self.shape.tokens - from);
            let part = |x: &[f32]| Matrix::of(&x[from * width..][..tokens * width], width);
            let (receptance, decay) = (part(&self.receptance), part(&self.decay));
            let (key, value) = (part(&self.key), part(&self.value));
            let (removal, erasure) = (part(&self.removal), part(&self.erasure));
            let out = Matrix::empty(tokens, width);
            pool.run(|team| {
                let call = Scan {
                    receptance: receptance.rows(),
                    decay: decay.rows(),
                    key: key.rows(),
                    value: value.rows(),
                    removal: removal.rows(),
                    erasure: erasure.rows(),
                    out: out.rows(),
                    state: state.as_mut_pointer(),
                    shape,
                    tokens,
                };
                // SAFETY: the views have a row per token, the state the shape's elements.
                unsafe { scan(isa, call, team) }
            });
            all.extend(out.values());
        }
        all.extend_from_slice(state.as_slice());
        all
    }

    fn check(&self, what: &str) {
        let inputs = Inputs {
            receptance: &self.receptance,
            decay: &self.decay,
            key: &self.key,
            value: &self.value,
            removal: &self.removal,
            erasure: &self.erasure,
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
fn every_width_is_right_and_cuts_do_not_matter() {
    for head_dim in [16, 32, 48, 64] {
        let sequence = Sequence::of(Shape {
            tokens: 130,
            heads: 3,
            head_dim,
        });
        let what = format!("{head_dim} channels");
        sequence.check(&what);
        let pool = Pool::new(2, 100, 100).expect("threads");
        let whole = sequence.run(Isa::detect(), &pool, 130);
        for pass in [1, 7, 64] {
            let got = sequence.run(Isa::detect(), &pool, pass);
            assert_same_bits(&got, &whole, &format!("{what}, passes of {pass}"));
        }
    }
}
