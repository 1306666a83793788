//! The recurrence by hand, its equal as a sum over the past, and any split into calls.

use super::*;
use crate::input;

struct Owned {
    values: [Vec<f32>; 3],
    constants: [Vec<f32>; 3],
}

impl Owned {
    fn of(shape: &Shape) -> Self {
        let Shape {
            tokens, channels, ..
        } = *shape;
        let rate = input::uniform(6, channels, -0.9, -0.001);
        Self {
            values: [1, 2, 3].map(|seed| input::normal(seed, tokens * channels)),
            constants: [input::normal(4, channels), input::normal(5, channels), rate],
        }
    }

    /// The inputs of `tokens` tokens from `from` on.
    fn part(&self, shape: &Shape, from: usize, tokens: usize) -> Inputs<'_> {
        let rows = from * shape.channels..(from + tokens) * shape.channels;
        let [x, input, recurrence] = self.values.each_ref().map(|v| &v[rows.clone()]);
        let [input_bias, recurrence_bias, rate] = self.constants.each_ref().map(|v| &v[..]);
        Inputs {
            x,
            input,
            recurrence,
            input_bias,
            recurrence_bias,
            rate,
        }
    }
}

#[test]
fn tokens_by_hand() {
    // Gates are half open: a is 3/5 and the root 4/5 in one channel, all stays or nothing in the others.
    let ln = |x: f64| (2.0 * x.ln()) as f32;
    let inputs = Inputs {
        x: &[10.0, 10.0, 10.0, 20.0, 20.0, 20.0],
        input: &[1.0; 6],
        recurrence: &[-2.0; 6],
        input_bias: &[-1.0; 3],
        recurrence_bias: &[2.0; 3],
        rate: &[ln(0.6), 0.0, -1e6],
    };
    let shape = |begins| Shape {
        tokens: 2,
        channels: 3,
        begins,
    };
    let near = |got: Vec<f64>, want: [f64; 6]| {
        let far = got.iter().zip(want).any(|(g, w)| (g - w).abs() > 1e-5);
        assert!(!far && got.len() == 6, "{got:?}");
    };
    let mut state = [100.0; 3];
    let y = reference(&shape(false), &inputs, &mut state);
    near(y, [64.0, 100.0, 5.0, 46.4, 100.0, 10.0]);
    let mut state = [100.0; 3];
    let y = reference(&shape(true), &inputs, &mut state);
    near(y, [5.0, 5.0, 5.0, 11.0, 5.0, 10.0]);
    assert!((state[0] - 11.0).abs() <= 1e-5);
}

#[test]
fn what_hardly_decays_still_takes_in() {
    let inputs = Inputs {
        x: &[1.0],
        input: &[100.0],
        recurrence: &[100.0],
        input_bias: &[0.0],
        recurrence_bias: &[0.0],
        rate: &[-5e-13],
    };
    let shape = Shape {
        tokens: 1,
        channels: 1,
        begins: false,
    };
    let y = reference(&shape, &inputs, &mut [0.0]);
    assert!((y[0] - 1e-6).abs() <= 1e-13, "{y:?}");
}

/// `h_t = sum over s <= t of (a_{s+1} .. a_t) root_s gate_s x_s`.
#[test]
fn the_recurrence_is_a_sum_over_the_past() {
    let shape = Shape {
        tokens: 20,
        channels: 3,
        begins: true,
    };
    let own = Owned::of(&shape);
    let inputs = own.part(&shape, 0, 20);
    let y = reference(&shape, &inputs, &mut [7.0; 3]);
    for channel in 0..3 {
        let gate = |logits: &[f32], bias: &[f32], t: usize| {
            sigmoid(f64::from(logits[t * 3 + channel]) + f64::from(bias[channel]))
        };
        let a = |t: usize| {
            let gate = gate(inputs.recurrence, inputs.recurrence_bias, t);
            (f64::from(inputs.rate[channel]) * gate).exp()
        };
        for t in 0..20 {
            let want: f64 = (0..=t)
                .map(|s| {
                    let stays: f64 = (s + 1..=t).map(a).product();
                    let root = if s == 0 {
                        1.0
                    } else {
                        (1.0 - a(s).powi(2)).sqrt()
                    };
                    let x = f64::from(inputs.x[s * 3 + channel]);
                    stays * root * gate(inputs.input, inputs.input_bias, s) * x
                })
                .sum();
            assert!((y[t * 3 + channel] - want).abs() <= 1e-12 * want.abs().max(1.0));
        }
    }
}

#[test]
fn any_split_into_calls_gives_the_same() {
    let shape = Shape {
        tokens: 130,
        channels: 5,
        begins: true,
    };
    let own = Owned::of(&shape);
    let (mut state, mut split_state) = ([0.5; 5], [0.5; 5]);
    let want = reference(&shape, &own.part(&shape, 0, 130), &mut state);
    let mut split = Vec::new();
    for from in (0..130).step_by(33) {
        let tokens = 33.min(130 - from);
        let begins = from == 0;
        let call = Shape {
            tokens,
            begins,
            ..shape
        };
        let inputs = own.part(&shape, from, tokens);
        split.extend(reference(&call, &inputs, &mut split_state));
    }
    assert_eq!((split, split_state), (want, state));
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        channels: 5,
        begins: false,
    };
    let want = Cost {
        read_bytes: 4 * (3 * 15 + 3 * 5 + 5),
        written_bytes: 4 * (15 + 5),
        f32_flops: 19 * 15,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
}
