//! Against f64, with heads that are no whole vectors; the references' decay is the exponential of ours.

use ops::delta_gates::{
    Shape,
    backward::{Inputs, Rate, forward, reference},
};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{DeltaGates, Into, delta_gates, delta_gates_backward, delta_gates_scratch};

const TOLERANCE: f64 = 2e-6;

#[test]
fn gates_and_gradients_are_near_f64() {
    for (tokens, value_heads) in [(1, 1), (7, 6), (130, 17), (193, 48)] {
        let len = tokens * value_heads;
        let (a, b) = (normal(1, len), normal(2, len));
        let (a_log, dt_bias) = (normal(3, value_heads), normal(4, value_heads));
        let inputs = Inputs {
            a: &a,
            b: &b,
            rate: Rate::ALog(&a_log),
            dt_bias: &dt_bias,
        };
        let shape = Shape {
            tokens,
            value_heads,
            channels: 1,
        };
        let gates = forward(&shape, &inputs);
        let (d_alpha, d_beta) = (normal(5, len), normal(6, len));
        let want = reference(&shape, &inputs, &d_alpha, &d_beta);
        let pairs = d_alpha.iter().zip(&gates.alpha);
        let d_log_decay: Vec<f32> = pairs
            .map(|(&d, alpha)| (f64::from(d) * alpha) as f32)
            .collect();
        let log_alpha: Vec<f64> = gates.alpha.iter().map(|alpha| alpha.ln()).collect();
        let of = DeltaGates {
            a: &a,
            b: &b,
            a_log: &a_log,
            dt_bias: &dt_bias,
        };
        for into in BOTH {
            let got = everywhere(
                |_| delta_gates_scratch(tokens, value_heads),
                |machine| {
                    let (mut log_decay, mut beta) = (vec![f32::NAN; len], vec![f32::NAN; len]);
                    delta_gates(machine, &of, &mut log_decay, &mut beta);
                    let mut gradients =
                        [len, len, value_heads, value_heads].map(|len| before(into, len));
                    let to = gradients.each_mut().map(|values| (&mut values[..], into));
                    delta_gates_backward(machine, &of, (&d_log_decay, &d_beta), to);
                    let [d_a, d_b, d_a_log, d_dt_bias] = gradients;
                    [log_decay, beta, d_a, d_b, d_a_log, d_dt_bias]
                },
            );
            let want = [
                ("log-decay", Into::Set, &log_alpha),
                ("beta", Into::Set, &gates.beta),
                ("da", into, &want.a),
                ("db", into, &want.b),
                ("da_log", into, &want.a_log),
                ("ddt_bias", into, &want.dt_bias),
            ];
            for ((name, into, want), got) in want.into_iter().zip(&got) {
                assert_near(name, into, got, want, TOLERANCE);
            }
        }
    }
}
