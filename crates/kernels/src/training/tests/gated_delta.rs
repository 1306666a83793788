//! Against the recurrence in f64: chunks that are whole and that are not, one token, shared key heads in both maps, strong and no decay.

use ops::gated_delta::{Decay, HeadMap, Inputs, Shape, backward, reference};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{GatedDelta, GatedDeltaShape, Into, gated_delta, gated_delta_backward};

/// (sequences, positions, `key_heads`, `value_heads`, `key_dim`, `value_dim`, map)
const SHAPES: [(usize, usize, usize, usize, usize, usize, HeadMap); 8] = [
    (1, 1, 1, 1, 16, 16, HeadMap::Grouped),
    (2, 5, 1, 1, 16, 32, HeadMap::Grouped),
    (1, 32, 2, 2, 32, 16, HeadMap::Tiled),
    (3, 33, 1, 3, 48, 16, HeadMap::Grouped),
    (1, 64, 2, 4, 16, 48, HeadMap::Tiled),
    (2, 100, 2, 4, 32, 64, HeadMap::Grouped),
    (1, 256, 1, 1, 64, 64, HeadMap::Grouped),
    (1, 70, 1, 1, 256, 128, HeadMap::Grouped),
];
const TOLERANCE: f64 = 5e-6;

/// What a call reads.
struct Case {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    alpha: Vec<f32>,
    log_decay: Vec<f32>,
    beta: Vec<f32>,
    d_out: Vec<f32>,
}

impl Case {
    /// Keys and queries of length 1; decays from nearly none to nearly all.
    fn of(shape: &GatedDeltaShape) -> Self {
        let unit = |seed: u64| -> Vec<f32> {
            let x = normal(seed, shape.keys());
            let heads = x.chunks_exact(shape.key_dim);
            let norm = |head: &[f32]| head.iter().map(|x| x * x).sum::<f32>().sqrt();
            heads
                .flat_map(|head| head.iter().map(move |x| x / norm(head)))
                .collect()
        };
        let sigmoid = |x: &f32| 1.0 / (1.0 + (-x).exp());
        let decays = normal(4, shape.gates());
        let alpha: Vec<f32> = decays.iter().map(|x| sigmoid(&(2.0 + 3.0 * x))).collect();
        Self {
            q: unit(1),
            k: unit(2),
            v: normal(3, shape.values()),
            log_decay: alpha
                .iter()
                .map(|&alpha| f64::from(alpha).ln() as f32)
                .collect(),
            alpha,
            beta: normal(5, shape.gates()).iter().map(sigmoid).collect(),
            d_out: normal(6, shape.values()),
        }
    }

    /// In f64: result, gradients of queries, keys, values, logarithms of decays, beta.
    fn wanted(&self, shape: &GatedDeltaShape) -> [Vec<f64>; 6] {
        let one = Shape {
            tokens: shape.positions,
            key_heads: shape.key_heads,
            value_heads: shape.value_heads,
            key_dim: shape.key_dim,
            value_dim: shape.value_dim,
            head_map: shape.head_map,
            decay: Decay::PerHead,
        };
        let mut want: [Vec<f64>; 6] = Default::default();
        for sequence in 0..shape.sequences {
            let of = |values: &'_ [f32]| {
                let len = values.len() / shape.sequences;
                values[sequence * len..][..len].to_vec()
            };
            let all = [
                &self.q,
                &self.k,
                &self.v,
                &self.alpha,
                &self.beta,
                &self.d_out,
            ];
            let [q, k, v, alpha, beta, d_out] = all.map(|values| of(values));
            let inputs = Inputs {
                q: &q,
                k: &k,
                v: &v,
                alpha: &alpha,
                beta: &beta,
            };
            let mut state = vec![0.0; shape.value_heads * shape.key_dim * shape.value_dim];
            want[0].extend(reference(&one, &inputs, &mut state));
            let gradients = backward::reference(&one, &inputs, &d_out);
            let decays = gradients.alpha.iter().zip(&alpha);
            let of_log = decays.map(|(d, &alpha)| d * f64::from(alpha)).collect();
            let results = [
                gradients.q,
                gradients.k,
                gradients.v,
                of_log,
                gradients.beta,
            ];
            for (want, result) in want[1..].iter_mut().zip(results) {
                want.extend(result);
            }
        }
        want
    }
}

fn compare(shape: &GatedDeltaShape, case: &Case) {
    let want = case.wanted(shape);
    let inputs = GatedDelta {
        q: &case.q,
        k: &case.k,
        v: &case.v,
        log_decay: &case.log_decay,
        beta: &case.beta,
    };
    for into in BOTH {
        let got = everywhere(
            |threads| shape.scratch(threads),
            |machine| {
                let (mut out, mut kept) =
                    (vec![f32::NAN; shape.values()], vec![f32::NAN; shape.kept()]);
                gated_delta(machine, shape, &inputs, &mut out, &mut kept);
                let lengths = [
                    shape.keys(),
                    shape.keys(),
                    shape.values(),
                    shape.gates(),
                    shape.gates(),
                ];
                let mut gradients = lengths.map(|len| before(into, len));
                let to = gradients.each_mut().map(|values| (&mut values[..], into));
                gated_delta_backward(machine, shape, &inputs, &kept, &case.d_out, to);
                let [d_q, d_k, d_v, d_log_decay, d_beta] = gradients;
                [out, d_q, d_k, d_v, d_log_decay, d_beta]
            },
        );
        let names = ["out", "dq", "dk", "dv", "dg", "dbeta"];
        for (i, ((got, want), name)) in got.iter().zip(&want).zip(names).enumerate() {
            if want.iter().all(|&x| x == 0.0) {
                // One token decays nothing.
                assert!(into == Into::Add || got.iter().all(|&x| x == 0.0));
                continue;
            }
            assert_near(
                name,
                if i == 0 { Into::Set } else { into },
                got,
                want,
                TOLERANCE,
            );
        }
    }
}

#[test]
fn results_and_gradients_are_near_f64() {
    for (sequences, positions, key_heads, value_heads, key_dim, value_dim, head_map) in SHAPES {
        let shape = GatedDeltaShape {
            sequences,
            positions,
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            head_map,
        };
        compare(&shape, &Case::of(&shape));
    }
}

#[test]
fn neither_full_memory_nor_none_loses_digits() {
    let shape = GatedDeltaShape {
        sequences: 1,
        positions: 150,
        key_heads: 1,
        value_heads: 2,
        key_dim: 32,
        value_dim: 32,
        head_map: HeadMap::Grouped,
    };
    for alpha in [1.0, 0.999, 1e-3, 1e-12] {
        let mut case = Case::of(&shape);
        case.alpha.fill(alpha);
        case.log_decay.fill(f64::from(alpha).ln() as f32);
        compare(&shape, &case);
    }
}
