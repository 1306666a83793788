//! Softmax by hand, and what a mask, a window, a gate and a split into calls must not change.

use super::*;
use crate::input;

const SMALL: Shape = Shape {
    tokens: 1,
    depth: 1,
    heads: 2,
    kv_heads: 1,
    head_dim: 1,
    scale: 2.0,
    window: None,
    softcap: None,
    gated: false,
};

struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    gate: Option<Vec<f32>>,
}

fn inputs(shape: &Shape) -> Inputs {
    let (queries, cached) = (
        shape.heads * shape.head_dim,
        shape.kv_heads * shape.head_dim,
    );
    Inputs {
        q: input::normal(1, shape.tokens * queries),
        k: input::normal(2, (shape.depth + shape.tokens) * cached),
        v: input::normal(3, (shape.depth + shape.tokens) * cached),
        gate: shape
            .gated
            .then(|| input::normal(4, shape.tokens * queries)),
    }
}

fn near(got: &[f64], want: &[f64]) -> bool {
    got.len() == want.len()
        && got
            .iter()
            .zip(want)
            .all(|(got, want)| (got - want).abs() <= 1e-12)
}

#[test]
fn two_positions_by_hand() {
    // Scores 2 * q * k: head 0 has 0 and 2 ln 3, head 1 sees both alike.
    let ln3 = 3f32.ln();
    let y = reference(&SMALL, &[ln3, 0.0], &[0.0, 1.0], &[10.0, 20.0], None);
    assert!((y[0] - 19.0).abs() <= 1e-5 && y[1] == 15.0, "{y:?}");
    let gated = Shape {
        gated: true,
        ..SMALL
    };
    let y = reference(
        &gated,
        &[ln3, 0.0],
        &[0.0, 1.0],
        &[10.0, 20.0],
        Some(&[1000.0, 0.0]),
    );
    assert!((y[0] - 19.0).abs() <= 1e-5 && y[1] == 7.5, "{y:?}");
    let capped = Shape {
        softcap: Some(1e-9),
        ..SMALL
    };
    let y = reference(&capped, &[ln3, 0.0], &[0.0, 1.0], &[10.0, 20.0], None);
    assert!(
        (y[0] - 15.0).abs() <= 1e-7,
        "a tiny cap levels all scores: {y:?}"
    );
}

#[test]
fn tokens_do_not_see_what_comes_after_them() {
    let shape = Shape {
        tokens: 5,
        depth: 3,
        head_dim: 4,
        ..SMALL
    };
    let Inputs {
        q, mut k, mut v, ..
    } = inputs(&shape);
    let before = reference(&shape, &q, &k, &v, None);
    (k[7 * 4], v[7 * 4]) = (100.0, 100.0);
    let after = reference(&shape, &q, &k, &v, None);
    let last = 4 * 2 * 4;
    assert_eq!(before[..last], after[..last]);
    assert_ne!(before[last..], after[last..]);
}

#[test]
fn a_window_is_attention_over_its_positions() {
    for window in [1, 2, 5, 8] {
        let shape = Shape {
            tokens: 1,
            depth: 7,
            head_dim: 4,
            window: Some(window),
            ..SMALL
        };
        let Inputs { q, k, v, .. } = inputs(&shape);
        let cut = (8 - window) * 4;
        let rest = Shape {
            depth: window - 1,
            window: None,
            ..shape
        };
        let want = reference(&rest, &q, &k[cut..], &v[cut..], None);
        assert_eq!(reference(&shape, &q, &k, &v, None), want, "window {window}");
    }
    assert_eq!(
        reference(
            &Shape {
                window: Some(1),
                ..SMALL
            },
            &[1.0, 2.0],
            &[3.0, 4.0],
            &[5.0, 6.0],
            None
        ),
        [6.0, 6.0]
    );
}

#[test]
fn a_call_equals_its_tokens_one_by_one() {
    for Case { name, shape } in cases().into_iter().filter(|case| case.shape.tokens > 1) {
        let Inputs { q, k, v, gate } = inputs(&shape);
        let all = reference(&shape, &q, &k, &v, gate.as_deref());
        let (row, cached) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        for token in 0..shape.tokens {
            let one = Shape {
                tokens: 1,
                depth: shape.depth + token,
                ..shape
            };
            let seen = (one.depth + 1) * cached;
            let own = token * row..(token + 1) * row;
            let gate = gate.as_deref().map(|gate| &gate[own.clone()]);
            let got = reference(&one, &q[own.clone()], &k[..seen], &v[..seen], gate);
            assert!(near(&got, &all[own]), "{name}, token {token}");
        }
    }
}

#[test]
fn huge_scores_do_not_overflow() {
    let y = reference(&SMALL, &[1e30, -1e30], &[1.0, 2.0], &[10.0, 20.0], None);
    assert_eq!(y, [20.0, 10.0]);
}

#[test]
fn visible_pairs_are_those_that_tokens_see() {
    for (tokens, depth) in [(1, 0), (1, 9), (5, 0), (7, 3), (20, 4)] {
        for window in [None, Some(1), Some(4), Some(6), Some(100)] {
            let shape = Shape {
                tokens,
                depth,
                window,
                ..SMALL
            };
            let counted: usize = (depth..depth + tokens)
                .map(|p| p + 1 - shape.first_visible(p))
                .sum();
            assert_eq!(visible_pairs(&shape), counted as u64, "{shape:?}");
        }
    }
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 2,
        depth: 10,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        window: Some(4),
        gated: true,
        ..SMALL
    };
    // Positions 7 to 11 are read: 5 keys and values of 2 heads in f16; both tokens see 4 positions.
    let queries = 2 * 4 * 8 * 4;
    let want = Cost {
        read_bytes: 2 * queries + 5 * 2 * 8 * 2 * 2,
        written_bytes: queries,
        f32_flops: 8 * 4 * (4 * 8 + 4) + 4 * 64,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
}
