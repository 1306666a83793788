//! Known values and both ends.

use super::*;

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
    assert!((y[1] - 2.0 * 0.731_058_578_630_004_9).abs() <= 1e-15);
    assert!((y[2] + 2.0 * 0.268_941_421_369_995_1).abs() <= 1e-15);
}

#[test]
fn ends_are_exact() {
    assert_eq!(silu(1000.0), 1000.0);
    assert_eq!(silu(-1000.0), 0.0);
    assert!(silu(f64::NAN).is_nan());
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
            f32_flops: 50,
            int8_ops: 0
        }
    );
}
