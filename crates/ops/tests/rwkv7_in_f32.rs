//! RWKV-7's operations in plain f32 meet their tolerances on their own case tables, the recurrence in both of its forms.

use ops::{
    Case, input, layer_norm, pointwise, relative_error, token_shift, wkv7, wkv7_gates, wkv7_output,
};

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// One group, without weights.
fn normed(x: &[f32], eps: f32) -> Vec<f32> {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    let squares: f32 = x.iter().map(|x| (x - mean) * (x - mean)).sum();
    let factor = 1.0 / (squares / x.len() as f32 + eps).sqrt();
    x.iter().map(|x| (x - mean) * factor).collect()
}

#[test]
fn norms_shifts_and_functions() {
    for Case { name, shape } in layer_norm::cases() {
        let columns = shape.groups * shape.width;
        let x = input::normal(1, shape.rows * columns);
        let (weight, bias) = (input::normal(2, columns), input::normal(3, columns));
        let got: Vec<f32> = x
            .chunks_exact(shape.width)
            .flat_map(|x| normed(x, shape.eps))
            .enumerate()
            .map(|(i, y)| y * weight[i % columns] + bias[i % columns])
            .collect();
        let want = layer_norm::reference(&shape, &x, &weight, &bias);
        let error = relative_error(&got, &want);
        assert!(error <= layer_norm::TOLERANCE, "{name}: {error:e}");
    }
    for Case { name, shape } in token_shift::cases() {
        let width = shape.width;
        let x = input::normal(1, shape.tokens * width);
        let mu = input::uniform(2, shape.mixtures * width, 0.0, 1.0);
        let state = input::normal(3, width);
        let before = [state.clone(), x.clone()].concat();
        let got: Vec<f32> = mu
            .chunks_exact(width)
            .flat_map(|mu| {
                let mixed = x.iter().zip(&before).zip(mu.iter().cycle());
                mixed.map(|((x, before), mu)| x + (before - x) * mu)
            })
            .collect();
        let want = token_shift::reference(&shape, &x, &mu, &mut state.clone());
        let error = relative_error(&got, &want);
        assert!(error <= token_shift::TOLERANCE, "{name}: {error:e}");
    }
    for Case { name, shape } in pointwise::cases() {
        let x = input::normal(1, shape.tokens * shape.width);
        let got: Vec<f32> = x
            .iter()
            .map(|&x| match shape.function {
                pointwise::Function::Tanh => x.tanh(),
                pointwise::Function::Sigmoid => sigmoid(x),
                pointwise::Function::SquaredRelu => x.max(0.0) * x.max(0.0),
                pointwise::Function::SoftCap(cap) => cap * (x / cap).tanh(),
            })
            .collect();
        let error = relative_error(&got, &pointwise::reference(&shape, &x));
        assert!(error <= pointwise::TOLERANCE, "{name}: {error:e}");
    }
}

#[test]
fn gates() {
    for Case { name, shape } in wkv7_gates::cases() {
        let columns = shape.heads * shape.head_dim;
        let all: Vec<Vec<f32>> = (1..7)
            .map(|seed| input::normal(seed, shape.tokens * columns))
            .collect();
        let (k_k, k_a) = (input::normal(7, columns), input::normal(8, columns));
        let [decay, rate, key, value, first, mix] = [0, 1, 2, 3, 4, 5].map(|i| &all[i][..]);
        let mut got = [const { Vec::<f32>::new() }; 5];
        for (i, scaled) in key
            .iter()
            .enumerate()
            .map(|(i, k)| k * k_k[i % columns])
            .collect::<Vec<_>>()
            .chunks_exact(shape.head_dim)
            .enumerate()
        {
            let norm = scaled.iter().map(|k| k * k).sum::<f32>().sqrt().max(1e-12);
            for (channel, scaled) in scaled.iter().enumerate() {
                let at = i * shape.head_dim + channel;
                let a = sigmoid(rate[at]);
                let moved = value[at] + (first[at] - value[at]) * sigmoid(mix[at]);
                got[0].push((-0.606_530_66 * sigmoid(decay[at])).exp());
                got[1].push(key[at] * (1.0 + (a - 1.0) * k_a[at % columns]));
                got[2].push(if shape.residual { moved } else { value[at] });
                got[3].push(scaled / norm);
                got[4].push(a * (scaled / norm));
            }
        }
        let inputs = wkv7_gates::Inputs {
            decay,
            rate,
            key,
            value,
            residual: shape
                .residual
                .then_some(wkv7_gates::Residual { first, mix }),
            k_k: &k_k,
            k_a: &k_a,
        };
        let want = wkv7_gates::reference(&shape, &inputs);
        for (got, want) in
            got.iter()
                .zip([want.decay, want.key, want.value, want.removal, want.erasure])
        {
            let error = relative_error(got, &want);
            assert!(error <= wkv7_gates::TOLERANCE, "{name}: {error:e}");
        }
    }
}

/// A token's six vectors of one head.
struct Token<'a> {
    receptance: &'a [f32],
    decay: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    removal: &'a [f32],
    erasure: &'a [f32],
}

/// Updates the state, then reads it.
fn read_after(state: &mut [f32], token: &Token<'_>) -> Vec<f32> {
    let width = token.value.len();
    let (mut held, mut y) = (vec![0.0f32; width], vec![0.0f32; width]);
    for (row, removal) in state.chunks_exact(width).zip(token.removal) {
        held.iter_mut()
            .zip(row)
            .for_each(|(u, s)| *u += removal * s);
    }
    for (i, row) in state.chunks_exact_mut(width).enumerate() {
        for (column, s) in row.iter_mut().enumerate() {
            *s = token.decay[i] * *s - token.erasure[i] * held[column]
                + token.key[i] * token.value[column];
            y[column] += token.receptance[i] * *s;
        }
    }
    y
}

/// Reads the state once, before the update.
fn read_before(state: &mut [f32], token: &Token<'_>) -> Vec<f32> {
    let width = token.value.len();
    let (mut held, mut y) = (vec![0.0f32; width], vec![0.0f32; width]);
    for (i, row) in state.chunks_exact(width).enumerate() {
        for (column, s) in row.iter().enumerate() {
            held[column] += token.removal[i] * s;
            y[column] += token.decay[i] * token.receptance[i] * s;
        }
    }
    let dot = |x: &[f32]| -> f32 { x.iter().zip(token.receptance).map(|(x, r)| x * r).sum() };
    let (erased, written) = (dot(token.erasure), dot(token.key));
    for (i, row) in state.chunks_exact_mut(width).enumerate() {
        for (column, s) in row.iter_mut().enumerate() {
            *s = token.decay[i] * *s - token.erasure[i] * held[column]
                + token.key[i] * token.value[column];
        }
    }
    for (column, y) in y.iter_mut().enumerate() {
        *y += written * token.value[column] - erased * held[column];
    }
    y
}

#[test]
fn the_recurrence_in_both_forms() {
    for Case { name, shape } in wkv7::cases() {
        let (heads, dim) = (shape.heads, shape.head_dim);
        let len = shape.tokens * heads * dim;
        let (receptance, key, value) = (
            input::normal(1, len),
            input::normal(2, len),
            input::normal(3, len),
        );
        let decay = input::uniform(4, len, 0.55, 1.0);
        let removal: Vec<f32> = input::normal(5, len)
            .chunks_exact(dim)
            .flat_map(|k| {
                let norm = k.iter().map(|k| k * k).sum::<f32>().sqrt();
                k.iter().map(|k| k / norm).collect::<Vec<_>>()
            })
            .collect();
        let rates = input::uniform(6, len, 0.0, 1.0);
        let erasure: Vec<f32> = removal.iter().zip(rates).map(|(k, a)| k * a).collect();
        let start = input::normal(7, heads * dim * dim);
        let inputs = wkv7::Inputs {
            receptance: &receptance,
            decay: &decay,
            key: &key,
            value: &value,
            removal: &removal,
            erasure: &erasure,
        };
        let mut want_state: Vec<f64> = start.iter().map(|&s| f64::from(s)).collect();
        let want = wkv7::reference(&shape, &inputs, &mut want_state);
        for advance in [read_after, read_before] {
            let (mut state, mut got) = (start.clone(), vec![0.0; len]);
            for at in (0..len).step_by(dim) {
                let state = &mut state[at / dim % heads * dim * dim..][..dim * dim];
                let token = Token {
                    receptance: &receptance[at..][..dim],
                    decay: &decay[at..][..dim],
                    key: &key[at..][..dim],
                    value: &value[at..][..dim],
                    removal: &removal[at..][..dim],
                    erasure: &erasure[at..][..dim],
                };
                got[at..][..dim].copy_from_slice(&advance(state, &token));
            }
            for (got, want) in [(&got, &want), (&state, &want_state)] {
                let error = relative_error(got, want);
                assert!(error <= wkv7::TOLERANCE, "{name}: {error:e}");
            }
        }
    }
}

#[test]
fn norm_bonus_and_gate() {
    for Case { name, shape } in wkv7_output::cases() {
        let columns = shape.heads * shape.head_dim;
        let all: Vec<Vec<f32>> = (1..6)
            .map(|seed| input::normal(seed, shape.tokens * columns))
            .collect();
        let vectors: Vec<Vec<f32>> = (6..9).map(|seed| input::normal(seed, columns)).collect();
        let inputs = wkv7_output::Inputs {
            y: &all[0],
            receptance: &all[1],
            key: &all[2],
            value: &all[3],
            gate: &all[4],
            weight: &vectors[0],
            bias: &vectors[1],
            r_k: &vectors[2],
        };
        let mut got = Vec::new();
        for at in (0..shape.tokens * columns).step_by(shape.head_dim) {
            let part = at..at + shape.head_dim;
            let bonus: f32 = part
                .clone()
                .map(|i| inputs.receptance[i] * inputs.key[i] * inputs.r_k[i % columns])
                .sum();
            for (i, y) in part.clone().zip(normed(&inputs.y[part], shape.eps)) {
                let y = y * inputs.weight[i % columns] + inputs.bias[i % columns];
                got.push((y + bonus * inputs.value[i]) * inputs.gate[i]);
            }
        }
        let error = relative_error(&got, &wkv7_output::reference(&shape, &inputs));
        assert!(error <= wkv7_output::TOLERANCE, "{name}: {error:e}");
    }
}
