//! Where the mean, eps and the weights stand, and what a group has of its own.

use super::*;
use crate::input;

const PAIR: Shape = Shape {
    rows: 1,
    groups: 1,
    width: 2,
    eps: 0.0,
};

#[test]
fn norms_by_hand() {
    // Means 3 and -1, deviations 2 and 0.5.
    let y = reference(
        &Shape { rows: 2, ..PAIR },
        &[1.0, 5.0, -0.5, -1.5],
        &[10.0, 100.0],
        &[7.0, -7.0],
    );
    assert_eq!(y, [-3.0, 93.0, 17.0, -107.0]);
}

#[test]
fn eps_is_inside_the_root_and_keeps_equal_values_finite() {
    let shape = Shape { eps: 3.0, ..PAIR };
    assert_eq!(
        reference(&shape, &[1.0, -1.0], &[1.0, 1.0], &[0.0, 0.0]),
        [0.5, -0.5]
    );
    assert_eq!(
        reference(&shape, &[5.0, 5.0], &[9.0, 9.0], &[1.0, 2.0]),
        [1.0, 2.0]
    );
}

#[test]
fn a_group_is_a_row_with_weights_of_its_own() {
    let shape = Shape {
        rows: 3,
        groups: 4,
        width: 7,
        eps: 1e-3,
    };
    let (x, weight, bias) = (
        input::normal(1, 3 * 28),
        input::normal(2, 28),
        input::normal(3, 28),
    );
    let y = reference(&shape, &x, &weight, &bias);
    for (at, group) in y.chunks_exact(7).enumerate() {
        let part = at % 4 * 7..at % 4 * 7 + 7;
        let alone = Shape {
            rows: 1,
            groups: 1,
            ..shape
        };
        let want = reference(
            &alone,
            &x[at * 7..][..7],
            &weight[part.clone()],
            &bias[part],
        );
        assert_eq!(group, want);
    }
}

#[test]
fn shifting_a_row_changes_nothing() {
    let shape = Shape { width: 4, ..PAIR };
    let (weight, bias) = ([1.0, 2.0, 3.0, 4.0], [0.0; 4]);
    let y = reference(&shape, &[1.0, 2.0, 4.0, 8.0], &weight, &bias);
    let shifted = reference(&shape, &[65.0, 66.0, 68.0, 72.0], &weight, &bias);
    assert_eq!(y, shifted);
    assert!(
        y.iter()
            .zip(weight)
            .map(|(y, w)| y / f64::from(w))
            .sum::<f64>()
            .abs()
            <= 1e-15
    );
}

#[test]
#[should_panic(expected = "weight and bias must be (groups, width)")]
fn one_head_s_weights_do_not_serve_all() {
    let shape = Shape { groups: 2, ..PAIR };
    let _never = reference(&shape, &[0.0; 4], &[0.0; 2], &[0.0; 2]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        rows: 3,
        groups: 2,
        width: 5,
        eps: 0.0,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 120 + 80,
            written_bytes: 120,
            f32_flops: 210,
            ..Cost::default()
        }
    );
}
