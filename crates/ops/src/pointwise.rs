//! One function over every value: what stands between two matrix products where nothing is multiplied with it (compare
//! [`glu`]).
//!
//! ```text
//! tanh(x)            RWKV-7's decay, between the two halves of its low-rank projection
//! sigmoid(x)         RWKV-7's output gate, likewise
//! relu(x)^2          RWKV-7's channel mixing
//! cap tanh(x / cap)  RecurrentGemma's logits: [`softcap`]
//! ```
//!
//! A value depends on one value only, so that a product may apply the function to its outputs before they are written.
//!
//! # Shape
//! `x` and the result `(tokens, width)`.
//!
//! # Source
//! So et al., *Primer: Searching for Efficient Transformers for Language Modeling*, 2021, for the squared ReLU.

pub mod backward;

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost, glu, softcap};

/// An exponential, a division and a few roundings.
pub const TOLERANCE: f64 = 2e-6;

/// The function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x^2` above zero, and 0 below.
    SquaredRelu,
    /// `cap tanh(x / cap)` of a positive cap.
    SoftCap(f32),
}

impl Function {
    /// Its value at `x`.
    #[must_use]
    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Tanh => x.tanh(),
            Self::Sigmoid => glu::sigmoid(x),
            // Not `max`, which would take 0 for NaN.
            Self::SquaredRelu if x < 0.0 => 0.0,
            Self::SquaredRelu => x * x,
            Self::SoftCap(cap) => softcap::softcap(x, f64::from(cap)),
        }
    }

    /// Operations per value: a hyperbolic tangent; an exponential, a sum and a division; a comparison and a product; a hyperbolic tangent
    /// between two products.
    const fn flops(self) -> usize {
        match self {
            Self::Tanh => 1,
            Self::Sigmoid => 3,
            Self::SquaredRelu => 2,
            Self::SoftCap(_) => 3,
        }
    }
}

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// What every value goes through.
    pub function: Function,
    /// Rows.
    pub tokens: usize,
    /// Values in a row.
    pub width: usize,
}

/// The values.
///
/// # Panics
/// When `x` does not fit `shape`.
#[must_use]
pub fn reference(shape: &Shape, x: &[f32]) -> Vec<f64> {
    assert_eq!(
        x.len(),
        shape.tokens * shape.width,
        "x must be (tokens, width)"
    );
    x.iter().map(|&x| shape.function.of(f64::from(x))).collect()
}

/// Reads and writes each value once.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let values = f32_bytes(&[shape.tokens, shape.width]);
    Cost {
        read_bytes: values,
        written_bytes: values,
        f32_flops: product(&[shape.function.flops(), shape.tokens, shape.width]),
        ..Cost::default()
    }
}

/// Ranks and feed-forward sizes of real models, and odd widths.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, function, tokens, width| Case {
        name,
        shape: Shape {
            function,
            tokens,
            width,
        },
    };
    let mut cases = Vec::new();
    for function in [
        Function::Tanh,
        Function::Sigmoid,
        Function::SquaredRelu,
        Function::SoftCap(30.0),
    ] {
        cases.push(case("one value", function, 1, 1));
        cases.push(case("odd width", function, 3, 37));
    }
    cases.extend([
        case("RWKV-7-0.1B decay rank, 1 token", Function::Tanh, 1, 64),
        case(
            "RWKV-7-1.5B gate rank, 65 tokens",
            Function::Sigmoid,
            65,
            256,
        ),
        case("RWKV-7-1.5B ffn, 1 token", Function::SquaredRelu, 1, 8192),
        case(
            "RWKV-7-0.1B ffn, 65 tokens",
            Function::SquaredRelu,
            65,
            3072,
        ),
        case(
            "a slice of RecurrentGemma's logits",
            Function::SoftCap(30.0),
            2,
            4096,
        ),
    ]);
    cases
}

#[cfg(test)]
mod tests;
