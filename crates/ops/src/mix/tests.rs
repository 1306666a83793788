//! Sums by hand.

use super::*;

#[test]
fn experts_are_weighted_and_the_shared_one_gated() {
    let shape = Shape {
        tokens: 1,
        chosen: 2,
        width: 2,
        shared: SharedExpert::Gated,
        scale: 1.0,
    };
    let shared = Shared {
        output: &[8.0, -8.0],
        gate: Some(&[0.0]),
    };
    let y = reference(
        &shape,
        &[1.0, 2.0],
        &[10.0, 20.0, 30.0, 40.0],
        &[0.75, 0.25],
        Some(shared),
    );
    assert_eq!(y, [1.0 + 7.5 + 7.5 + 4.0, 2.0 + 15.0 + 10.0 - 4.0]);
    let y = reference(
        &shape,
        &[1.0, 2.0],
        &[10.0, 20.0, 30.0, 40.0],
        &[0.75, 0.25],
        None,
    );
    assert_eq!(y, [16.0, 27.0]);
    let shape = Shape {
        shared: SharedExpert::Plain,
        scale: 0.5,
        ..shape
    };
    let y = reference(
        &shape,
        &[1.0, 2.0],
        &[10.0, 20.0, 30.0, 40.0],
        &[0.75, 0.25],
        Some(Shared {
            gate: None,
            ..shared
        }),
    );
    assert_eq!(y, [1.0 + 11.5, 2.0 + 8.5]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        chosen: 3,
        width: 5,
        shared: SharedExpert::Gated,
        scale: 1.0,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 4 * (2 * 5 * 5 + 2 * 4),
            written_bytes: 40,
            f32_flops: 2 * 2 * 4 * 5,
            ..Cost::default()
        }
    );
}
