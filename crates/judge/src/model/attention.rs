//! An attention layer, over everything before or over a window.

use ndarray::{Array1, Array2, s};

use super::configuration::{Configuration, Mixer};
use super::flaw::Flaw;
use super::operations::{attend, linear, rms_norm_heads, rope, sigmoid};
use super::tensors::Tensors;

/// Its weights.
#[derive(Debug)]
pub(super) struct Attention {
    q: Array2<f64>,
    k: Array2<f64>,
    v: Array2<f64>,
    output: Array2<f64>,
    norms: Option<(Array1<f64>, Array1<f64>)>,
    gate: Option<Array2<f64>>,
    /// How many positions it sees.
    span: usize,
}

impl Attention {
    /// Those of layer `prefix`.
    pub(super) fn take(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        of: &Configuration,
        mixer: Mixer,
    ) -> Result<Self, Flaw> {
        let (width, inner, kv) = (of.width, of.inner(), of.kv_heads * of.head_dim);
        let mut matrix =
            |name, rows, columns| tensors.matrix(&format!("{prefix}{name}.weight"), rows, columns);
        let [q, k, v] = [
            matrix("attn_q", inner, width)?,
            matrix("attn_k", kv, width)?,
            matrix("attn_v", kv, width)?,
        ];
        let output = matrix("attn_output", width, inner)?;
        let gate = of
            .output_gate
            .then(|| matrix("attn_gate", inner, width))
            .transpose()?;
        let mut norm = |name| tensors.vector(&format!("{prefix}{name}.weight"), of.head_dim);
        let norms = if of.head_norms {
            Some((norm("attn_q_norm")?, norm("attn_k_norm")?))
        } else {
            None
        };
        let span = if mixer == Mixer::Window {
            of.window
        } else {
            usize::MAX
        };
        Ok(Self {
            q,
            k,
            v,
            output,
            norms,
            gate,
            span,
        })
    }

    /// How many positions it sees.
    pub(super) fn span(&self) -> usize {
        self.span
    }

    /// What it adds. `first_v` is the values of the model's first attention layer, which leaves them there.
    ///
    /// # Shape
    /// (tokens, width), both.
    pub(super) fn forward(
        &self,
        h: &Array2<f64>,
        of: &Configuration,
        first_v: &mut Option<Array2<f64>>,
    ) -> Array2<f64> {
        let mut q = linear(h, &self.q); // (tokens, heads * head_dim)
        let mut k = linear(h, &self.k); // (tokens, kv_heads * head_dim)
        let mut v = linear(h, &self.v);
        if of.value_residual {
            match first_v {
                Some(first) => v.zip_mut_with(first, |v, first| *v = 0.5 * *v + 0.5 * first),
                None => *first_v = Some(v.clone()),
            }
        }
        if let Some((q_norm, k_norm)) = &self.norms {
            rms_norm_heads(&mut q, q_norm, of.eps);
            rms_norm_heads(&mut k, k_norm, of.eps);
        }
        rope(&mut q, of.head_dim, of.rope_base);
        rope(&mut k, of.head_dim, of.rope_base);
        let mut mixed = Array2::zeros(q.dim());
        for head in 0..of.heads {
            let kv_head = head / (of.heads / of.kv_heads);
            let own = head * of.head_dim..(head + 1) * of.head_dim;
            let shared = kv_head * of.head_dim..(kv_head + 1) * of.head_dim;
            attend(
                q.slice(s![.., own.clone()]),
                k.slice(s![.., shared.clone()]),
                v.slice(s![.., shared]),
                self.span,
                mixed.slice_mut(s![.., own]),
            );
        }
        if let Some(gate) = &self.gate {
            mixed.zip_mut_with(&linear(h, gate), |x, &gate| *x *= sigmoid(gate));
        }
        linear(&mixed, &self.output)
    }
}
