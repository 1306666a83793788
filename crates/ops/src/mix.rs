//! Bringing a token's experts together: their outputs, weighted, and the shared expert's behind its gate, added to the stream.
//!
//! ```text
//! y = x + scale * (sum over j of w_j e_j + sigmoid(g) s)
//! ```
//!
//! # Shape
//! `x` and the result `(tokens, width)`; `outputs` e `(tokens, chosen, width)`; `weights` w `(tokens, chosen)`; the shared
//! expert's output s `(tokens, width)`, where there is one, and its gate's logit g `(tokens)`; without a gate its factor is 1.

use crate::cost::{f32_bytes, product};
use crate::glu::sigmoid;
use crate::{Case, Cost};

/// One product and sum per expert in f32.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows.
    pub tokens: usize,
    /// Experts of a token.
    pub chosen: usize,
    /// Width of the stream.
    pub width: usize,
    /// The expert that all tokens share.
    pub shared: SharedExpert,
    /// Multiplies what is added to the stream (Granite's; 1 elsewhere).
    pub scale: f32,
}

/// Whether there is a shared expert, and how it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedExpert {
    /// There is none.
    None,
    /// As it is.
    Plain,
    /// Behind a sigmoid gate.
    Gated,
}

/// The shared expert's part.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// `(tokens, width)`.
    pub output: &'a [f32],
    /// `(tokens)`: before the sigmoid, where there is a gate.
    pub gate: Option<&'a [f32]>,
}

/// The stream after the block.
///
/// # Panics
/// When a slice does not fit `shape`.
#[must_use]
pub fn reference(
    shape: &Shape,
    x: &[f32],
    outputs: &[f32],
    weights: &[f32],
    shared: Option<Shared<'_>>,
) -> Vec<f64> {
    let Shape {
        tokens,
        chosen,
        width,
        scale,
        ..
    } = *shape;
    assert_eq!(x.len(), tokens * width, "x must be (tokens, width)");
    assert_eq!(
        outputs.len(),
        chosen * x.len(),
        "outputs must be (tokens, chosen, width)"
    );
    assert_eq!(
        weights.len(),
        tokens * chosen,
        "weights must be (tokens, chosen)"
    );
    let mut y = Vec::with_capacity(x.len());
    for token in 0..tokens {
        for col in 0..width {
            let mut sum = 0.0;
            for slot in token * chosen..(token + 1) * chosen {
                sum += f64::from(weights[slot]) * f64::from(outputs[slot * width + col]);
            }
            if let Some(Shared { output, gate }) = shared {
                let gate = gate.map_or(1.0, |gate| sigmoid(f64::from(gate[token])));
                sum += gate * f64::from(output[token * width + col]);
            }
            y.push(f64::from(x[token * width + col]) + f64::from(scale) * sum);
        }
    }
    y
}

/// Reads every output and the stream once, writes the stream; a product and a sum per output.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let Shape {
        tokens,
        chosen,
        width,
        shared,
        ..
    } = *shape;
    let outputs = chosen + usize::from(shared != SharedExpert::None);
    let factors = chosen + usize::from(shared == SharedExpert::Gated);
    Cost {
        read_bytes: f32_bytes(&[tokens, outputs + 1, width]) + f32_bytes(&[tokens, factors]),
        written_bytes: f32_bytes(&[tokens, width]),
        f32_flops: product(&[2, tokens, outputs, width]),
        ..Cost::default()
    }
}

/// Real widths, and edges.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    use SharedExpert::{Gated, None, Plain};
    let case = |name, tokens, chosen, width, shared, scale| Case {
        name,
        shape: Shape {
            tokens,
            chosen,
            width,
            shared,
            scale,
        },
    };
    vec![
        case("one expert, one column", 1, 1, 1, None, 1.0),
        case("odd width, shared", 3, 2, 37, Gated, 1.0),
        case("Qwen3-30B-A3B", 1, 8, 2048, None, 1.0),
        case("Qwen3-Next-80B-A3B, 9 tokens", 9, 10, 2048, Gated, 1.0),
        case("Granite-4.0-H-Tiny", 2, 6, 1536, Plain, 0.22),
    ]
}

#[cfg(test)]
mod tests;
