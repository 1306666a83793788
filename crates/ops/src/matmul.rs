//! The matrix product: `y[t][n] = sum over k of W[n][k] * x[t][k]`, with weights in any format.
//!
//! It is nearly all of a model's bytes and operations. At one token it streams the weights once and computes 2 operations per
//! weight; at hundreds of tokens it is bound by arithmetic.
//!
//! Two references, because there are two exact answers. [`reference()`] multiplies the decoded weights with the activations as they
//! are. [`reference_int8`] rounds the activations first ([`activation`]); then a group's product is the integer
//!
//! ```text
//! sum of (code - offset) * a  =  sum of code * a  -  offset * sum of a
//! ```
//!
//! and a group contributes `scale_w * scale_a * that + minimum * scale_a * sum of a`. Both sum in f64. A fast integer kernel
//! differs from the second reference by its f32 sums only, and from the first by the rounding of the activations.
//!
//! # Shape
//! `weights`: `(outputs, inputs)` rows of whole blocks; `x`: `(tokens, inputs)`; result: `(tokens, outputs)`.

pub mod backward;

use crate::activation;
use crate::cost::{f32_bytes, product};
use crate::dequantize::{self, DequantizeError, Layout};
use crate::{Case, Cost, Dtype};

/// Fast f32 products against [`reference()`], and fast integer products against [`reference_int8`]: the error of f32 sums
/// over up to 17408 terms in lanes.
pub const TOLERANCE: f64 = 1e-5;

/// Integer products against [`reference()`]: rounding a block to 127 steps of its largest magnitude errs by 1.3% of the
/// block's norm when one value dominates it, and by about 0.5% when the values are normally distributed.
pub const TOLERANCE_INT8: f64 = 2e-2;

/// Dimensions of one product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows of `x` (T).
    pub tokens: usize,
    /// Columns of the weights (K); whole blocks of `dtype`.
    pub inputs: usize,
    /// Rows of the weights (N).
    pub outputs: usize,
    /// The weights' format.
    pub dtype: Dtype,
}

/// The product with the activations as they are.
///
/// # Errors
/// When `weights` are not `outputs * inputs` weights of `dtype`.
///
/// # Panics
/// When `x` does not fit `shape`.
pub fn reference(shape: &Shape, weights: &[u8], x: &[f32]) -> Result<Vec<f64>, DequantizeError> {
    let Shape {
        tokens,
        inputs,
        outputs,
        dtype,
    } = *shape;
    assert_eq!(x.len(), tokens * inputs, "x must be (tokens, inputs)");
    whole_rows(shape)?;
    let mut decoded = vec![0.0f32; outputs * inputs];
    dequantize::dequantize(dtype, weights, &mut decoded)?;
    let mut y = Vec::with_capacity(tokens * outputs);
    for x in x.chunks_exact(inputs) {
        for row in decoded.chunks_exact(inputs) {
            y.push(
                row.iter()
                    .zip(x)
                    .map(|(&w, &x)| f64::from(w) * f64::from(x))
                    .sum(),
            );
        }
    }
    Ok(y)
}

/// The product with the activations rounded to 8 bits first; the integer sums are exact.
///
/// # Errors
/// As [`reference()`], and [`DequantizeError::NoCodes`] for a float format.
///
/// # Panics
/// When `x` does not fit `shape`.
pub fn reference_int8(
    shape: &Shape,
    weights: &[u8],
    x: &[f32],
) -> Result<Vec<f64>, DequantizeError> {
    let Shape {
        tokens,
        inputs,
        outputs,
        dtype,
    } = *shape;
    assert_eq!(x.len(), tokens * inputs, "x must be (tokens, inputs)");
    let layout = Layout::of(dtype).ok_or(DequantizeError::NoCodes { dtype })?;
    whole_rows(shape)?;
    let x = activation::reference(x);
    let mut y = vec![0.0f64; tokens * outputs];
    dequantize::for_each_block(dtype, weights, outputs * inputs, |index, block| {
        let (row, column) = (index * layout.len / inputs, index * layout.len % inputs);
        for token in 0..tokens {
            for group in 0..layout.groups() {
                let from = token * inputs + column + group * layout.group;
                let codes = &block.codes[group * layout.group..][..layout.group];
                let activations = &x.codes[from..from + layout.group];
                let product: i64 = codes
                    .iter()
                    .zip(activations)
                    .map(|(&w, &a)| i64::from(w) * i64::from(a))
                    .sum();
                let sums =
                    &x.sums[from / activation::SUM_GROUP..][..layout.group / activation::SUM_GROUP];
                let sum: i64 = sums.iter().copied().map(i64::from).sum();
                let scaled = f64::from(block.scales[group])
                    * (product - i64::from(layout.offset) * sum) as f64;
                let minimum = f64::from(block.minima[group]) * sum as f64;
                y[token * outputs + row] +=
                    f64::from(x.scales[from / activation::BLOCK]) * (scaled + minimum);
            }
        }
    })?;
    Ok(y)
}

/// A row must be whole blocks, since no block spans two rows.
fn whole_rows(shape: &Shape) -> Result<(), DequantizeError> {
    let Shape { inputs, dtype, .. } = *shape;
    dtype
        .bytes_for(inputs)
        .map(|_| ())
        .ok_or(DequantizeError::PartialBlock {
            dtype,
            elements: inputs,
        })
}

/// Reads the weights and f32 activations once, writes f32 outputs; 2 flops per weight and token.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        inputs,
        outputs,
        ..
    } = *shape;
    Cost {
        read_bytes: weight_bytes(shape).saturating_add(f32_bytes(&[tokens, inputs])),
        written_bytes: f32_bytes(&[tokens, outputs]),
        f32_flops: product(&[2, tokens, inputs, outputs]),
        ..Cost::default()
    }
}

/// As [`cost`], for activations that were rounded before: 2 integer operations per weight and token. The few float operations per
/// group do not count.
#[must_use]
pub fn cost_int8(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        inputs,
        outputs,
        ..
    } = *shape;
    Cost {
        read_bytes: weight_bytes(shape).saturating_add(activation::bytes(tokens, inputs)),
        written_bytes: f32_bytes(&[tokens, outputs]),
        int8_ops: product(&[2, tokens, inputs, outputs]),
        ..Cost::default()
    }
}

/// Bytes of the weights, scales included.
#[must_use]
pub fn weight_bytes(shape: &Shape) -> u64 {
    let blocks = product(&[shape.outputs, shape.inputs / shape.dtype.block_len()]);
    blocks.saturating_mul(shape.dtype.block_bytes() as u64)
}

/// Tensors of real models, and edges in every dimension, in every format whose blocks fit the row.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    // (name, tokens, inputs, outputs)
    const SHAPES: [(&str, usize, usize, usize); 21] = [
        ("one block, one row", 1, 32, 1),
        ("one super-block, one row", 1, 256, 1),
        ("rows not a multiple of 16", 1, 96, 17),
        ("super-blocks, rows not a multiple of 16", 1, 512, 33),
        ("two tokens", 2, 256, 16),
        ("three tokens, odd rows", 3, 768, 19),
        ("seven tokens, few rows", 7, 512, 5),
        ("16 tokens", 16, 256, 48),
        ("17 tokens, odd rows", 17, 96, 31),
        ("64 tokens", 64, 512, 32),
        ("65 tokens, odd rows", 65, 256, 35),
        ("65 tokens, one row", 65, 512, 1),
        ("one token, odd columns", 1, 33, 70),
        ("9 tokens, odd columns", 9, 333, 40),
        ("107 tokens, odd rows", 107, 672, 37),
        ("SmolLM2-135M attn_k", 1, 576, 192),
        ("SmolLM2-135M ffn_down, 5 tokens", 5, 1536, 576),
        ("Gemma-3-270M attn_q", 1, 640, 1024),
        ("Gemma-3-270M ffn_down, 4 tokens", 4, 2048, 640),
        ("Qwen3.5-0.8B ssm_alpha", 9, 1024, 16),
        ("Qwen3.5-0.8B attn_gate", 1, 1024, 2048),
    ];
    let mut cases = Vec::new();
    for (name, tokens, inputs, outputs) in SHAPES {
        for dtype in Dtype::ALL {
            if inputs.is_multiple_of(dtype.block_len()) {
                cases.push(Case {
                    name,
                    shape: Shape {
                        tokens,
                        inputs,
                        outputs,
                        dtype,
                    },
                });
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests;
