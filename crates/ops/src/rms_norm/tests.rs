//! Where eps and the weight stand.

use super::*;

#[test]
fn norms_by_hand() {
    let shape = Shape {
        rows: 2,
        width: 2,
        eps: 0.0,
    };
    // The mean squares are 4 and 25.
    let y = reference(&shape, &[2.0, -2.0, 1.0, 7.0], &[1.0, 3.0]);
    assert_eq!(
        y.iter()
            .map(|y| (y * 1e12).round() / 1e12)
            .collect::<Vec<_>>(),
        [1.0, -3.0, 0.2, 4.2]
    );
}

#[test]
fn eps_keeps_zeros_finite_and_is_inside_the_root() {
    let shape = Shape {
        rows: 1,
        width: 2,
        eps: 0.25,
    };
    assert_eq!(reference(&shape, &[0.0, 0.0], &[1.0, 1.0]), [0.0, 0.0]);
    let shape = Shape {
        rows: 1,
        width: 1,
        eps: 3.0,
    };
    assert_eq!(reference(&shape, &[1.0], &[1.0]), [0.5]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        rows: 3,
        width: 10,
        eps: 0.0,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 160,
            written_bytes: 120,
            f32_flops: 120,
            ..Cost::default()
        }
    );
}
