//! Each gate by hand, its range, and what belongs to a head.

use super::*;
use crate::input;

const ONE: Shape = Shape {
    tokens: 1,
    heads: 1,
    head_dim: 2,
    residual: true,
};

fn near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= 1e-12, "{got} is not {want}");
    }
}

#[test]
fn gates_by_hand() {
    // sigmoid(ln 3) is 3/4.
    let ln3 = 3f32.ln();
    let inputs = Inputs {
        decay: &[0.0, 1000.0],
        rate: &[0.0, 1000.0],
        key: &[3.0, 2.0],
        value: &[1.0, 10.0],
        residual: Some(Residual {
            first: &[9.0, -10.0],
            mix: &[0.0, -1000.0],
        }),
        k_k: &[1.0, 2.0],
        k_a: &[0.5, 0.25],
    };
    let gates = reference(&ONE, &inputs);
    near(
        &gates.decay,
        &[(-0.5 * (-0.5f64).exp()).exp(), (-(-0.5f64).exp()).exp()],
    );
    // (3, 4) has norm 5.
    near(&gates.removal, &[0.6, 0.8]);
    near(&gates.erasure, &[0.3, 0.8]);
    near(&gates.key, &[3.0 * 0.75, 2.0]);
    near(&gates.value, &[5.0, 10.0]);
    let nearer = Residual {
        first: &[9.0, -10.0],
        mix: &[ln3, ln3],
    };
    let gates = reference(
        &ONE,
        &Inputs {
            residual: Some(nearer),
            ..inputs
        },
    );
    assert!((gates.value[0] - 7.0).abs() <= 1e-6 && (gates.value[1] + 5.0).abs() <= 1e-6);
}

#[test]
fn the_first_layer_keeps_its_values() {
    let shape = Shape {
        residual: false,
        ..ONE
    };
    let gates = reference(
        &shape,
        &Inputs {
            decay: &[0.0; 2],
            rate: &[0.0; 2],
            key: &[1.0; 2],
            value: &[3.0, -4.0],
            residual: None,
            k_k: &[1.0; 2],
            k_a: &[1.0; 2],
        },
    );
    assert_eq!(gates.value, [3.0, -4.0]);
}

#[test]
fn a_head_of_zeros_stays_one() {
    let gates = reference(
        &Shape {
            residual: false,
            ..ONE
        },
        &Inputs {
            decay: &[0.0; 2],
            rate: &[0.0; 2],
            key: &[0.0; 2],
            value: &[1.0; 2],
            residual: None,
            k_k: &[1.0; 2],
            k_a: &[1.0; 2],
        },
    );
    assert_eq!(
        (gates.removal, gates.erasure, gates.key),
        (vec![0.0; 2], vec![0.0; 2], vec![0.0; 2])
    );
}

/// A call over many heads is a call per head of each token; removal keys have norm 1, and decays their range.
#[test]
fn heads_and_tokens_are_apart() {
    let shape = Shape {
        tokens: 3,
        heads: 4,
        head_dim: 5,
        residual: true,
    };
    let wide: Vec<Vec<f32>> = (0..6).map(|seed| input::normal(seed, 60)).collect();
    let weights: Vec<Vec<f32>> = (6..8).map(|seed| input::normal(seed, 20)).collect();
    let part = |head: usize, width: usize| {
        let (rows, columns) = (
            head * 5..head * 5 + width,
            head % 4 * 5..head % 4 * 5 + width.min(20),
        );
        Inputs {
            decay: &wide[0][rows.clone()],
            rate: &wide[1][rows.clone()],
            key: &wide[2][rows.clone()],
            value: &wide[3][rows.clone()],
            residual: Some(Residual {
                first: &wide[4][rows.clone()],
                mix: &wide[5][rows],
            }),
            k_k: &weights[0][columns.clone()],
            k_a: &weights[1][columns],
        }
    };
    let all = reference(&shape, &part(0, 60));
    for head in 0..12 {
        let alone = Shape {
            tokens: 1,
            heads: 1,
            ..shape
        };
        let want = reference(&alone, &part(head, 5));
        let own = head * 5..head * 5 + 5;
        assert_eq!(all.decay[own.clone()], want.decay);
        assert_eq!(all.key[own.clone()], want.key);
        assert_eq!(all.value[own.clone()], want.value);
        assert_eq!(all.removal[own.clone()], want.removal);
        assert_eq!(all.erasure[own], want.erasure);
        let norm: f64 = want.removal.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() <= 1e-12);
    }
    let least = (-(-0.5f64).exp()).exp();
    assert!(all.decay.iter().all(|d| (least..=1.0).contains(d)));
}

#[test]
#[should_panic(expected = "where the shape has a residual")]
fn a_later_layer_needs_the_first_one_s_values() {
    let slice: &[f32] = &[0.0; 2];
    let _never = reference(
        &ONE,
        &Inputs {
            decay: slice,
            rate: slice,
            key: slice,
            value: slice,
            residual: None,
            k_k: slice,
            k_a: slice,
        },
    );
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        heads: 2,
        head_dim: 5,
        residual: true,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 6 * 120 + 80,
            written_bytes: 5 * 120,
            f32_flops: 23 * 30,
            ..Cost::default()
        }
    );
    let first = cost(&Shape {
        residual: false,
        ..shape
    });
    assert_eq!((first.read_bytes, first.f32_flops), (4 * 120 + 80, 17 * 30));
}
