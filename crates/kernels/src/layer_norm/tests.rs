//! Against the reference, a group at a time; in place, rounded, and over rows whose spread is small beside their mean.

use ops::layer_norm as reference;

use super::cpu::{Norm, layer_norm};
use crate::{
    Isa, Pool,
    fixture::{Matrix, QuantMatrix, assert_near, assert_same_bits, padded, same_everywhere},
};

struct Case<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Case<'_> {
    fn run(
        &self,
        isa: Isa,
        pool: &Pool,
        in_place: bool,
        quantised: Option<&QuantMatrix>,
    ) -> Vec<f32> {
        let width = self.weight.len();
        let tokens = self.x.len() / width;
        let input = Matrix::of(self.x, width);
        let apart = (!in_place).then(|| Matrix::empty(tokens, width));
        let out = apart.as_ref().unwrap_or(&input);
        let (weight, bias) = (padded(self.weight), padded(self.bias));
        pool.run(|team| {
            let norm = Norm {
                input: input.rows(),
                out: out.rows(),
                weight: &weight,
                bias: &bias,
                eps: self.eps,
                width,
                quantised: quantised.map(QuantMatrix::rows),
            };
            // SAFETY: both views have the rows and columns, padded; so have weight and bias.
            unsafe { layer_norm(isa, norm, tokens, team) }
        });
        out.values()
    }

    fn reference(&self) -> Vec<f64> {
        let width = self.weight.len();
        let shape = reference::Shape {
            rows: self.x.len() / width,
            groups: 1,
            width,
            eps: self.eps,
        };
        reference::reference(&shape, self.x, self.weight, self.bias)
    }
}

/// A group's columns of every row.
fn columns(x: &[f32], row: usize, from: usize, width: usize) -> Vec<f32> {
    let rows = x.chunks_exact(row);
    rows.flat_map(|row| row[from..from + width].iter().copied())
        .collect()
}

#[test]
fn the_table_is_right_a_group_at_a_time() {
    for case in reference::cases() {
        let reference::Shape {
            rows,
            groups,
            width,
            eps,
        } = case.shape;
        let x = ops::input::normal(1, rows * groups * width);
        let weight = ops::input::normal(2, groups * width);
        let bias = ops::input::normal(3, groups * width);
        for group in 0..groups {
            let at = group * width..(group + 1) * width;
            let one = Case {
                x: &columns(&x, groups * width, at.start, width),
                weight: &weight[at.clone()],
                bias: &bias[at],
                eps,
            };
            let got = same_everywhere(case.name, |isa, pool| one.run(isa, pool, false, None));
            assert_near(&got, &one.reference(), reference::TOLERANCE, case.name);
            let pool = Pool::new(1, 100, 100).expect("threads");
            let in_place = one.run(Isa::detect(), &pool, true, None);
            assert_same_bits(&in_place, &got, case.name);
        }
    }
}

#[test]
fn a_rounded_row_is_the_row_rounded() {
    let width = 96;
    let case = Case {
        x: &ops::input::normal(1, 5 * width),
        weight: &ops::input::normal(2, width),
        bias: &ops::input::normal(3, width),
        eps: 1e-5,
    };
    for threads in [1, 3] {
        let pool = Pool::new(threads, 100, 100).expect("threads");
        for isa in Isa::available() {
            let quantised = QuantMatrix::empty(5, width);
            let got = case.run(isa, &pool, false, Some(&quantised));
            quantised.assert_rounds(&got);
        }
    }
}

/// The mean is a thousand times the spread: rounding it in f32 is all that may show.
#[test]
fn a_spread_that_is_small_beside_the_mean_is_seen() {
    let width = 1024;
    let x: Vec<f32> = ops::input::normal(1, 3 * width)
        .into_iter()
        .map(|x| 1000.0 + x)
        .collect();
    let case = Case {
        x: &x,
        weight: &vec![1.0; width],
        bias: &vec![0.0; width],
        eps: 1e-5,
    };
    let got = same_everywhere("far from zero", |isa, pool| {
        case.run(isa, pool, false, None)
    });
    assert_near(&got, &case.reference(), 1e-4, "far from zero");
}
