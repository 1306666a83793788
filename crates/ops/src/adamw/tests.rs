//! Steps by hand, the means in closed form, and where decay and eps stand.

use super::*;
use crate::input;

const SHAPE: Shape = Shape {
    len: 2,
    learning_rate: 0.125,
    beta1: 0.5,
    beta2: 0.75,
    eps: 0.0,
    weight_decay: 0.0,
    step: 1,
};

#[test]
fn the_first_step_is_the_sign_of_the_gradient() {
    let (mut p, mut m, mut v) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
    reference(&SHAPE, &[3.0, -0.5], &mut p, &mut m, &mut v);
    assert_eq!((p, m, v), ([0.875, -1.875], [1.5, -0.25], [2.25, 0.0625]));
}

#[test]
fn decay_is_decoupled_and_eps_is_outside_the_corrected_root() {
    let shape = Shape {
        eps: 3.0,
        weight_decay: 2.0,
        ..SHAPE
    };
    let (mut p, mut m, mut v) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
    // 1 - lr * decay = 0.75; the corrected root is the gradient's size, so that 1 / (1 + 3) and 0 / 3 remain.
    reference(&shape, &[1.0, 0.0], &mut p, &mut m, &mut v);
    assert_eq!(p, [0.75 - 0.125 / 4.0, -1.5]);
    assert_eq!((m, v), ([0.5, 0.0], [0.25, 0.0]), "no decay in the means");
}

/// After t steps the corrected means are averages with weights `beta^(t - i)`, whatever the recurrence did.
#[test]
fn several_steps_are_weighted_averages() {
    let shape = Shape {
        len: 1,
        eps: 1e-3,
        beta1: 0.9,
        beta2: 0.99,
        ..SHAPE
    };
    let gradients = input::normal(1, 20);
    let (mut p, mut m, mut v, mut want) = ([0.0], [0.0], [0.0], 0.0);
    for step in 1..=20usize {
        let now = Shape {
            step: step as u32,
            ..shape
        };
        let average = |beta: f64, power: i32| {
            let weight = |i: usize| beta.powi((step - 1 - i) as i32);
            let values = gradients[..step].iter().map(|&g| f64::from(g).powi(power));
            let sum: f64 = values.enumerate().map(|(i, g)| weight(i) * g).sum();
            sum / (0..step).map(weight).sum::<f64>()
        };
        want -= 0.125 * average(0.9, 1) / (average(0.99, 2).sqrt() + 1e-3);
        reference(&now, &gradients[step - 1..step], &mut p, &mut m, &mut v);
        assert!((p[0] - want).abs() <= 1e-13, "step {step}: {p:?} {want}");
    }
}

#[test]
#[should_panic(expected = "counted from 1")]
fn a_step_zero_is_a_mistake() {
    let shape = Shape { step: 0, ..SHAPE };
    reference(
        &shape,
        &[0.0; 2],
        &mut [0.0; 2],
        &mut [0.0; 2],
        &mut [0.0; 2],
    );
}

#[test]
fn costs_by_hand() {
    let want = Cost {
        read_bytes: 32,
        written_bytes: 24,
        f32_flops: 28,
        ..Cost::default()
    };
    assert_eq!(cost(&SHAPE), want);
}
