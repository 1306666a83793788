//! The operations that several layers share, one function each, in f64.
//!
//! A matrix here has a row for each token. Weights are (out, in), and there are no biases.

use ndarray::{
    Array1, Array2, ArrayBase, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Data, Ix2,
};

/// How many tokens are worked on at once where a row is long: memory is bounded by this, not by the window.
pub(super) const ROWS: usize = 128;

/// y = x W^T.
pub(super) fn linear<S: Data<Elem = f64>>(
    x: &ArrayBase<S, Ix2>,
    weight: &Array2<f64>,
) -> Array2<f64> {
    x.dot(&weight.t())
}

/// Each row divided by the root of its mean square, times the weight.
pub(super) fn rms_norm(x: &Array2<f64>, weight: &Array1<f64>, eps: f64) -> Array2<f64> {
    let mut normed = x.clone();
    for row in normed.rows_mut() {
        rms_norm_row(row, weight, eps);
    }
    normed
}

/// The same within each head: a row is heads side by side, each as long as the weight.
pub(super) fn rms_norm_heads(x: &mut Array2<f64>, weight: &Array1<f64>, eps: f64) {
    for mut row in x.rows_mut() {
        for head in row.exact_chunks_mut(weight.len()) {
            rms_norm_row(head, weight, eps);
        }
    }
}

fn rms_norm_row(mut row: ArrayViewMut1<'_, f64>, weight: &Array1<f64>, eps: f64) {
    let mean_square = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
    let scale = 1.0 / (mean_square + eps).sqrt();
    row.zip_mut_with(weight, |x, w| *x *= scale * w);
}

/// 1 / (1 + e^-x).
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// x sigmoid(x).
pub(super) fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// ln(1 + e^x), without the overflow of e^x.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// -ln of the share of one element's e^x in the sum of all.
///
/// Differences to the largest are taken first: that is a distribution at any scale. Where all logits are 1e20, the logarithm of their number
/// would be lost beside them, and whatever comes would have been foretold for nothing.
pub(super) fn surprise(row: ArrayView1<'_, f64>, target: usize) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (largest - row[target]) + row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// e^x over the sum of e^x.
pub(super) fn softmax(mut row: ArrayViewMut1<'_, f64>) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.mapv_inplace(|x| (x - largest).exp());
    let sum = row.sum();
    row.mapv_inplace(|x| x / sum);
}

/// Turns channel i of each head with channel i + `head_dim` / 2 by position * base^(-2i / `head_dim`); the first row is position 0.
pub(super) fn rope(x: &mut Array2<f64>, head_dim: usize, base: f64) {
    let half = head_dim / 2;
    for (position, mut row) in x.rows_mut().into_iter().enumerate() {
        for i in 0..half {
            let angle = position as f64 * base.powf(-2.0 * i as f64 / head_dim as f64);
            let (sin, cos) = angle.sin_cos();
            for mut head in row.exact_chunks_mut(head_dim) {
                let (a, b) = (head[i], head[i + half]);
                head[i] = a * cos - b * sin;
                head[i + half] = a * sin + b * cos;
            }
        }
    }
}

/// One head of attention: each query looks at the keys up to its own place, or at the last `span` of them, itself included.
///
/// # Shape
/// All are (tokens, `head_dim`).
pub(super) fn attend(
    q: ArrayView2<'_, f64>,
    k: ArrayView2<'_, f64>,
    v: ArrayView2<'_, f64>,
    span: usize,
    mut out: ArrayViewMut2<'_, f64>,
) {
    let (tokens, head_dim) = q.dim();
    let first_seen = |at: usize| (at + 1).saturating_sub(span);
    for start in (0..tokens).step_by(ROWS) {
        let end = tokens.min(start + ROWS);
        let from = first_seen(start);
        let q = q.slice(ndarray::s![start..end, ..]);
        let k = k.slice(ndarray::s![from..end, ..]);
        let v = v.slice(ndarray::s![from..end, ..]);
        let mut shares = q.dot(&k.t()) / (head_dim as f64).sqrt(); // (queries, keys)
        for (mut row, at) in shares.rows_mut().into_iter().zip(start..) {
            let seen = first_seen(at) - from..at + 1 - from;
            softmax(row.slice_mut(ndarray::s![seen.clone()]));
            row.slice_mut(ndarray::s![..seen.start]).fill(0.0);
            row.slice_mut(ndarray::s![seen.end..]).fill(0.0);
        }
        out.slice_mut(ndarray::s![start..end, ..])
            .assign(&shares.dot(&v));
    }
}
