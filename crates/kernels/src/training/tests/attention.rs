//! Against f64: grouped heads, windows, several sequences, positions that are no whole vectors or blocks.

use ops::attention::backward::{self, Shape};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{AttentionKept, AttentionShape, Into, attention, attention_backward};

/// (sequences, positions, heads, `kv_heads`, `head_dim`, window)
const SHAPES: [(usize, usize, usize, usize, usize, Option<usize>); 9] = [
    (1, 1, 1, 1, 16, None),
    (2, 17, 1, 1, 32, None),
    (3, 33, 4, 2, 16, None),
    (1, 100, 6, 1, 48, None),
    (2, 64, 2, 2, 64, Some(1)),
    (1, 71, 3, 3, 16, Some(5)),
    (2, 90, 4, 2, 32, Some(37)),
    (1, 40, 2, 1, 16, Some(1000)),
    (1, 130, 2, 2, 128, Some(64)),
];
const TOLERANCE: f64 = 3e-6;

/// In f64: result, log-sums, gradients of queries, keys and values.
fn wanted(shape: &AttentionShape, operands: [&[f32]; 3], d_out: &[f32]) -> [Vec<f64>; 5] {
    let one = Shape {
        tokens: shape.positions,
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        head_dim: shape.head_dim,
        scale: shape.scale,
        window: shape.window,
    };
    let mut want: [Vec<f64>; 5] = Default::default();
    for sequence in 0..shape.sequences {
        let of = |values: &'_ [f32]| {
            let len = values.len() / shape.sequences;
            values[sequence * len..][..len].to_vec()
        };
        let [q, k, v] = operands.map(of);
        let forward = backward::forward(&one, &q, &k, &v);
        let gradients = backward::reference(&one, &q, &k, &v, &of(d_out));
        let results = [
            forward.out,
            forward.log_sum_exp,
            gradients.q,
            gradients.k,
            gradients.v,
        ];
        for (want, result) in want.iter_mut().zip(results) {
            want.extend(result);
        }
    }
    want
}

#[test]
fn results_and_gradients_are_near_f64() {
    for (sequences, positions, heads, kv_heads, head_dim, window) in SHAPES {
        let shape = AttentionShape {
            sequences,
            positions,
            heads,
            kv_heads,
            head_dim,
            window,
            scale: 1.0 / (head_dim as f32).sqrt(),
        };
        let (q, k, v) = (
            normal(1, shape.queries()),
            normal(2, shape.keys()),
            normal(3, shape.keys()),
        );
        let d_out = normal(4, shape.queries());
        let want = wanted(&shape, [&q, &k, &v], &d_out);
        for into in BOTH {
            let got = everywhere(
                |threads| shape.scratch(threads),
                |machine| {
                    let (mut out, mut log_sums) =
                        (vec![f32::NAN; q.len()], vec![f32::NAN; shape.log_sums()]);
                    attention(machine, &shape, (&q, &k, &v), &mut out, &mut log_sums);
                    let [mut d_q, mut d_k, mut d_v] = [&q, &k, &v].map(|x| before(into, x.len()));
                    let kept = AttentionKept {
                        operands: (&q, &k, &v),
                        out: &out,
                        log_sums: &log_sums,
                    };
                    let gradients =
                        [&mut d_q, &mut d_k, &mut d_v].map(|values| (&mut values[..], into));
                    attention_backward(machine, &shape, &kept, &d_out, gradients);
                    [out, log_sums, d_q, d_k, d_v]
                },
            );
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let (name, into) = [
                    ("out", Into::Set),
                    ("log-sums", Into::Set),
                    ("dq", into),
                    ("dk", into),
                    ("dv", into),
                ][i];
                if (window == Some(1) || positions == 1) && ["dq", "dk"].contains(&name) {
                    // One key has all the weight, whatever its score.
                    assert!(want.iter().all(|d| d.abs() < 1e-12));
                    continue;
                }
                assert_near(name, into, got, want, TOLERANCE);
            }
        }
    }
}
