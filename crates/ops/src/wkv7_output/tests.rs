//! The order of norm, bonus and gate, and what each of them sees.

use super::*;
use crate::input;

const PAIR: Shape = Shape {
    tokens: 1,
    heads: 1,
    head_dim: 2,
    eps: 0.0,
};

#[test]
fn norm_bonus_and_gate_by_hand() {
    let inputs = Inputs {
        y: &[1.0, 5.0],
        receptance: &[1.0, 2.0],
        key: &[3.0, 4.0],
        value: &[2.0, -1.0],
        gate: &[0.5, 0.0],
        weight: &[10.0, 20.0],
        bias: &[1.0, 1.0],
        r_k: &[1.0, 0.5],
    };
    // The norm is (-9, 21); the bonus 3 + 4.
    assert_eq!(reference(&PAIR, &inputs), [0.5 * (-9.0 + 14.0), 0.0]);
    let open = Inputs {
        gate: &[1.0, 1.0],
        ..inputs
    };
    assert_eq!(reference(&PAIR, &open), [5.0, 14.0]);
}

#[test]
fn a_bonus_is_its_head_s_and_its_token_s() {
    let shape = Shape {
        tokens: 2,
        heads: 2,
        head_dim: 1,
        eps: 1.0,
    };
    // A single channel normalises to its bias.
    let inputs = Inputs {
        y: &[9.0, 8.0, 7.0, 6.0],
        receptance: &[1.0, 2.0, 3.0, 4.0],
        key: &[1.0; 4],
        value: &[1.0, 1.0, 10.0, 10.0],
        gate: &[1.0; 4],
        weight: &[5.0; 2],
        bias: &[0.25, 0.5],
        r_k: &[1.0, -1.0],
    };
    assert_eq!(reference(&shape, &inputs), [1.25, -1.5, 30.25, -39.5]);
}

#[test]
fn without_a_bonus_it_is_the_group_norm() {
    let shape = cases()[1].shape;
    let len = shape.tokens * shape.heads * shape.head_dim;
    let (y, weight, bias) = (
        input::normal(1, len),
        input::normal(2, len / 3),
        input::normal(3, len / 3),
    );
    let (ones, zeros) = (vec![1.0; len], vec![0.0; len]);
    let inputs = Inputs {
        y: &y,
        receptance: &ones,
        key: &ones,
        value: &ones,
        gate: &ones,
        weight: &weight,
        bias: &bias,
        r_k: &zeros[..len / 3],
    };
    let norm = layer_norm::Shape {
        rows: shape.tokens,
        groups: shape.heads,
        width: shape.head_dim,
        eps: shape.eps,
    };
    assert_eq!(
        reference(&shape, &inputs),
        layer_norm::reference(&norm, &y, &weight, &bias)
    );
}

#[test]
#[should_panic(expected = "r_k must be (heads, head_dim)")]
fn a_bonus_needs_its_weights() {
    let pair: &[f32] = &[0.0; 2];
    let _never = reference(
        &PAIR,
        &Inputs {
            y: pair,
            receptance: pair,
            key: pair,
            value: pair,
            gate: pair,
            weight: pair,
            bias: pair,
            r_k: &[],
        },
    );
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        heads: 2,
        head_dim: 5,
        eps: 0.0,
    };
    assert_eq!(
        cost(&shape),
        Cost {
            read_bytes: 5 * 120 + 3 * 40,
            written_bytes: 120,
            f32_flops: 13 * 30,
            ..Cost::default()
        }
    );
}
