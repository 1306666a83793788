//! The order of norm and gate.

use super::*;

#[test]
fn the_gate_comes_after_the_norm() {
    let shape = Shape {
        rows: 1,
        width: 2,
        eps: 0.0,
        gate: Gate::Silu,
    };
    let y = reference(&shape, &[2.0, -2.0], &[0.0, 1.0], &[1.0, 3.0]);
    assert_eq!(y[0], 0.0);
    assert!(
        (y[1] + 3.0 / (1.0 + (-1f64).exp())).abs() <= 1e-15,
        "{}",
        y[1]
    );
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        rows: 2,
        width: 5,
        eps: 0.0,
        gate: Gate::Silu,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 100,
            written_bytes: 40,
            f32_flops: 90,
            ..Cost::default()
        }
    );
}

#[test]
fn a_sigmoid_gate_at_zero_halves() {
    let shape = Shape {
        rows: 1,
        width: 2,
        eps: 0.0,
        gate: Gate::Sigmoid,
    };
    let y = reference(&shape, &[2.0, -2.0], &[0.0, 0.0], &[1.0, 3.0]);
    assert_eq!(y, [0.5, -1.5]);
    assert_eq!(cost(&shape).f32_flops, 16);
}
