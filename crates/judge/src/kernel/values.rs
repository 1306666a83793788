//! The values of one call, drawn anew, and what the reference makes of them; with their way into bytes and back.
//!
//! Each array is drawn from a seed of its own, which is 64 bits of the judge's keyed stream, so that no array says anything about
//! another. Each call has a scale of its own too: a kernel that is right on one scale only, by a table or a short format, is found out.

use ops::{attention, gated_delta, input, matmul, rms_norm};

use super::problem::{Problem, Shape};
use crate::random::Random;

/// A problem with its inputs.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) problem: Problem,
    pub(super) inputs: Vec<Vec<f32>>,
}

impl Call {
    pub(super) fn draw(problem: &Problem, random: &mut Random) -> Self {
        let (lengths, _) = problem.lengths();
        // A power of 2 from 1/8 to 8: it changes no rounding.
        let scale = (2.0_f32).powi(random.below(7) as i32 - 3);
        let mut normal = |length: usize, scale: f32| -> Vec<f32> {
            let mut values = input::normal(random.bits(), length);
            values.iter_mut().for_each(|value| *value *= scale);
            values
        };
        let inputs = match (problem.shape(), lengths.as_slice()) {
            (Shape::MatMul(_), &[x, weights]) => vec![normal(x, scale), normal(weights, 0.25)],
            (Shape::RmsNorm(_), &[x, weight]) => {
                vec![
                    normal(x, scale),
                    input::uniform(random.bits(), weight, 0.5, 1.5),
                ]
            }
            (Shape::Attention(_), &[q, k, v]) => {
                vec![normal(q, 1.0), normal(k, 1.0), normal(v, scale)]
            }
            (Shape::GatedDelta(shape), &[q, k, v, alpha, beta, state]) => {
                let (mut q, mut k) = (normal(q, 1.0), normal(k, 1.0));
                for rows in [&mut q, &mut k] {
                    rows.chunks_exact_mut(shape.key_dim)
                        .for_each(to_unit_length);
                }
                let (v, state) = (normal(v, scale), normal(state, scale));
                let alpha = input::uniform(random.bits(), alpha, 0.5, 1.0);
                let beta = input::uniform(random.bits(), beta, 0.0, 1.0);
                vec![q, k, v, alpha, beta, state]
            }
            _ => Vec::new(),
        };
        Self {
            problem: problem.clone(),
            inputs,
        }
    }

    /// As the protocol has it.
    pub(super) fn question(&self) -> Vec<u8> {
        let values: usize = self.inputs.iter().map(Vec::len).sum();
        let dimensions = self.problem.dimensions();
        let mut bytes = Vec::with_capacity(8 + dimensions.len() * 4 + values * 4);
        bytes.extend(self.problem.operation().number().to_le_bytes());
        // Five dimensions at most, each below 2^28.
        bytes.extend((dimensions.len() as u32).to_le_bytes());
        for &size in dimensions {
            bytes.extend((size as u32).to_le_bytes());
        }
        for value in self.inputs.iter().flatten() {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    pub(super) fn answer_bytes(&self) -> usize {
        self.problem.lengths().1.iter().sum::<usize>() * 4
    }

    /// What is right, one list for each output array.
    pub(super) fn reference(&self) -> Vec<Vec<f64>> {
        match (self.problem.shape(), self.inputs.as_slice()) {
            (Shape::MatMul(shape), [x, weights]) => {
                let bytes: Vec<u8> = weights
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                // f32 weights of the right length always decode; if they did not, an empty list is nobody's right answer.
                vec![matmul::reference(&shape, &bytes, x).unwrap_or_default()]
            }
            (Shape::RmsNorm(shape), [x, weight]) => vec![rms_norm::reference(&shape, x, weight)],
            (Shape::Attention(shape), [q, k, v]) => {
                vec![attention::reference(&shape, q, k, v, None)]
            }
            (Shape::GatedDelta(shape), [q, k, v, alpha, beta, state]) => {
                let mut state: Vec<f64> = state.iter().copied().map(f64::from).collect();
                let inputs = gated_delta::Inputs {
                    q,
                    k,
                    v,
                    alpha,
                    beta,
                };
                let o = gated_delta::reference(&shape, &inputs, &mut state);
                vec![o, state]
            }
            _ => Vec::new(),
        }
    }
}

/// A head's vector of length 1, as the operation before leaves it.
fn to_unit_length(row: &mut [f32]) {
    let length = row
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt()
        .max(1e-6);
    row.iter_mut().for_each(|value| *value /= length);
}

/// An answer as numbers, cut into the problem's output arrays.
pub(super) fn outputs(problem: &Problem, bytes: &[u8]) -> Vec<Vec<f32>> {
    let (words, _) = bytes.as_chunks::<4>();
    let mut values = words.iter().map(|word| f32::from_le_bytes(*word));
    let (_, lengths) = problem.lengths();
    lengths
        .iter()
        .map(|&length| values.by_ref().take(length).collect())
        .collect()
}

#[cfg(test)]
mod tests;
