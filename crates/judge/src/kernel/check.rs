//! Whether an answer is right: by the reference, or by a projection that costs much less; and whether a problem can tell.

use ops::relative_error;

use super::problem::{Operation, Problem, Shape};
use super::values::Call;
use crate::error::JudgeError;
use crate::random::Random;

/// Up to so many operations an answer is always compared with the reference itself.
const CHEAP_FLOPS: u64 = 20_000_000;

/// Of the answers to calls that are dearer, but not beyond this, one in so many is compared in full too.
const DEAR_FLOPS: u64 = 1_000_000_000;
const ONE_IN: usize = 8;

/// Random vectors that an answer is projected on.
const PROJECTIONS: usize = 8;

/// A projection's estimate of an error is itself random: with 8 of them, an error at the tolerance is taken for 4 times as much once
/// in 10^20.
const SLACK: f64 = 4.0;

/// So many other draws a fixed answer is held against.
const OTHERS: usize = 4;

/// A fixed answer has to be at least this wrong, relatively.
const LEAST_OFF: f64 = 0.1;

/// How far an answer is off, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) error: f64,
    pub(super) most: f64,
    pub(super) in_full: bool,
}

impl Finding {
    /// NaN is wrong.
    pub(super) fn is_right(&self) -> bool {
        self.error <= self.most
    }
}

/// How a call's answers will be checked: the same for both arms, and drawn after they have answered.
#[derive(Debug)]
pub(super) enum Truth {
    /// The reference's outputs.
    Full(Vec<Vec<f64>>),
    /// A matrix product's: random signs, (projections, outputs), and what they make of it, (projections, tokens).
    Projected {
        signs: Vec<Vec<f64>>,
        right: Vec<Vec<f64>>,
    },
}

impl Truth {
    pub(super) fn draw(call: &Call, random: &mut Random) -> Self {
        let flops = call.problem.cost().f32_flops;
        let is_chosen = random.below(ONE_IN) == 0 && flops <= DEAR_FLOPS;
        match (call.problem.shape(), call.inputs.as_slice()) {
            (Shape::MatMul(shape), [x, weights]) if flops > CHEAP_FLOPS && !is_chosen => {
                let signs: Vec<Vec<f64>> = (0..PROJECTIONS)
                    .map(|_| {
                        (0..shape.outputs)
                            .map(|_| if random.bits() & 1 == 0 { 1.0 } else { -1.0 })
                            .collect()
                    })
                    .collect();
                let right = signs
                    .iter()
                    .map(|signs| projected(signs, weights, x, shape.inputs))
                    .collect();
                Self::Projected { signs, right }
            }
            _ => Self::Full(call.reference()),
        }
    }

    /// How far these outputs are off.
    pub(super) fn finding(&self, operation: Operation, outputs: &[Vec<f32>]) -> Finding {
        let most = operation.tolerance();
        match self {
            Self::Full(right) => {
                let each = right
                    .iter()
                    .zip(outputs)
                    .map(|(right, output)| relative_error(output, right));
                let is_whole = !right.is_empty() && right.len() == outputs.len();
                Finding {
                    error: if is_whole { largest(each) } else { f64::NAN },
                    most,
                    in_full: true,
                }
            }
            Self::Projected { signs, right } => Finding {
                error: outputs
                    .first()
                    .map_or(f64::NAN, |y| off_by(signs, right, y)),
                most: most * SLACK,
                in_full: false,
            },
        }
    }
}

/// The largest, or NaN where there is one.
fn largest(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |most, error| {
        if error <= most {
            most
        } else if error.is_nan() || most.is_nan() {
            f64::NAN
        } else {
            error
        }
    })
}

/// `x * (W^T signs)`: one number a token, for the cost of reading W once.
fn projected(signs: &[f64], weights: &[f32], x: &[f32], inputs: usize) -> Vec<f64> {
    let mut column = vec![0.0; inputs];
    for (sign, row) in signs.iter().zip(weights.chunks_exact(inputs)) {
        for (sum, &weight) in column.iter_mut().zip(row) {
            *sum += sign * f64::from(weight);
        }
    }
    let dot = |row: &[f32]| {
        row.iter()
            .zip(&column)
            .map(|(&x, column)| f64::from(x) * column)
            .sum()
    };
    x.chunks_exact(inputs).map(dot).collect()
}

/// The estimate of the relative error: signs keep a vector's squared length on average, an error's as well as an answer's.
fn off_by(signs: &[Vec<f64>], right: &[Vec<f64>], y: &[f32]) -> f64 {
    let norm: f64 = y.iter().map(|&value| f64::from(value).powi(2)).sum();
    let mut off = 0.0;
    for (signs, right) in signs.iter().zip(right) {
        for (row, right) in y.chunks_exact(signs.len()).zip(right) {
            let got: f64 = row
                .iter()
                .zip(signs)
                .map(|(&value, sign)| f64::from(value) * sign)
                .sum();
            off += (got - right).powi(2);
        }
    }
    (off / signs.len() as f64 / norm).sqrt()
}

/// Refuses a problem that a fixed answer would nearly solve: then being right proves nothing. Very dear ones are matrix products of
/// many independent values, which vary.
///
/// # Errors
/// When the outputs of several draws, each on its own scale, are nearly the same.
pub(super) fn varies(problem: &Problem, random: &mut Random) -> Result<(), JudgeError> {
    if problem.cost().f32_flops > DEAR_FLOPS {
        return Ok(());
    }
    let mut draw = || Call::draw(problem, random).reference().concat();
    let fixed: Vec<f32> = draw().iter().map(|&value| value as f32).collect();
    // It would have to be right each time.
    let off = (0..OTHERS)
        .map(|_| relative_error(&fixed, &draw()))
        .fold(0.0, f64::max);
    if off >= LEAST_OFF {
        return Ok(());
    }
    Err(JudgeError::Predictable {
        problem: problem.to_string(),
        off,
        least: LEAST_OFF,
    })
}

#[cfg(test)]
mod tests;
