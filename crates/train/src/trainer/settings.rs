//! What decides a run, and when it ends.

use std::time::Duration;

use corpus::Tokenizer;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::{model::Configuration, optimiser::Optimisation};

/// How operands of the large products are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// As f32.
    F32,
    /// Rounded to bfloat16, with f32 sums.
    Bf16,
}

/// How a run goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Steps {
    /// Windows of a batch.
    pub sequences: usize,
    /// Tokens of a window.
    pub positions: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Of the weights' beginning and the windows.
    pub seed: u64,
    /// Of the products.
    pub arithmetic: Arithmetic,
    /// How much of the weights' moving average is kept at each step; 0 for none.
    pub average: f32,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            sequences: 8,
            positions: 256,
            accumulate: 1,
            seed: 1,
            arithmetic: Arithmetic::F32,
            average: 0.0,
        }
    }
}

/// Everything that decides a run but the text and the budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The model.
    pub model: Configuration,
    /// Its batches.
    pub steps: Steps,
    /// What moves it.
    pub optimisation: Optimisation,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// After so many steps.
    Steps(u64),
    /// After so many tokens were seen, repeats included.
    Tokens(u64),
    /// After so long, evaluations and checkpoints not counted.
    Time(Duration),
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps made.
    pub steps: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Time of the steps.
    pub elapsed: Duration,
}

impl Budget {
    /// 0 at the beginning, 1 at the end.
    #[must_use]
    pub fn done(self, progress: &Progress) -> f64 {
        match self {
            Self::Steps(most) => progress.steps as f64 / most.max(1) as f64,
            Self::Tokens(most) => progress.tokens as f64 / most.max(1) as f64,
            Self::Time(most) => progress.elapsed.as_secs_f64() / most.as_secs_f64().max(1e-9),
        }
    }
}

/// Whether they make sense whatever the text, each by its name.
///
/// # Errors
/// One does not: what was expected, and what came.
pub fn check(settings: &Settings, budget: Budget) -> Result<(), TrainError> {
    let refuse = |what, expected: &str, found: String| TrainError::Setting {
        what,
        expected: expected.to_owned(),
        found,
    };
    let (steps, optimisation) = (&settings.steps, &settings.optimisation);
    if steps.accumulate == 0 {
        return Err(refuse("steps.accumulate", "at least 1", "0".to_owned()));
    }
    if !(0.0..1.0).contains(&steps.average) {
        return Err(refuse(
            "steps.average",
            "0 to below 1",
            steps.average.to_string(),
        ));
    }
    for (what, value, most) in [
        ("optimisation.rate", optimisation.rate, 10.0),
        ("optimisation.muon_rate", optimisation.muon_rate, 10.0),
        ("optimisation.warm_up", optimisation.warm_up, 1.0),
        ("optimisation.last", optimisation.last, 1.0),
        ("optimisation.beta1", optimisation.beta1, 0.999_999),
        ("optimisation.beta2", optimisation.beta2, 0.999_999),
        ("optimisation.eps", optimisation.eps, 1.0),
        ("optimisation.decay", optimisation.decay, 10.0),
    ] {
        if !(0.0..=most).contains(&value) {
            return Err(refuse(what, &format!("0 to {most}"), value.to_string()));
        }
    }
    if optimisation.clip.is_nan() || optimisation.clip <= 0.0 {
        return Err(refuse(
            "optimisation.clip",
            "above 0",
            optimisation.clip.to_string(),
        ));
    }
    let is_empty = match budget {
        Budget::Steps(most) => most == 0,
        Budget::Tokens(most) => {
            most < (steps
                .sequences
                .saturating_mul(steps.positions)
                .saturating_mul(steps.accumulate)) as u64
        }
        Budget::Time(most) => most.is_zero(),
    };
    if is_empty {
        return Err(refuse(
            "the budget",
            "enough for one step",
            format!("{budget:?}"),
        ));
    }
    Ok(())
}

/// Whether the model has a row for each token.
pub(super) fn check_vocabulary(
    settings: &Settings,
    tokenizer: &Tokenizer,
) -> Result<(), TrainError> {
    let (tokens, rows) = (tokenizer.vocabulary(), settings.model.vocabulary);
    if tokens == rows {
        return Ok(());
    }
    Err(TrainError::Setting {
        what: "model.vocabulary",
        expected: format!("{tokens}, as many as the tokenizer has"),
        found: rows.to_string(),
    })
}
