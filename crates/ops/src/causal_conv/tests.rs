//! Which tap meets which input, and that the state makes any split into calls the same.

use super::*;
use crate::input;

#[test]
fn taps_by_hand() {
    let shape = Shape {
        tokens: 2,
        channels: 2,
        bias: false,
        silu: true,
    };
    // Channel 0 sees only the newest input, channel 1 only the one 3 tokens ago.
    let weight = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0];
    let mut state = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
    let before = state;
    let x = [4.0, 40.0, 5.0, 50.0];
    let y = reference(&shape, &x, &weight, None, &mut state);
    assert_eq!(y, [4.0, 10.0, 5.0, 20.0].map(glu::silu));
    assert_eq!(state, [3.0, 30.0, 4.0, 40.0, 5.0, 50.0]);
    let (shape, mut state) = (
        Shape {
            bias: true,
            ..shape
        },
        before,
    );
    let y = reference(&shape, &x, &weight, Some(&[0.5, -8.0]), &mut state);
    assert_eq!(y, [4.5, 2.0, 5.5, 12.0].map(glu::silu));
    let (shape, mut state) = (
        Shape {
            silu: false,
            ..shape
        },
        before,
    );
    let y = reference(&shape, &x, &weight, Some(&[0.5, -8.0]), &mut state);
    assert_eq!(y, [4.5, 2.0, 5.5, 12.0]);
}

#[test]
fn any_split_into_calls_gives_the_same() {
    let (tokens, channels) = (11, 5);
    let (x, weight) = (
        input::normal(1, tokens * channels),
        input::normal(2, channels * TAPS),
    );
    let mut state = vec![0.0; STATE_ROWS * channels];
    let shape = |tokens| Shape {
        tokens,
        channels,
        bias: false,
        silu: true,
    };
    let whole = reference(&shape(tokens), &x, &weight, None, &mut state);
    for size in [1, 2, 3, 4, 7] {
        let mut split_state = vec![0.0; STATE_ROWS * channels];
        let split: Vec<f64> = x
            .chunks(size * channels)
            .flat_map(|x| {
                reference(
                    &shape(x.len() / channels),
                    x,
                    &weight,
                    None,
                    &mut split_state,
                )
            })
            .collect();
        assert_eq!((&split, &split_state), (&whole, &state), "calls of {size}");
    }
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        channels: 5,
        bias: false,
        silu: true,
    };
    let biased = cost(&Shape {
        bias: true,
        ..shape
    });
    assert_eq!((biased.read_bytes, biased.f32_flops), (200, 130));
    let plain = cost(&Shape {
        silu: false,
        ..shape
    });
    assert_eq!(plain.f32_flops, 80);
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 40 + 80 + 60,
            written_bytes: 40 + 60,
            f32_flops: 120,
            ..Cost::default()
        }
    );
}
