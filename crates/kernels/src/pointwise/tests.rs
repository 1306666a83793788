//! Every function against its reference, its ends, and the rounding behind it.

use ops::pointwise::{self as reference, Function, Shape};

use super::cpu::{Finish, finish};
use crate::{
    Isa, Pool,
    fixture::{Matrix, QuantMatrix, assert_near, same_everywhere},
};

/// The values; each thread has a share of the columns' blocks of 32.
fn run(
    (isa, pool): (Isa, &Pool),
    shape: &Shape,
    x: &[f32],
    quantised: Option<&QuantMatrix>,
) -> Vec<f32> {
    let rows = Matrix::of(x, shape.width);
    pool.run(|team| {
        let share = team.share(shape.width.div_ceil(32));
        let to = (32 * share.end).min(shape.width.next_multiple_of(16));
        let call = Finish {
            rows: rows.rows(),
            tokens: shape.tokens,
            columns: 32 * share.start..to,
            function: Some(shape.function),
            gate: None,
            quantised: quantised.map(QuantMatrix::rows),
        };
        // SAFETY: the view has the rows, padded; shares are disjoint.
        unsafe { finish(isa, call) }
    });
    rows.values()
}

#[test]
fn the_table_is_right() {
    for case in reference::cases() {
        let x = ops::input::normal(1, case.shape.tokens * case.shape.width);
        let got = same_everywhere(case.name, |isa, pool| {
            run((isa, pool), &case.shape, &x, None)
        });
        let want = reference::reference(&case.shape, &x);
        assert_near(&got, &want, reference::TOLERANCE, case.name);
    }
}

#[test]
fn large_values_and_nan_are_what_they_should_be() {
    let x = [-1e30, -100.0, 0.0, 100.0, 1e18, f32::NAN];
    for (function, want) in [
        (Function::Tanh, [-1.0, -1.0, 0.0, 1.0, 1.0]),
        (Function::Sigmoid, [0.0, 0.0, 0.5, 1.0, 1.0]),
        (Function::SquaredRelu, [0.0, 0.0, 0.0, 1e4, 1e36]),
        (Function::SoftCap(4.0), [-4.0, -4.0, 0.0, 4.0, 4.0]),
    ] {
        let shape = Shape {
            function,
            tokens: 1,
            width: x.len(),
        };
        let pool = Pool::new(1, 100, 100).expect("threads");
        for isa in Isa::available() {
            let got = run((isa, &pool), &shape, &x, None);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
            assert!(got.iter().zip(&want).all(near), "{function:?}: {got:?}");
            assert!(got[5].is_nan(), "{function:?}: {got:?}");
        }
    }
}

#[test]
fn rounded_values_are_the_values_rounded() {
    let shape = Shape {
        function: Function::SquaredRelu,
        tokens: 3,
        width: 160,
    };
    let x = ops::input::normal(1, shape.tokens * shape.width);
    same_everywhere("rounded", |isa, pool| {
        let quantised = QuantMatrix::empty(shape.tokens, shape.width);
        let got = run((isa, pool), &shape, &x, Some(&quantised));
        quantised.assert_rounds(&got);
        got
    });
}
