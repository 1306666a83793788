//! Known values, both ends, and GELU's equal with a sigmoid.

use super::*;

const THREE: [f32; 3] = [0.0, 1.0, -1.0];

fn three(activation: Activation) -> Vec<f64> {
    let shape = Shape {
        activation,
        tokens: 1,
        width: 3,
    };
    reference(&shape, &THREE, &[5.0, 2.0, 2.0])
}

#[test]
fn silu_by_hand() {
    let y = three(Activation::Silu);
    assert_eq!(y[0], 0.0);
    assert!((y[1] - 2.0 * 0.731_058_578_630_004_9).abs() <= 1e-15);
    assert!((y[2] + 2.0 * 0.268_941_421_369_995_1).abs() <= 1e-15);
}

#[test]
fn gelu_by_hand() {
    let y = three(Activation::GeluTanh);
    assert_eq!(y[0], 0.0);
    // The tanh form's own value; the exact GELU of 1 is 0.841345.
    assert!((y[1] - 2.0 * 0.841_191_990_608_276_8).abs() <= 1e-12);
    assert!((y[2] + 2.0 * 0.158_808_009_391_723_2).abs() <= 1e-12);
}

#[test]
fn ends_are_exact() {
    assert_eq!(silu(1000.0), 1000.0);
    assert_eq!(silu(-1000.0), 0.0);
    assert!(silu(f64::NAN).is_nan());
}

#[test]
fn the_sigmoid_form_of_gelu_is_the_same_function() {
    for i in -60..=60 {
        let x = f64::from(i) / 10.0;
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        assert!((gelu(x) - x * sigmoid(2.0 * u)).abs() <= 1e-14, "{x}");
    }
}

#[test]
fn costs_by_hand() {
    for (activation, f32_flops) in [(Activation::Silu, 50), (Activation::GeluTanh, 100)] {
        let shape = Shape {
            activation,
            tokens: 2,
            width: 5,
        };
        let want = Cost {
            read_bytes: 80,
            written_bytes: 40,
            f32_flops,
            ..Cost::default()
        };
        assert_eq!(cost(&shape), want);
    }
}
