//! Which row meets which weight, and that the state makes any split into calls the same.

use super::*;
use crate::input;

#[test]
fn mixtures_by_hand() {
    let shape = Shape {
        tokens: 2,
        mixtures: 3,
        width: 2,
    };
    // All of the new row, all of the old, and half and three quarters of the old.
    let mu = [0.0, 0.0, 1.0, 1.0, 0.5, 0.75];
    let mut state = [8.0, 80.0];
    let y = reference(&shape, &[4.0, 40.0, 2.0, 20.0], &mu, &mut state);
    assert_eq!(y[..4], [4.0, 40.0, 2.0, 20.0]);
    assert_eq!(y[4..8], [8.0, 80.0, 4.0, 40.0]);
    assert_eq!(y[8..], [6.0, 70.0, 3.0, 35.0]);
    assert_eq!(state, [2.0, 20.0]);
}

#[test]
fn any_split_into_calls_gives_the_same() {
    let (tokens, mixtures, width) = (11, 6, 5);
    let (x, mu) = (
        input::normal(1, tokens * width),
        input::uniform(2, mixtures * width, 0.0, 1.0),
    );
    let shape = |tokens| Shape {
        tokens,
        mixtures,
        width,
    };
    let start = input::normal(3, width);
    let mut state = start.clone();
    let whole = reference(&shape(tokens), &x, &mu, &mut state);
    for size in [1, 2, 4, 7] {
        let (mut split, mut split_state) = (vec![Vec::new(); mixtures], start.clone());
        for x in x.chunks(size * width) {
            let y = reference(&shape(x.len() / width), x, &mu, &mut split_state);
            for (all, part) in split.iter_mut().zip(y.chunks_exact(x.len())) {
                all.extend_from_slice(part);
            }
        }
        assert_eq!(
            (split.concat(), &split_state),
            (whole.clone(), &state),
            "calls of {size}"
        );
    }
}

#[test]
#[should_panic(expected = "mu must be (mixtures, width)")]
fn a_mixture_without_weights_is_a_mistake() {
    let shape = Shape {
        tokens: 1,
        mixtures: 6,
        width: 2,
    };
    reference(&shape, &[0.0; 2], &[0.0; 10], &mut [0.0; 2]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        mixtures: 6,
        width: 5,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 40 + 120 + 20,
            written_bytes: 240 + 20,
            f32_flops: 10 + 120,
            ..Cost::default()
        }
    );
}
