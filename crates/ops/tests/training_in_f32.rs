//! The loss and the optimizers in plain f32 meet their tolerances on their own case tables, and a wrong step does not.

use ops::{Case, adamw, cross_entropy, input, muon, relative_error};

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// The capped logits of one token.
fn logits(shape: &cross_entropy::Shape, hidden: &[f32], weights: &[f32]) -> Vec<f32> {
    weights
        .chunks_exact(shape.width)
        .map(|row| {
            let logit: f32 = row.iter().zip(hidden).map(|(w, h)| w * h).sum();
            shape
                .softcap
                .map_or(logit, |cap| cap * (logit / cap).tanh())
        })
        .collect()
}

#[test]
fn cross_entropy_forwards_and_backwards() {
    for Case { name, shape } in cross_entropy::cases() {
        let hidden = input::normal(1, shape.tokens * shape.width);
        let weights: Vec<f32> = input::normal(2, shape.vocabulary * shape.width)
            .iter()
            .map(|w| 0.05 * w)
            .collect();
        let targets: Vec<Option<u32>> = (0..shape.tokens as u32)
            .map(|t| (t % 4 != 1).then_some(t * 31 % shape.vocabulary as u32))
            .collect();
        let counted = targets.iter().flatten().count() as f32;
        let want = cross_entropy::reference(&shape, &hidden, &weights, &targets);
        let gradients = cross_entropy::backward::reference(&shape, &hidden, &weights, &targets);
        let mut losses = Vec::new();
        let mut dhidden = vec![0.0f32; hidden.len()];
        let mut dweights = vec![0.0f32; weights.len()];
        for (t, target) in targets.iter().enumerate() {
            let Some(target) = target.map(|target| target as usize) else {
                continue;
            };
            let at = t * shape.width..(t + 1) * shape.width;
            let z = logits(&shape, &hidden[at.clone()], &weights);
            let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = z.iter().map(|z| (z - largest).exp()).sum();
            losses.push(largest + sum.ln() - z[target]);
            for (i, z) in z.iter().enumerate() {
                let wanted = if i == target { 1.0 } else { 0.0 };
                let slope = shape.softcap.map_or(1.0, |cap| 1.0 - (z / cap).powi(2));
                let dz = ((z - largest).exp() / sum - wanted) / counted * slope;
                let row = i * shape.width..(i + 1) * shape.width;
                for (at, row) in at.clone().zip(row) {
                    dhidden[at] += dz * weights[row];
                    dweights[row] += dz * hidden[at];
                }
            }
        }
        let per_token: Vec<f64> = want.per_token.into_iter().flatten().collect();
        let error = relative_error(&losses, &per_token);
        assert!(error <= cross_entropy::TOLERANCE, "{name}: {error:e}");
        let error = relative_error(&dhidden, &gradients.hidden)
            .max(relative_error(&dweights, &gradients.weights));
        assert!(
            error <= cross_entropy::backward::TOLERANCE,
            "{name}: {error:e}"
        );
    }
}

#[test]
fn adamw_in_f32() {
    for Case { name, shape } in adamw::cases() {
        let gradient = input::normal(1, shape.len);
        for spread in [0.0, 0.02] {
            let scaled = |seed, scale: f32| -> Vec<f32> {
                let x = input::normal(seed, shape.len);
                x.iter().map(|x| scale * x).collect()
            };
            let (parameters, mean) = (scaled(2, spread), scaled(3, 0.3));
            let square: Vec<f32> = scaled(4, 1.0).iter().map(|x| x * x).collect();
            let (mut p, mut m, mut v) = (wide(&parameters), wide(&mean), wide(&square));
            adamw::reference(&shape, &gradient, &mut p, &mut m, &mut v);
            let step = |beta: f64| 1.0 - beta.powi(shape.step as i32);
            let size = (shape.learning_rate / step(shape.beta1)) as f32;
            let root = (1.0 / step(shape.beta2).sqrt()) as f32;
            let decay = (1.0 - shape.learning_rate * shape.weight_decay) as f32;
            let (stays, new) = (shape.beta1 as f32, (1.0 - shape.beta1) as f32);
            let (square_stays, square_new) = (shape.beta2 as f32, (1.0 - shape.beta2) as f32);
            let mut got = (Vec::new(), Vec::new(), Vec::new());
            for (i, g) in gradient.iter().enumerate() {
                let m = stays * mean[i] + new * g;
                let v = square_stays * square[i] + square_new * g * g;
                let move_by = size * m / (v.sqrt() * root + shape.eps as f32);
                got.0.push(parameters[i] * decay - move_by);
                got.1.push(m);
                got.2.push(v);
            }
            for (got, want) in [(&got.0, &p), (&got.1, &m), (&got.2, &v)] {
                let error = relative_error(got, want);
                assert!(error <= adamw::TOLERANCE, "{name}: {error:e}");
            }
            let late = adamw::Shape {
                step: shape.step + 1,
                ..shape
            };
            let (mut other, mut m, mut v) = (wide(&parameters), wide(&mean), wide(&square));
            adamw::reference(&late, &gradient, &mut other, &mut m, &mut v);
            if spread == 0.0 && shape.step <= 10 {
                let error = relative_error(&narrow(&other), &p);
                assert!(error > adamw::TOLERANCE, "{name}: a wrong step passed");
            }
        }
    }
}

/// `X Y^T` in f32.
fn product_with_transpose(inner: usize, x: &[f32], y: &[f32]) -> Vec<f32> {
    let rows = x.chunks_exact(inner);
    rows.flat_map(|x| {
        y.chunks_exact(inner)
            .map(|y| x.iter().zip(y).map(|(x, y)| x * y).sum())
            .collect::<Vec<f32>>()
    })
    .collect()
}

fn transposed(columns: usize, x: &[f32]) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| x.iter().skip(column).step_by(columns).copied())
        .collect()
}

/// Of a matrix with no more rows than columns.
fn newton_schulz(rows: usize, columns: usize, matrix: &[f32]) -> Vec<f32> {
    let [a, b, c] = muon::COEFFICIENTS.map(|c| c as f32);
    let norm = matrix.iter().map(|x| x * x).sum::<f32>().sqrt() + muon::EPS as f32;
    let mut x: Vec<f32> = matrix.iter().map(|x| x / norm).collect();
    for _ in 0..muon::ITERATIONS {
        let gram = product_with_transpose(columns, &x, &x);
        let square = product_with_transpose(rows, &gram, &gram);
        let polynomial: Vec<f32> = gram
            .iter()
            .zip(square)
            .map(|(g, s)| b * g + c * s)
            .collect();
        let through = product_with_transpose(rows, &polynomial, &transposed(columns, &x));
        x.iter_mut()
            .zip(through)
            .for_each(|(x, through)| *x = a * *x + through);
    }
    x
}

#[test]
fn muon_in_f32() {
    for Case { name, shape } in muon::cases() {
        let (rows, columns, len) = (shape.rows, shape.columns, shape.rows * shape.columns);
        let (gradient, momentum) = (input::normal(1, len), input::normal(2, len));
        let beta = shape.beta as f32;
        let mix = |m: &f32, g: &f32| beta * m + (1.0 - beta) * g;
        let mixed =
            |m: &[f32]| -> Vec<f32> { m.iter().zip(&gradient).map(|(m, g)| mix(m, g)).collect() };
        let new_momentum = mixed(&momentum);
        let ahead = mixed(&new_momentum);
        let update = if rows > columns {
            let flat = newton_schulz(columns, rows, &transposed(columns, &ahead));
            transposed(rows, &flat)
        } else {
            newton_schulz(rows, columns, &ahead)
        };
        let size = (shape.learning_rate * (rows as f64 / columns as f64).max(1.0).sqrt()) as f32;
        let got: Vec<f32> = update.iter().map(|update| -size * update).collect();
        let (mut p, mut m) = (vec![0.0; len], wide(&momentum));
        muon::reference(&shape, &gradient, &mut p, &mut m);
        let error = relative_error(&got, &p).max(relative_error(&new_momentum, &m));
        assert!(error <= muon::TOLERANCE, "{name}: {error:e}");
        let wrong: Vec<f32> = got.iter().map(|x| x * 1.001).collect();
        assert!(relative_error(&wrong, &p) > muon::TOLERANCE, "{name}");
    }
}
