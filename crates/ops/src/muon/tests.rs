//! The polynomial on known singular values, what must not change the result, and one step by hand.

use super::*;
use crate::input;

/// What an iteration does to a singular value.
fn iterated(mut s: f64) -> f64 {
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        s = a * s + b * s.powi(3) + c * s.powi(5);
    }
    s
}

fn normal(seed: u64, len: usize) -> Vec<f64> {
    input::normal(seed, len)
        .into_iter()
        .map(f64::from)
        .collect()
}

fn near(got: &[f64], want: &[f64]) -> bool {
    got.len() == want.len()
        && got
            .iter()
            .zip(want)
            .all(|(got, want)| (got - want).abs() <= 1e-12)
}

/// The singular values of a diagonal matrix are its entries.
#[test]
fn a_diagonal_matrix_shows_the_polynomial() {
    let got = newton_schulz(2, 3, &[3.0, 0.0, 0.0, 0.0, -4.0, 0.0]);
    let [small, large] = [3.0, 4.0].map(|s: f64| iterated(s / (5.0 + EPS)));
    assert!(near(&got, &[small, 0.0, 0.0, 0.0, -large, 0.0]), "{got:?}");
    assert_eq!(newton_schulz(2, 2, &[0.0; 4]), [0.0; 4]);
}

#[test]
fn singular_values_end_near_one() {
    for i in 1..=100 {
        let s = iterated(f64::from(i) / 100.0);
        assert!((0.65..=1.25).contains(&s), "{i}% became {s}");
    }
}

/// `f(Q X) = Q f(X)` for orthogonal Q: here a rotation of two rows.
#[test]
fn rotated_rows_stay_rotated() {
    let x = normal(1, 2 * 5);
    let turned = |x: &[f64]| -> Vec<f64> {
        let rows = || x[..5].iter().zip(&x[5..]);
        let first = rows().map(|(a, b)| 0.6 * a - 0.8 * b);
        first
            .chain(rows().map(|(a, b)| 0.8 * a + 0.6 * b))
            .collect()
    };
    let want = turned(&newton_schulz(2, 5, &x));
    assert!(near(&newton_schulz(2, 5, &turned(&x)), &want));
}

#[test]
fn tall_matrices_are_transposed_wide_ones() {
    let x = normal(1, 3 * 7);
    let want = transposed(7, &newton_schulz(3, 7, &x));
    assert!(near(&newton_schulz(7, 3, &transposed(7, &x)), &want));
    assert_eq!(
        transposed(3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
    );
}

/// One column has one singular value, and it is 1 after the division; four rows double the step.
#[test]
fn two_steps_by_hand() {
    let shape = Shape {
        rows: 4,
        columns: 1,
        learning_rate: 0.5,
        beta: 0.75,
        weight_decay: 0.25,
    };
    let (mut p, mut m) = ([8.0, 0.0, 0.0, 0.0], [0.0; 4]);
    reference(&shape, &[0.0, 4.0, 0.0, 0.0], &mut p, &mut m);
    assert_eq!(m, [0.0, 1.0, 0.0, 0.0]);
    let step = iterated(1.75 / (1.75 + EPS));
    assert!(near(&p, &[7.0, -step, 0.0, 0.0]), "{p:?}");
    // The momentum keeps 0.75 of the first gradient; Nesterov takes the new one in twice.
    reference(&shape, &[0.0, 0.0, 4.0, 0.0], &mut p, &mut m);
    assert_eq!(m, [0.0, 0.75, 1.0, 0.0]);
    let (ahead, norm) = ([0.5625, 1.75], 0.5625f64.hypot(1.75));
    let second = iterated(norm / (norm + EPS));
    let want = [
        6.125,
        -0.875 * step - ahead[0] / norm * second,
        -ahead[1] / norm * second,
        0.0,
    ];
    assert!(near(&p, &want), "{p:?} {want:?}");
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        rows: 5,
        columns: 3,
        learning_rate: 0.0,
        beta: 0.0,
        weight_decay: 0.0,
    };
    let iteration = 3 * 4 * 5 + 3 * 4 * 3 + 2 * 9 * 5 + 3 * 6 + 2 * 15;
    let want = Cost {
        read_bytes: 3 * 60,
        written_bytes: 2 * 60,
        f32_flops: 5 * iteration + 12 * 15,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
}
