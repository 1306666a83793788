//! A gated delta layer: short convolutions, then for each head a matrix that forgets a little and is corrected by each token.
//!
//! # Source
//! Yang et al. 2024, "Gated Delta Networks: Improving Mamba2 with Delta Rule".

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, s};

use super::configuration::Configuration;
use super::flaw::Flaw;
use super::operations::{linear, rms_norm_heads, sigmoid, silu, softplus};
use super::tensors::Tensors;

const TAPS: usize = 4;
/// Of the lengths of queries and keys.
const EPS: f64 = 1e-6;

/// Its weights.
#[derive(Debug)]
pub(super) struct GatedDelta {
    q: Convolved,
    k: Convolved,
    v: Convolved,
    a: Array2<f64>,
    b: Array2<f64>,
    a_log: Array1<f64>,
    dt_bias: Array1<f64>,
    gate: Array2<f64>,
    norm: Array1<f64>,
    norm_eps: f64,
    output: Array2<f64>,
}

/// A projection with the convolution behind it.
#[derive(Debug)]
struct Convolved {
    projection: Array2<f64>,
    /// (channels, taps)
    taps: Array2<f64>,
}

impl GatedDelta {
    /// Those of layer `prefix`.
    pub(super) fn take(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        of: &Configuration,
    ) -> Result<Self, Flaw> {
        let (width, inner, heads) = (of.width, of.inner(), of.heads);
        let mut matrix = |name: &str, rows, columns| {
            tensors.matrix(&format!("{prefix}delta_{name}.weight"), rows, columns)
        };
        let mut convolved = |name: &str| {
            Ok(Convolved {
                projection: matrix(name, inner, width)?,
                taps: matrix(&format!("conv_{name}"), inner, TAPS)?,
            })
        };
        let [q, k, v] = [convolved("q")?, convolved("k")?, convolved("v")?];
        let [a, b] = [matrix("a", heads, width)?, matrix("b", heads, width)?];
        let [gate, output] = [
            matrix("gate", inner, width)?,
            matrix("output", width, inner)?,
        ];
        let mut vector = |name, length| tensors.vector(&format!("{prefix}{name}"), length);
        let [a_log, dt_bias] = [
            vector("delta_a_log", heads)?,
            vector("delta_dt_bias", heads)?,
        ];
        let norm = vector("delta_norm.weight", of.head_dim)?;
        Ok(Self {
            q,
            k,
            v,
            a,
            b,
            a_log,
            dt_bias,
            gate,
            norm,
            norm_eps: of.eps,
            output,
        })
    }

    /// What it adds.
    ///
    /// # Shape
    /// (tokens, width), both.
    pub(super) fn forward(&self, h: &Array2<f64>, of: &Configuration) -> Array2<f64> {
        let mut q = self.q.forward(h); // (tokens, heads * head_dim)
        let mut k = self.k.forward(h);
        let v = self.v.forward(h);
        unit_heads(&mut q, of.head_dim);
        unit_heads(&mut k, of.head_dim);
        q /= (of.head_dim as f64).sqrt();
        let mut kept = linear(h, &self.a); // (tokens, heads): the share of the state that a token leaves
        for mut row in kept.rows_mut() {
            row += &self.dt_bias;
            row.zip_mut_with(&self.a_log, |a, a_log| {
                *a = (-a_log.exp() * softplus(*a)).exp()
            });
        }
        let beta = linear(h, &self.b).mapv_into(sigmoid); // (tokens, heads)
        let mut mixed = Array2::zeros(q.dim());
        for head in 0..of.heads {
            let own = head * of.head_dim..(head + 1) * of.head_dim;
            recur(
                q.slice(s![.., own.clone()]),
                k.slice(s![.., own.clone()]),
                v.slice(s![.., own.clone()]),
                kept.column(head),
                beta.column(head),
                mixed.slice_mut(s![.., own]),
            );
        }
        rms_norm_heads(&mut mixed, &self.norm, self.norm_eps);
        mixed.zip_mut_with(&linear(h, &self.gate), |x, &gate| *x *= silu(gate));
        linear(&mixed, &self.output)
    }
}

impl Convolved {
    fn forward(&self, h: &Array2<f64>) -> Array2<f64> {
        convolve(&linear(h, &self.projection), &self.taps).mapv_into(silu)
    }
}

/// Causal, for each channel by itself: the last tap is the token's own, and before the first token there are zeros.
pub(super) fn convolve(x: &Array2<f64>, taps: &Array2<f64>) -> Array2<f64> {
    let mut y = Array2::zeros(x.dim());
    for (at, mut row) in y.rows_mut().into_iter().enumerate() {
        for (tap, weights) in taps.columns().into_iter().enumerate() {
            let back = taps.ncols() - 1 - tap;
            if let Some(from) = at.checked_sub(back) {
                row += &(&x.row(from) * &weights);
            }
        }
    }
    y
}

/// Each head divided by its length.
fn unit_heads(x: &mut Array2<f64>, head_dim: usize) {
    for mut row in x.rows_mut() {
        for mut head in row.exact_chunks_mut(head_dim) {
            let length = (head.iter().map(|x| x * x).sum::<f64>() + EPS).sqrt();
            head /= length;
        }
    }
}

/// One head. The state S, (`key_dim`, `value_dim`), begins with zeros; for each token it is first multiplied by `kept`, then
/// S += k (beta (v - S^T k))^T, and the answer is S^T q.
///
/// # Shape
/// q, k, v and out are (tokens, `head_dim`); kept and beta have a value for each token.
pub(super) fn recur(
    q: ArrayView2<'_, f64>,
    k: ArrayView2<'_, f64>,
    v: ArrayView2<'_, f64>,
    kept: ArrayView1<'_, f64>,
    beta: ArrayView1<'_, f64>,
    mut out: ArrayViewMut2<'_, f64>,
) {
    let mut state = Array2::zeros((k.ncols(), v.ncols()));
    for at in 0..q.nrows() {
        state *= kept[at];
        let correction = (&v.row(at) - &read(&state, k.row(at))) * beta[at];
        for (mut row, &key) in state.rows_mut().into_iter().zip(k.row(at)) {
            row.scaled_add(key, &correction);
        }
        out.row_mut(at).assign(&read(&state, q.row(at)));
    }
}

/// S^T x.
fn read(state: &Array2<f64>, x: ArrayView1<'_, f64>) -> Array1<f64> {
    let mut sum = Array1::zeros(state.ncols());
    for (row, &x) in state.rows().into_iter().zip(x) {
        sum.scaled_add(x, &row);
    }
    sum
}
