//! Against the references of the plain and the gated norm, and what comes with them: groups, residuals, 8-bit rows.

use ops::{
    gated_rms_norm::{self, Gate},
    rms_norm as reference,
};

use super::cpu::{Norm, Then, rms_norm};
use crate::{
    Isa, Pool,
    fixture::{Matrix, QuantMatrix, assert_near, assert_same_bits, padded, same_everywhere},
};

struct Case<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    /// 1, or one for each group.
    weight_rows: usize,
    eps: f32,
    groups: usize,
    gate: Option<(&'a [f32], Gate)>,
    /// What the output holds before, when it is added to.
    residual: Option<&'a [f32]>,
}

impl Case<'_> {
    fn run(&self, isa: Isa, pool: &Pool, quantised: Option<&QuantMatrix>) -> Vec<f32> {
        let width = self.weight.len() / self.weight_rows;
        let columns = self.groups * width;
        let tokens = self.x.len() / columns;
        let input = Matrix::of(self.x, columns);
        let gate = self.gate.map(|(z, gate)| (Matrix::of(z, columns), gate));
        let out = self.residual.map_or_else(
            || Matrix::empty(tokens, columns),
            |r| Matrix::of(r, columns),
        );
        let weight = padded(self.weight);
        pool.run(|team| {
            let norm = Norm {
                input: input.rows(),
                out: out.rows(),
                weight: &weight,
                eps: self.eps,
                width,
                groups: self.groups,
                weight_step: if self.weight_rows == 1 { 0 } else { width },
                gate: gate.as_ref().map(|(z, gate)| (z.rows(), *gate)),
                then: match self.residual {
                    Some(_) => Then::Add,
                    None => Then::Write,
                },
                quantised: quantised.map(QuantMatrix::rows),
            };
            // SAFETY: all views have the rows and columns, padded; the weight is padded.
            unsafe { rms_norm(isa, norm, tokens, team) }
        });
        out.values()
    }
}

#[test]
fn the_table_is_right_whether_groups_are_rows_or_share_one() {
    for case in reference::cases() {
        let reference::Shape { rows, width, eps } = case.shape;
        let x = ops::input::normal(1, rows * width);
        let weight = ops::input::normal(2, width);
        let want = reference::reference(&case.shape, &x, &weight);
        let mut first: Option<Vec<f32>> = None;
        for groups in (1..=rows).filter(|g| rows.is_multiple_of(*g)) {
            let case_run = Case {
                x: &x,
                weight: &weight,
                weight_rows: 1,
                eps,
                groups,
                gate: None,
                residual: None,
            };
            let what = format!("{}, {groups} groups", case.name);
            let got = same_everywhere(&what, |isa, pool| case_run.run(isa, pool, None));
            assert_near(&got, &want, reference::TOLERANCE, &what);
            let first = first.get_or_insert_with(|| got.clone());
            assert_same_bits(&got, first, &what);
        }
    }
}

#[test]
fn the_gated_table_is_right() {
    for case in gated_rms_norm::cases() {
        let gated_rms_norm::Shape {
            rows,
            width,
            eps,
            gate,
        } = case.shape;
        let x = ops::input::normal(1, rows * width);
        let z = ops::input::normal(3, rows * width);
        let weight = ops::input::normal(2, width);
        let want = gated_rms_norm::reference(&case.shape, &x, &z, &weight);
        for groups in [1, rows] {
            let gated = Case {
                x: &x,
                weight: &weight,
                weight_rows: 1,
                eps,
                groups,
                gate: Some((&z, gate)),
                residual: None,
            };
            let got = same_everywhere(case.name, |isa, pool| gated.run(isa, pool, None));
            assert_near(&got, &want, gated_rms_norm::TOLERANCE, case.name);
        }
    }
}

/// Each group is the plain norm with its own weights.
#[test]
fn groups_have_weights_of_their_own() {
    for (tokens, groups, width) in [(1, 2, 16), (5, 3, 64), (2, 8, 384)] {
        let columns = groups * width;
        let x = ops::input::normal(1, tokens * columns);
        let weight = ops::input::normal(2, columns);
        let grouped = Case {
            x: &x,
            weight: &weight,
            weight_rows: groups,
            eps: 1e-5,
            groups,
            gate: None,
            residual: None,
        };
        let shape = reference::Shape {
            rows: 1,
            width,
            eps: 1e-5,
        };
        let rows = x.chunks_exact(width).enumerate();
        let want: Vec<f64> = rows
            .flat_map(|(i, x)| {
                let weight = &weight[i % groups * width..][..width];
                reference::reference(&shape, x, weight)
            })
            .collect();
        let got = same_everywhere("grouped", |isa, pool| grouped.run(isa, pool, None));
        assert_near(&got, &want, reference::TOLERANCE, "grouped");
    }
}

#[test]
fn a_residual_is_added_to() {
    for (rows, width) in [(1, 1), (5, 37), (9, 640)] {
        let shape = reference::Shape {
            rows,
            width,
            eps: 1e-6,
        };
        let x = ops::input::normal(1, rows * width);
        let residual = ops::input::normal(4, rows * width);
        let weight = ops::input::normal(2, width);
        let want: Vec<f64> = reference::reference(&shape, &x, &weight)
            .iter()
            .zip(&residual)
            .map(|(y, &r)| y + f64::from(r))
            .collect();
        let added = Case {
            x: &x,
            weight: &weight,
            weight_rows: 1,
            eps: shape.eps,
            groups: 1,
            gate: None,
            residual: Some(&residual),
        };
        let got = same_everywhere("residual", |isa, pool| added.run(isa, pool, None));
        assert_near(&got, &want, reference::TOLERANCE, "residual");
    }
}

#[test]
fn the_8_bit_row_is_the_written_row_rounded() {
    for (tokens, groups, width) in [(1, 1, 32), (7, 1, 576), (5, 4, 24), (3, 16, 128)] {
        let columns = groups * width;
        let x = ops::input::normal(1, tokens * columns);
        let gate = ops::input::normal(3, tokens * columns);
        let residual = ops::input::normal(4, tokens * columns);
        let weight = ops::input::normal(2, width);
        for (gate, residual) in [(None, None), (Some(&gate), None), (None, Some(&residual))] {
            let case = Case {
                x: &x,
                weight: &weight,
                weight_rows: 1,
                eps: 1e-6,
                groups,
                gate: gate.map(|z| (z.as_slice(), Gate::Silu)),
                residual: residual.map(Vec::as_slice),
            };
            same_everywhere("8 bits", |isa, pool| {
                let quantised = QuantMatrix::empty(tokens, columns);
                let written = case.run(isa, pool, Some(&quantised));
                quantised.assert_rounds(&written);
                written
            });
        }
    }
}
