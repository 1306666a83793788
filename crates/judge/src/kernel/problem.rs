//! One operation with its dimensions: parsed from the track's words, with checked sizes, and drawn near another.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use ops::{Cost, Dtype, attention, gated_delta, matmul, rms_norm};

use crate::error::JudgeError;
use crate::random::Random;

/// Of all inputs and outputs of a call together.
const MOST_BYTES: usize = 1 << 30;

/// Added to the mean square by `rms_norm`.
pub(super) const EPS: f32 = 1e-5;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`ops::matmul`] with f32 weights.
    MatMul,
    /// [`ops::rms_norm`].
    RmsNorm,
    /// [`ops::attention`], without window, soft-cap and gate.
    Attention,
    /// [`ops::gated_delta`], with a decay per head and grouped heads.
    GatedDelta,
}

impl Operation {
    const ALL: [Self; 4] = [
        Self::MatMul,
        Self::RmsNorm,
        Self::Attention,
        Self::GatedDelta,
    ];

    /// Its number in the protocol.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::MatMul => 1,
            Self::RmsNorm => 2,
            Self::Attention => 3,
            Self::GatedDelta => 4,
        }
    }

    pub(super) fn of_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.number() == number)
    }

    /// What its dimensions are called, in order.
    #[must_use]
    pub const fn dimensions(self) -> &'static [&'static str] {
        match self {
            Self::MatMul => &["tokens", "inputs", "outputs"],
            Self::RmsNorm => &["rows", "width"],
            Self::Attention => &["tokens", "depth", "heads", "kv_heads", "head_dim"],
            Self::GatedDelta => &["tokens", "key_heads", "value_heads", "key_dim", "value_dim"],
        }
    }

    /// The error up to which it is right.
    #[must_use]
    pub const fn tolerance(self) -> f64 {
        match self {
            Self::MatMul => matmul::TOLERANCE,
            Self::RmsNorm => rms_norm::TOLERANCE,
            Self::Attention => attention::TOLERANCE,
            Self::GatedDelta => gated_delta::TOLERANCE,
        }
    }

    /// Dimensions that a drawn shape changes: heads have to divide each other and stay.
    const fn is_free(self, dimension: usize) -> bool {
        match self {
            Self::MatMul | Self::RmsNorm => true,
            Self::Attention => matches!(dimension, 0 | 1 | 4),
            Self::GatedDelta => matches!(dimension, 0 | 3 | 4),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MatMul => "matmul",
            Self::RmsNorm => "rms_norm",
            Self::Attention => "attention",
            Self::GatedDelta => "gated_delta",
        })
    }
}

/// An operation and its dimensions: `matmul:4x576x192`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    operation: Operation,
    dimensions: Vec<usize>,
}

/// A problem's dimensions as [`ops`] has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    MatMul(matmul::Shape),
    RmsNorm(rms_norm::Shape),
    Attention(attention::Shape),
    GatedDelta(gated_delta::Shape),
}

impl Problem {
    /// A problem of these dimensions, in the order of [`Operation::dimensions`].
    ///
    /// # Errors
    /// When their number, one of them, or the bytes of a call are not what they should be.
    pub fn new(operation: Operation, dimensions: Vec<usize>) -> Result<Self, JudgeError> {
        let problem = Self {
            operation,
            dimensions,
        };
        let wrong = |expected: String| JudgeError::Option {
            name: "a shape",
            expected,
            came: problem.to_string(),
        };
        let names = operation.dimensions();
        if problem.dimensions.len() != names.len() {
            return Err(wrong(format!("{operation}:{}", names.join("x"))));
        }
        let may_be_zero = |at: usize| operation == Operation::Attention && at == 1;
        let zero = |(at, &size): (usize, &usize)| size == 0 && !may_be_zero(at);
        if problem.dimensions.iter().enumerate().any(zero) {
            return Err(wrong("of dimensions above 0".to_owned()));
        }
        let heads = match operation {
            Operation::Attention => Some((problem.dimensions[2], problem.dimensions[3])),
            Operation::GatedDelta => Some((problem.dimensions[2], problem.dimensions[1])),
            Operation::MatMul | Operation::RmsNorm => None,
        };
        if heads.is_some_and(|(many, few)| !many.is_multiple_of(few)) {
            return Err(wrong("of heads that the fewer heads divide".to_owned()));
        }
        match problem.values() {
            Some(values) if values <= MOST_BYTES / 4 => Ok(problem),
            _ => Err(wrong(format!(
                "of at most {MOST_BYTES} bytes in all arrays together"
            ))),
        }
    }

    /// What is computed.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    pub(super) fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// The lengths of the input arrays, then those of the outputs.
    ///
    /// Nothing overflows here: the sum of a problem that exists was computed with checks.
    pub(super) fn lengths(&self) -> (Vec<usize>, Vec<usize>) {
        self.checked_lengths().unwrap_or_default()
    }

    fn values(&self) -> Option<usize> {
        let (inputs, outputs) = self.checked_lengths()?;
        inputs
            .iter()
            .chain(&outputs)
            .try_fold(0_usize, |sum, &length| sum.checked_add(length))
    }

    fn checked_lengths(&self) -> Option<(Vec<usize>, Vec<usize>)> {
        let array = |sizes: &[usize]| {
            sizes
                .iter()
                .try_fold(1_usize, |all, &size| all.checked_mul(size))
        };
        let lengths = match (self.operation, self.dimensions.as_slice()) {
            (Operation::MatMul, &[tokens, inputs, outputs]) => (
                vec![array(&[tokens, inputs])?, array(&[outputs, inputs])?],
                vec![array(&[tokens, outputs])?],
            ),
            (Operation::RmsNorm, &[rows, width]) => (
                vec![array(&[rows, width])?, width],
                vec![array(&[rows, width])?],
            ),
            (Operation::Attention, &[tokens, depth, heads, kv_heads, head_dim]) => {
                let queries = array(&[tokens, heads, head_dim])?;
                let cache = array(&[depth.checked_add(tokens)?, kv_heads, head_dim])?;
                (vec![queries, cache, cache], vec![queries])
            }
            (Operation::GatedDelta, &[tokens, key_heads, value_heads, key_dim, value_dim]) => {
                let keys = array(&[tokens, key_heads, key_dim])?;
                let values = array(&[tokens, value_heads, value_dim])?;
                let gates = array(&[tokens, value_heads])?;
                let state = array(&[value_heads, key_dim, value_dim])?;
                (
                    vec![keys, keys, values, gates, gates, state],
                    vec![values, state],
                )
            }
            _ => return None,
        };
        Some(lengths)
    }

    pub(super) fn shape(&self) -> Shape {
        let size = |at: usize| self.dimensions.get(at).copied().unwrap_or_default();
        match self.operation {
            Operation::MatMul => Shape::MatMul(matmul::Shape {
                tokens: size(0),
                inputs: size(1),
                outputs: size(2),
                dtype: Dtype::F32,
            }),
            Operation::RmsNorm => Shape::RmsNorm(rms_norm::Shape {
                rows: size(0),
                width: size(1),
                eps: EPS,
            }),
            Operation::Attention => Shape::Attention(attention::Shape {
                tokens: size(0),
                depth: size(1),
                heads: size(2),
                kv_heads: size(3),
                head_dim: size(4),
                scale: 1.0 / (size(4) as f32).sqrt(),
                window: None,
                softcap: None,
                gated: false,
            }),
            Operation::GatedDelta => Shape::GatedDelta(gated_delta::Shape {
                tokens: size(0),
                key_heads: size(1),
                value_heads: size(2),
                key_dim: size(3),
                value_dim: size(4),
                head_map: gated_delta::HeadMap::Grouped,
                decay: gated_delta::Decay::PerHead,
            }),
        }
    }

    pub(super) fn cost(&self) -> Cost {
        match self.shape() {
            Shape::MatMul(shape) => matmul::cost(&shape),
            Shape::RmsNorm(shape) => rms_norm::cost(&shape),
            Shape::Attention(shape) => attention::cost(&shape),
            Shape::GatedDelta(shape) => gated_delta::cost(&shape),
        }
    }

    /// Another shape of about this size: each free dimension from half to one and a half times as large, in whole multiples.
    pub(super) fn near(&self, multiple: NonZeroUsize, random: &mut Random) -> Self {
        let multiple = multiple.get();
        let mut dimensions = self.dimensions.clone();
        for (at, size) in dimensions.iter_mut().enumerate() {
            if !self.operation.is_free(at) {
                continue;
            }
            let drawn = (*size as f64 * (0.5 + random.unit())) as usize / multiple * multiple;
            *size = if drawn > 0 {
                drawn
            } else {
                multiple.min(*size)
            };
        }
        // A shape at the limit of bytes may have none that is larger.
        Self::new(self.operation, dimensions).unwrap_or_else(|_| self.clone())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.operation)?;
        for (at, size) in self.dimensions.iter().enumerate() {
            write!(f, "{}{size}", if at == 0 { "" } else { "x" })?;
        }
        Ok(())
    }
}

impl FromStr for Problem {
    type Err = JudgeError;

    fn from_str(text: &str) -> Result<Self, JudgeError> {
        let wrong = |expected: String| JudgeError::Option {
            name: "a shape",
            expected,
            came: format!("{text:?}"),
        };
        let names = || {
            Operation::ALL
                .map(|operation| format!("{operation}:{}", operation.dimensions().join("x")))
        };
        let parts = text.split_once(':');
        let found = parts.and_then(|(name, sizes)| {
            let operation = Operation::ALL
                .into_iter()
                .find(|operation| operation.to_string() == name)?;
            let sizes: Result<Vec<usize>, _> = sizes.split('x').map(str::parse).collect();
            Some((operation, sizes.ok()?))
        });
        let (operation, sizes) =
            found.ok_or_else(|| wrong(format!("one of {}", names().join(", "))))?;
        Self::new(operation, sizes)
    }
}

#[cfg(test)]
mod tests;
