//! The tanh form by hand, and its equal with a sigmoid.

use super::*;
use crate::swiglu::sigmoid;

#[test]
fn gates_by_hand() {
    let y = reference(
        &Shape {
            tokens: 1,
            width: 3,
        },
        &[0.0, 1.0, -1.0],
        &[5.0, 2.0, 2.0],
    );
    assert_eq!(y[0], 0.0);
    // The tanh form's own value; the exact GELU of 1 is 0.841345.
    assert!(
        (y[1] - 2.0 * 0.841_191_990_608_276_8).abs() <= 1e-12,
        "{}",
        y[1]
    );
    assert!(
        (y[2] + 2.0 * 0.158_808_009_391_723_2).abs() <= 1e-12,
        "{}",
        y[2]
    );
}

#[test]
fn the_sigmoid_form_is_the_same_function() {
    for i in -60..=60 {
        let x = f64::from(i) / 10.0;
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        assert!((gelu(x) - x * sigmoid(2.0 * u)).abs() <= 1e-14, "{x}");
    }
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        width: 5,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 80,
            written_bytes: 40,
            f32_flops: 100,
            int8_ops: 0
        }
    );
}
