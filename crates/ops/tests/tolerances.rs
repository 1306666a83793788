//! Every tolerance can be met by plain f32 code on its own case table, and is not so wide that a wrong answer passes.

use ops::{
    Case, Dtype, activation, attention, dequantize,
    glu::{self, Activation},
    input, matmul, relative_error, rms_norm, softcap,
};

/// Sums as a vector kernel does: 16 lanes, then the lanes.
fn lanes(products: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (i, product) in products.enumerate() {
        lanes[i % 16] += product;
    }
    lanes.iter().sum()
}

#[test]
fn matmul_in_f32_lanes_and_in_integers() {
    for Case { name, shape } in matmul::cases() {
        let matmul::Shape {
            tokens,
            inputs,
            outputs,
            dtype,
        } = shape;
        let weights = input::weights(1, dtype, inputs * outputs);
        let x = input::normal(2, tokens * inputs);
        let want = matmul::reference(&shape, &weights, &x).unwrap();
        let mut decoded = vec![0.0f32; inputs * outputs];
        dequantize::dequantize(dtype, &weights, &mut decoded).unwrap();
        let mut got = Vec::new();
        for x in x.chunks_exact(inputs) {
            got.extend(
                decoded
                    .chunks_exact(inputs)
                    .map(|row| lanes(row.iter().zip(x).map(|(w, x)| w * x))),
            );
        }
        let error = relative_error(&got, &want);
        assert!(error <= matmul::TOLERANCE, "{name} {dtype}: {error:e}");
        if dtype.block_len() > 1 {
            let rounded: Vec<f32> = matmul::reference_int8(&shape, &weights, &x)
                .unwrap()
                .iter()
                .map(|&y| y as f32)
                .collect();
            // A single output may be near zero by chance; then only its share of the operands' norms says anything.
            if want.len() >= 5 {
                let error = relative_error(&rounded, &want);
                assert!(error <= matmul::TOLERANCE_INT8, "{name} {dtype}: {error:e}");
            }
        }
        if let Some(last) = got.last_mut() {
            *last += 0.01;
        }
        assert!(
            relative_error(&got, &want) > matmul::TOLERANCE,
            "{name} {dtype}: a wrong output passed"
        );
    }
}

#[test]
fn attention_in_f32() {
    for Case { name, shape } in attention::cases() {
        let attention::Shape {
            tokens,
            depth,
            heads,
            kv_heads,
            head_dim,
            ..
        } = shape;
        let q = input::normal(1, tokens * heads * head_dim);
        let k = input::normal(2, (depth + tokens) * kv_heads * head_dim);
        let v = input::normal(3, k.len());
        let gate = shape.gated.then(|| input::normal(4, q.len()));
        let want = attention::reference(&shape, &q, &k, &v, gate.as_deref());
        let mut got = Vec::new();
        for (i, q) in q.chunks_exact(head_dim).enumerate() {
            let (position, kv_head) = (depth + i / heads, i % heads / (heads / kv_heads));
            let row = |cache: &[f32], j: usize| {
                cache[(j * kv_heads + kv_head) * head_dim..][..head_dim].to_vec()
            };
            let visible = shape.first_visible(position)..=position;
            let scores: Vec<f32> = visible
                .clone()
                .map(|j| {
                    let score = lanes(q.iter().zip(row(&k, j)).map(|(q, k)| q * k)) * shape.scale;
                    shape
                        .softcap
                        .map_or(score, |cap| cap * (score / cap).tanh())
                })
                .collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f32 = weights.iter().sum();
            let mut out = vec![0.0f32; head_dim];
            for (j, weight) in visible.zip(weights) {
                out.iter_mut()
                    .zip(row(&v, j))
                    .for_each(|(out, v)| *out += weight * v);
            }
            out.iter_mut().for_each(|out| *out /= total);
            got.extend(out);
        }
        if let Some(gate) = gate {
            got.iter_mut()
                .zip(gate)
                .for_each(|(out, gate)| *out /= 1.0 + (-gate).exp());
        }
        let error = relative_error(&got, &want);
        assert!(error <= attention::TOLERANCE, "{name}: {error:e}");
    }
}

#[test]
fn elementwise_operations_in_f32() {
    for Case { name, shape } in rms_norm::cases() {
        let (x, weight) = (
            input::normal(1, shape.rows * shape.width),
            input::normal(2, shape.width),
        );
        let mut got = Vec::new();
        for row in x.chunks_exact(shape.width) {
            let factor =
                1.0 / (lanes(row.iter().map(|x| x * x)) / shape.width as f32 + shape.eps).sqrt();
            got.extend(row.iter().zip(&weight).map(|(x, w)| x * factor * w));
        }
        let error = relative_error(&got, &rms_norm::reference(&shape, &x, &weight));
        assert!(error <= rms_norm::TOLERANCE, "{name}: {error:e}");
    }
    for Case { name, shape } in glu::cases() {
        let (gate, up) = (
            input::normal(1, shape.tokens * shape.width),
            input::normal(2, shape.tokens * shape.width),
        );
        let activation = |x: f32| match shape.activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => x / (1.0 + (-1.595_769 * (x + 0.044_715 * x * x * x)).exp()),
        };
        let gated = gate.iter().zip(&up).map(|(&g, u)| activation(g) * u);
        let got: Vec<f32> = gated.collect();
        let error = relative_error(&got, &glu::reference(&shape, &gate, &up));
        assert!(error <= glu::TOLERANCE, "{name}: {error:e}");
    }
    for Case { name, shape } in softcap::cases() {
        let x: Vec<f32> = input::normal(1, shape.len)
            .iter()
            .map(|x| x * shape.cap)
            .collect();
        let got: Vec<f32> = x
            .iter()
            .map(|x| shape.cap * (x / shape.cap).tanh())
            .collect();
        let error = relative_error(&got, &softcap::reference(&shape, &x));
        assert!(error <= softcap::TOLERANCE, "{name}: {error:e}");
    }
}

#[test]
fn case_tables_fit_their_formats() {
    for Case { name, shape } in matmul::cases() {
        assert!(
            shape.dtype.block_len() == 1 || shape.inputs.is_multiple_of(activation::BLOCK),
            "{name}: rounded activations need whole blocks"
        );
    }
    for Case { name, shape } in activation::cases() {
        assert!(shape.width.is_multiple_of(activation::BLOCK), "{name}");
    }
    assert!(Dtype::ALL.iter().all(|&dtype| {
        ops::embed::cases()
            .iter()
            .any(|case| case.shape.dtype == dtype)
    }));
}
