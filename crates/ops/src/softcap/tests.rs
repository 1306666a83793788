//! The bound, and what it leaves alone.

use super::*;

#[test]
fn bounds_large_values_and_keeps_small_ones() {
    let y = reference(&Shape { len: 4, cap: 30.0 }, &[0.0, 1e6, -1e6, 30.0]);
    assert_eq!(y[..3], [0.0, 30.0, -30.0]);
    assert!((y[3] - 30.0 * 0.761_594_155_955_764_9).abs() <= 1e-13);
    assert!((softcap(0.01, 30.0) - 0.01).abs() <= 1e-9);
}

#[test]
fn costs_by_hand() {
    assert_eq!(
        cost(&Shape { len: 5, cap: 1.0 }),
        Cost {
            read_bytes: 20,
            written_bytes: 20,
            f32_flops: 15,
            ..Cost::default()
        }
    );
}
