//! Gates by hand, and both ends of softplus.

use super::*;

#[test]
fn gates_by_hand() {
    let shape = Shape {
        tokens: 2,
        value_heads: 2,
        channels: 1,
    };
    // softplus(0) = ln 2, so a rate of -1 halves; the second head's bias moves it to softplus(30) = 30.
    let gates = reference(
        &shape,
        &[0.0, 0.0, -30.0, 0.0],
        &[0.0, 1000.0, -1000.0, 0.0],
        &[-1.0, -0.1],
        &[0.0, 30.0],
    );
    let want = [
        0.5,
        (-0.1f32 as f64 * 30.0).exp(),
        (-(-30f64).exp().ln_1p()).exp(),
        (-0.1f32 as f64 * 30.0).exp(),
    ];
    assert!(
        gates
            .alpha
            .iter()
            .zip(want)
            .all(|(got, want)| (got - want).abs() <= 1e-15),
        "{:?}",
        gates.alpha
    );
    assert_eq!(gates.beta, [0.5, 1.0, 0.0, 0.5]);
}

#[test]
fn softplus_meets_its_line() {
    assert!((softplus(20.0) - softplus(20.000_001)).abs() <= 1e-5);
    assert_eq!(softplus(1000.0), 1000.0);
    assert_eq!(softplus(-1000.0), 0.0);
}

#[test]
fn strong_decay_underflows_to_zero() {
    let gates = reference(
        &Shape {
            tokens: 1,
            value_heads: 1,
            channels: 1,
        },
        &[100.0],
        &[0.0],
        &[-20.0],
        &[0.0],
    );
    assert_eq!(gates.alpha, [0.0]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        value_heads: 2,
        channels: 1,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 48 + 16,
            written_bytes: 48,
            f32_flops: 54,
            ..Cost::default()
        }
    );
    let apart = Shape {
        channels: 5,
        ..shape
    };
    assert_eq!(
        cost(&apart),
        Cost {
            read_bytes: 6 * 24 + 6 * 8,
            written_bytes: 6 * 24,
            f32_flops: 6 * 30 + 3 * 6,
            ..Cost::default()
        }
    );
}

/// The rate is the head's, the bias the channel's.
#[test]
fn channels_share_a_rate_and_have_their_biases() {
    let shape = Shape {
        tokens: 1,
        value_heads: 2,
        channels: 2,
    };
    let gates = reference(
        &shape,
        &[0.0, 0.0, 0.0, 0.0],
        &[0.0, 0.0],
        &[-1.0, -0.5],
        &[0.0, 30.0, 40.0, 0.0],
    );
    let want = [
        0.5,
        (-30f64).exp(),
        (-20f64).exp(),
        std::f64::consts::FRAC_1_SQRT_2,
    ];
    assert!(
        gates
            .alpha
            .iter()
            .zip(want)
            .all(|(got, want)| (got - want).abs() <= 1e-15),
        "{:?}",
        gates.alpha
    );
}
