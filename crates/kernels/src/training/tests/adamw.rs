//! Steps from parameters of zero, which are the steps themselves, and from others; sums of squares.

use ops::adamw::{Shape, reference};

use super::{assert_near, everywhere, normal};
use crate::training::{AdamW, Into, adamw, sum_of_squares};

const TOLERANCE: f64 = 1e-6;

fn step(step: u64, decay: f32) -> AdamW {
    AdamW {
        rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        decay,
        step,
        gradient_scale: 0.5,
    }
}

#[test]
fn steps_are_near_f64() {
    for (len, number, decay, size) in [
        (1, 1, 0.0, 0.0),
        (37, 2, 0.1, 1.0),
        (4097, 10, 0.1, 0.0),
        (20_003, 100_000, 0.0, 1.0),
    ] {
        let start = || -> Vec<f32> { normal(1, len).iter().map(|x| size * x).collect() };
        let gradient = normal(2, len);
        let means: Vec<f32> = normal(3, len).iter().map(|x| 0.1 * x).collect();
        let squares: Vec<f32> = normal(4, len).iter().map(|x| x * x).collect();
        let one = step(number, decay);
        let got = everywhere(
            |_| 0,
            |machine| {
                let (mut parameters, mut mean, mut square) =
                    (start(), means.clone(), squares.clone());
                adamw(
                    machine,
                    &one,
                    &mut parameters,
                    &gradient,
                    &mut mean,
                    &mut square,
                );
                [parameters, mean, square]
            },
        );
        let shape = Shape {
            len,
            learning_rate: f64::from(one.rate),
            beta1: f64::from(one.beta1),
            beta2: f64::from(one.beta2),
            eps: f64::from(one.eps),
            weight_decay: f64::from(one.decay),
            step: u32::try_from(number).expect("a small number"),
        };
        let mut want =
            [start(), means, squares].map(|x| x.into_iter().map(f64::from).collect::<Vec<_>>());
        let scaled: Vec<f32> = gradient.iter().map(|g| g * one.gradient_scale).collect();
        let [parameters, mean, square] = &mut want;
        reference(&shape, &scaled, parameters, mean, square);
        for (name, (got, want)) in ["parameters", "mean", "square"]
            .into_iter()
            .zip(got.iter().zip(&want))
        {
            assert_near(name, Into::Set, got, want, TOLERANCE);
        }
    }
}

#[test]
fn sums_of_squares_are_near_f64() {
    for len in [0, 1, 4095, 4097, 50_001] {
        let x = normal(1, len);
        let [halves] = everywhere(
            |_| 0,
            |machine| {
                let bits = sum_of_squares(machine, &x).to_bits();
                [vec![
                    f32::from_bits((bits >> 32) as u32),
                    f32::from_bits(bits as u32),
                ]]
            },
        );
        let got =
            f64::from_bits(u64::from(halves[0].to_bits()) << 32 | u64::from(halves[1].to_bits()));
        let want: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!(
            (got - want).abs() <= TOLERANCE * want,
            "{len}: {got}, not {want}"
        );
    }
}
