//! Choosing experts: of a token's `experts` router logits the `chosen` largest, with their softmax as weights.
//!
//! ```text
//! w_j = exp(l_j - m) / sum over the chosen of exp(l_i - m),  m = the largest
//! ```
//!
//! That is the softmax over all experts, cut to the chosen and divided by their sum, as the models state it: the common divisor
//! cancels. Chosen experts come largest first; of equal logits the lower index does. A NaN is never chosen before a number.
//!
//! DeepSeek-V3 and Kimi score each expert by itself ([`Scoring::Sigmoid`]), choose by the score plus a bias, and weigh by the score alone:
//!
//! 1. `s_e = sigmoid(l_e)`, `c_e = s_e + b_e`;
//! 2. where experts are in groups, the groups with the largest sums of their two largest `c` stay;
//! 3. the `chosen` largest `c` of those; `w_j = scale * s_j`, or `scale * s_j / (1e-20 + sum over the chosen of s_i)`.
//!
//! # Shape
//! `logits` `(tokens, experts)`; `bias` `(experts)`; the result `(tokens, chosen)` indices and `(tokens, chosen)` weights.
//!
//! # Source
//! Shazeer et al., *Outrageously Large Neural Networks*, 2017; Qwen3 and Qwen3-Next (`norm_topk_prob`); DeepSeek-AI, *DeepSeek-V3*, 2024.

use crate::cost::{f32_bytes, product};
use crate::glu::sigmoid;
use crate::{Case, Cost};

/// A few exponentials and a division.
pub const TOLERANCE: f64 = 2e-6;

/// What keeps a sum of scores from being a zero to divide by.
pub const LEAST: f32 = 1e-20;

/// How logits become choices and weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scoring {
    /// The softmax of the chosen.
    Softmax,
    /// Each for itself, with a bias for the choice.
    Sigmoid {
        /// Which experts may be chosen together.
        groups: Groups,
        /// Whether weights are divided by their sum.
        renormalise: bool,
        /// Multiplies weights.
        scale: f32,
    },
}

/// Equal parts of the experts, neighbours in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// How many; 1 where experts are not grouped.
    pub count: usize,
    /// To how many a token may go.
    pub used: usize,
}

impl Groups {
    /// All experts in one.
    pub const NONE: Self = Self { count: 1, used: 1 };

    /// Whether `experts` can be grouped so, and `chosen` be found in the groups used: a group's rank is that of its best two.
    #[must_use]
    pub const fn fit(self, experts: usize, chosen: usize) -> bool {
        let Self { count, used } = self;
        if count <= 1 || used == 0 || used > count {
            return count == 1 && used == 1;
        }
        let each = experts / count;
        experts.is_multiple_of(count) && each >= 2 && chosen <= used * each
    }
}

/// Dimensions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Rows.
    pub tokens: usize,
    /// Experts that there are.
    pub experts: usize,
    /// Experts that a token goes to.
    pub chosen: usize,
    /// How they are chosen and weighed.
    pub scoring: Scoring,
}

/// What the tokens were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// `(tokens, chosen)`.
    pub experts: Vec<usize>,
    /// `(tokens, chosen)`.
    pub weights: Vec<f64>,
}

/// The chosen experts and their weights; a bias is only there with [`Scoring::Sigmoid`].
///
/// # Panics
/// When a slice does not fit `shape`, fewer experts are there than are chosen, or groups do not fit.
#[must_use]
pub fn reference(shape: &Shape, logits: &[f32], bias: Option<&[f32]>) -> Routes {
    let Shape {
        tokens,
        experts,
        chosen,
        scoring,
    } = *shape;
    assert_eq!(
        logits.len(),
        tokens * experts,
        "logits must be (tokens, experts)"
    );
    assert!(chosen <= experts, "expected at most {experts} chosen");
    assert!(
        bias.is_none_or(|bias| bias.len() == experts && scoring != Scoring::Softmax),
        "a bias must be (experts), and is no softmax's"
    );
    let mut routes = Routes {
        experts: Vec::new(),
        weights: Vec::new(),
    };
    for row in logits.chunks_exact(experts) {
        let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        let (order, weights) = match scoring {
            Scoring::Softmax => softmax(&row, chosen),
            Scoring::Sigmoid {
                groups,
                renormalise,
                scale,
            } => {
                assert!(groups.fit(experts, chosen), "groups that do not fit");
                let scores: Vec<f64> = row.iter().map(|&l| sigmoid(l)).collect();
                let order = by_score(&scores, bias, groups, chosen);
                let sum: f64 = order.iter().map(|&i| scores[i]).sum();
                let divisor = match renormalise {
                    true => sum + f64::from(LEAST),
                    false => 1.0,
                };
                let weigh = |&i: &usize| f64::from(scale) * scores[i] / divisor;
                let weights = order.iter().map(weigh).collect();
                (order, weights)
            }
        };
        routes.weights.extend(weights);
        routes.experts.extend(order);
    }
    routes
}

/// The `count` largest, largest first; a NaN is smaller than any number.
fn largest(values: &[f64], count: usize) -> Vec<usize> {
    let key = |i: usize| match values[i].is_nan() {
        true => f64::NEG_INFINITY,
        false => values[i],
    };
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then(a.cmp(&b)));
    order.truncate(count);
    order
}

fn softmax(row: &[f64], chosen: usize) -> (Vec<usize>, Vec<f64>) {
    let order = largest(row, chosen);
    let exps: Vec<f64> = order
        .iter()
        .map(|&i| (row[i] - row[order[0]]).exp())
        .collect();
    let sum: f64 = exps.iter().sum();
    (order, exps.iter().map(|e| e / sum).collect())
}

/// Steps 1 and 2, and the choice of 3.
fn by_score(scores: &[f64], bias: Option<&[f32]>, groups: Groups, chosen: usize) -> Vec<usize> {
    let biased = |(i, s): (usize, &f64)| s + bias.map_or(0.0, |bias| f64::from(bias[i]));
    let mut choice: Vec<f64> = scores.iter().enumerate().map(biased).collect();
    if groups.count > 1 {
        let each = scores.len() / groups.count;
        let rank = |group: &[f64]| largest(group, 2).iter().map(|&i| group[i]).sum();
        let ranks: Vec<f64> = choice.chunks_exact(each).map(rank).collect();
        let kept = largest(&ranks, groups.used);
        for (group, choice) in choice.chunks_exact_mut(each).enumerate() {
            if !kept.contains(&group) {
                choice.fill(f64::NEG_INFINITY);
            }
        }
    }
    largest(&choice, chosen)
}

/// Reads each logit once; a comparison for each, an exponential, a sum and a division for each that is chosen. Scores of their own
/// cost a sigmoid (3) and the bias for each.
#[must_use]
pub fn cost(shape: &Shape) -> Cost {
    let per_logit = match shape.scoring {
        Scoring::Softmax => 1,
        Scoring::Sigmoid { .. } => 5,
    };
    Cost {
        read_bytes: f32_bytes(&[shape.tokens, shape.experts]),
        written_bytes: f32_bytes(&[2, shape.tokens, shape.chosen]),
        f32_flops: product(&[per_logit, shape.tokens, shape.experts])
            + product(&[3, shape.tokens, shape.chosen]),
        ..Cost::default()
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
            scoring: Scoring::Softmax,
        },
    };
    let scored = |case: Case<Shape>, count, used, renormalise, scale| Case {
        shape: Shape {
            scoring: Scoring::Sigmoid {
                groups: Groups { count, used },
                renormalise,
                scale,
            },
            ..case.shape
        },
        ..case
    };
    vec![
        case("one expert", 3, 1, 1),
        case("all chosen", 2, 5, 5),
        case("4 experts, 2 chosen", 7, 4, 2),
        case("Qwen3-30B-A3B", 9, 128, 8),
        case("Qwen3.5-35B-A3B", 1, 256, 8),
        case("Qwen3-Next-80B-A3B, 33 tokens", 33, 512, 10),
        scored(case("one expert, scored", 3, 1, 1), 1, 1, true, 2.0),
        scored(case("scores as they are", 5, 21, 3), 1, 1, false, 1.0),
        scored(case("groups of three", 9, 9, 2), 3, 2, true, 1.7),
        scored(case("all of one group", 4, 8, 4), 2, 1, true, 1.0),
        scored(case("Kimi-Linear-48B-A3B", 7, 256, 8), 1, 1, true, 2.446),
        scored(case("DeepSeek-V3", 3, 256, 8), 8, 4, true, 2.5),
    ]
}

#[cfg(test)]
mod tests;
