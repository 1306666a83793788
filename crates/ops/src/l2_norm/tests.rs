//! Where eps and the scale stand.

use super::*;

#[test]
fn rows_get_the_norm_of_the_scale() {
    let shape = Shape {
        rows: 2,
        width: 2,
        eps: 0.0,
        scale: 0.5,
    };
    let y = reference(&shape, &[3.0, 4.0, -5.0, 12.0]);
    for (got, want) in y.iter().zip([0.3, 0.4, -2.5 / 13.0, 6.0 / 13.0]) {
        assert!((got - want).abs() <= 1e-15, "{got} {want}");
    }
}

#[test]
fn eps_is_added_to_the_sum_not_to_the_mean() {
    let shape = Shape {
        rows: 1,
        width: 3,
        eps: 1.0,
        scale: 1.0,
    };
    assert_eq!(reference(&shape, &[1.0, 1.0, 1.0]), [0.5; 3]);
    assert_eq!(reference(&shape, &[0.0; 3]), [0.0; 3]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        rows: 2,
        width: 5,
        eps: 0.0,
        scale: 1.0,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 40,
            written_bytes: 40,
            f32_flops: 30,
            ..Cost::default()
        }
    );
}
