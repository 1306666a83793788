//! The output of every head against the reference, and its rounding, also where a block of 32 spans two heads.

use ops::wkv7_output::{self as reference, Inputs, Shape};

use super::super::cpu::{Output, Wkv7Shape, output};
use crate::{
    Isa, Pool,
    fixture::{Matrix, QuantMatrix, assert_near, padded, same_everywhere},
};

struct Case {
    shape: Shape,
    /// y, receptance, key, value, gate.
    rows: [Vec<f32>; 5],
    /// Weight, bias, r_k.
    weights: [Vec<f32>; 3],
}

impl Case {
    fn of(shape: Shape) -> Self {
        let width = shape.heads * shape.head_dim;
        Self {
            shape,
            rows: [1, 2, 3, 4, 5].map(|seed| ops::input::normal(seed, shape.tokens * width)),
            weights: [6, 7, 8].map(|seed| ops::input::normal(seed, width)),
        }
    }

    fn run(&self, isa: Isa, pool: &Pool, quantised: Option<&QuantMatrix>) -> Vec<f32> {
        let shape = Wkv7Shape {
            heads: self.shape.heads,
            head_dim: self.shape.head_dim,
        };
        let [y, receptance, key, value, gate] =
            [0, 1, 2, 3, 4].map(|i| Matrix::of(&self.rows[i], shape.width()));
        let [weight, bias, r_k] = [0, 1, 2].map(|i| padded(&self.weights[i]));
        pool.run(|team| {
            let call = Output {
                y: y.rows(),
                receptance: receptance.rows(),
                key: key.rows(),
                value: value.rows(),
                gate: gate.rows(),
                weight: &weight,
                bias: &bias,
                r_k: &r_k,
                eps: self.shape.eps,
                shape,
                quantised: quantised.map(QuantMatrix::rows),
            };
            // SAFETY: the views have a row per token, heads are whole vectors, rows whole blocks where they are rounded.
            unsafe { output(isa, call, self.shape.tokens, team) }
        });
        y.values()
    }

    fn check(&self, what: &str) {
        let [y, receptance, key, value, gate] = &self.rows;
        let [weight, bias, r_k] = &self.weights;
        let inputs = Inputs {
            y,
            receptance,
            key,
            value,
            gate,
            weight,
            bias,
            r_k,
        };
        let want = reference::reference(&self.shape, &inputs);
        let got = same_everywhere(what, |isa, pool| self.run(isa, pool, None));
        assert_near(&got, &want, reference::TOLERANCE, what);
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
fn every_width_is_right_and_rounded_as_it_is() {
    for (heads, head_dim) in [(6, 16), (5, 32), (4, 48), (3, 64)] {
        let case = Case::of(Shape {
            tokens: 5,
            heads,
            head_dim,
            eps: 64e-5,
        });
        let what = format!("{heads} heads of {head_dim}");
        case.check(&what);
        same_everywhere(&what, |isa, pool| {
            let quantised = QuantMatrix::empty(5, heads * head_dim);
            let got = case.run(isa, pool, Some(&quantised));
            quantised.assert_rounds(&got);
            got
        });
    }
}
