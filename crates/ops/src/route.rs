//! Choosing experts: of a token's `experts` router logits the `chosen` largest, with their softmax as weights.
//!
//! ```text
//! w_j = exp(l_j - m) / sum over the chosen of exp(l_i - m),  m = the largest
//! ```
//!
//! That is the softmax over all experts, cut to the chosen and divided by their sum, as the models state it: the common divisor
//! cancels. Chosen experts come largest first; of equal logits the lower index does. A NaN is never chosen before a number.
//!
//! # Shape
//! `logits` `(tokens, experts)`; the result `(tokens, chosen)` indices and `(tokens, chosen)` weights.
//!
//! # Source
//! Shazeer et al., *Outrageously Large Neural Networks*, 2017; Qwen3 and Qwen3-Next (`norm_topk_prob`).

use crate::cost::{f32_bytes, product};
use crate::{Case, Cost};

/// A few exponentials and a division.
pub const TOLERANCE: f64 = 2e-6;

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub tokens: usize,
    /// Experts that there are.
    pub experts: usize,
    /// Experts that a token goes to.
    pub chosen: usize,
}

/// What the tokens were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// `(tokens, chosen)`.
    pub experts: Vec<usize>,
    /// `(tokens, chosen)`; a token's sum is 1.
    pub weights: Vec<f64>,
}

/// The chosen experts and their weights.
///
/// # Panics
/// When `logits` does not fit `shape`, or fewer experts are there than are chosen.
#[must_use]
pub fn reference(shape: &Shape, logits: &[f32]) -> Routes {
    let Shape {
        tokens,
        experts,
        chosen,
    } = *shape;
    assert_eq!(
        logits.len(),
        tokens * experts,
        "logits must be (tokens, experts)"
    );
    assert!(chosen <= experts, "expected at most {experts} chosen");
    let mut routes = Routes {
        experts: Vec::new(),
        weights: Vec::new(),
    };
    for row in logits.chunks_exact(experts) {
        let mut order: Vec<usize> = (0..experts).collect();
        let key = |i: usize| {
            if row[i].is_nan() {
                f32::NEG_INFINITY
            } else {
                row[i]
            }
        };
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then(a.cmp(&b)));
        order.truncate(chosen);
        let exps: Vec<f64> = order
            .iter()
            .map(|&i| (f64::from(row[i]) - f64::from(row[order[0]])).exp())
            .collect();
        let sum: f64 = exps.iter().sum();
        routes.weights.extend(exps.iter().map(|e| e / sum));
        routes.experts.extend(order);
    }
    routes
}

/// Reads each logit once; a comparison for each, an exponential, a sum and a division for each that is chosen.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    Cost {
        read_bytes: f32_bytes(&[shape.tokens, shape.experts]),
        written_bytes: f32_bytes(&[2, shape.tokens, shape.chosen]),
        f32_flops: product(&[shape.tokens, shape.experts])
            + product(&[3, shape.tokens, shape.chosen]),
        int8_ops: 0,
    }
}

/// Real routers, and edges.
#[must_use]
pub fn cases() -> Vec<Case<Shape>> {
    let case = |name, tokens, experts, chosen| Case {
        name,
        shape: Shape {
            tokens,
            experts,
            chosen,
        },
    };
    vec![
        case("one expert", 3, 1, 1),
        case("all chosen", 2, 5, 5),
        case("4 experts, 2 chosen", 7, 4, 2),
        case("Qwen3-30B-A3B", 9, 128, 8),
        case("Qwen3.5-35B-A3B", 1, 256, 8),
        case("Qwen3-Next-80B-A3B, 33 tokens", 33, 512, 10),
    ]
}

#[cfg(test)]
mod tests;
