//! A training run: batches, steps, evaluations and checkpoints, in the order of a budget.

mod settings;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use corpus::{Splits, Stream, Tokenizer};
use kernels::{
    memory::OutOfMemory,
    training::{Into, Machine, Precision},
};
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{self, CheckpointError, Saved},
    graph::{Batch, Declared, GraphError, Parameter},
    optimiser::Optimiser,
    program::{Program, ProgramError},
    weights::Weights,
};

pub use settings::{Arithmetic, Budget, Progress, Settings, Steps, check};

/// Why a run is none, or no more.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting makes no sense.
    #[error("{what} must be {expected}, and is {found}")]
    Setting {
        /// Its name.
        what: &'static str,
        /// In words.
        expected: String,
        /// What came.
        found: String,
    },
    /// The model does not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It cannot run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// No memory for weights, gradients or the optimiser.
    #[error("weights and what moves them: {0}")]
    Memory(#[from] OutOfMemory),
    /// A checkpoint was not written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A run goes on with what it began with.
    #[error(
        "the run in this checkpoint is of another text; give the same files in the same order, and the same --held-out"
    )]
    OtherText,
    /// Numbers are not finite any more.
    #[error(
        "step {step} diverged: {what}; the last loss was {last_loss:.4}, the learning rate {rate:.2e}, and the weights are as before this step"
    )]
    Diverged {
        /// From 1.
        step: u64,
        /// What is not finite.
        what: String,
        /// Of the step before, in nats.
        last_loss: f64,
        /// AdamW's.
        rate: f64,
    },
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Mean loss of its tokens, before it, in nats.
    pub loss: f64,
    /// Norm of all gradients, before clipping.
    pub gradient_norm: f64,
    /// AdamW's learning rate.
    pub rate: f64,
    /// Time it took.
    pub elapsed: Duration,
}

/// How well a model foretells a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Bits for each byte of the text.
    pub bits_per_byte: f64,
    /// Bytes of the text.
    pub bytes: usize,
}

/// What a checkpoint says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// `sprag.train/1`.
    pub schema: String,
    /// Of the run.
    pub settings: Settings,
    /// When it ends.
    pub budget: Budget,
    /// How far it is.
    pub progress: Progress,
    /// Of the last step, in nats.
    pub last_loss: f64,
    /// Of the text.
    pub text: String,
    /// What its tokens are.
    #[serde(default)]
    pub tokenizer: Tokenizer,
}

const SCHEMA: &str = "sprag.train/1";

/// A run.
pub struct Trainer {
    settings: Settings,
    budget: Budget,
    splits: Splits,
    machine: Machine,
    program: Program,
    declared: Vec<Declared>,
    weights: Weights,
    gradients: Weights,
    /// Moving average of the weights.
    average: Option<Weights>,
    optimiser: Optimiser,
    progress: Progress,
    last_loss: f64,
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl Trainer {
    /// At the beginning of a run.
    ///
    /// # Errors
    /// Settings make no sense, or there is no memory.
    pub fn new(
        settings: Settings,
        budget: Budget,
        splits: Splits,
        mut machine: Machine,
    ) -> Result<Self, TrainError> {
        check(&settings, budget)?;
        settings::check_vocabulary(&settings, splits.tokenizer())?;
        let graph = settings.model.graph(batch_of(&settings))?;
        let declared = graph.parameters().to_vec();
        let precision = match settings.steps.arithmetic {
            Arithmetic::F32 => Precision::F32,
            Arithmetic::Bf16 => Precision::Bf16,
        };
        let weights = Weights::initial(&declared, settings.steps.seed)?;
        // Of a model that knows nothing.
        let last_loss = (settings.model.vocabulary as f64).ln();
        let average = (settings.steps.average > 0.0)
            .then(|| Weights::initial(&declared, settings.steps.seed));
        Ok(Self {
            program: Program::new(graph, precision, &mut machine)?,
            gradients: Weights::zeroed(&declared)?,
            average: average.transpose()?,
            optimiser: Optimiser::new(&declared, settings.optimisation)?,
            weights,
            declared,
            splits,
            budget,
            settings,
            machine,
            progress: Progress::default(),
            last_loss,
            tokens: Vec::new(),
            targets: Vec::new(),
        })
    }

    /// Where a checkpoint left off; every number from there on is what it would have been.
    ///
    /// # Errors
    /// The checkpoint is of another model or version, or there is no memory.
    pub fn resume(saved: &Saved, splits: Splits, machine: Machine) -> Result<Self, TrainError> {
        let about: About = saved.about()?;
        if about.text != splits.fingerprint() {
            return Err(TrainError::OtherText);
        }
        let mut trainer = Self::new(about.settings, about.budget, splits, machine)?;
        saved.read("weights", &trainer.declared, &mut trainer.weights)?;
        saved.read("mean", &trainer.declared, &mut trainer.optimiser.mean)?;
        saved.read("square", &trainer.declared, &mut trainer.optimiser.square)?;
        if let Some(average) = &mut trainer.average {
            saved.read("average", &trainer.declared, average)?;
        }
        trainer.optimiser.steps = about.progress.steps;
        trainer.progress = about.progress;
        trainer.last_loss = about.last_loss;
        Ok(trainer)
    }

    /// Of the run.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When it ends.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Parameters in all.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.declared.iter().map(|one| one.rows * one.columns).sum()
    }

    /// Bytes of weights, gradients, optimiser and intermediate results.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let parameters = self.weights.all().len();
        self.program.activation_bytes() + bytes_of_weights(parameters, &self.settings)
    }

    /// The same of a run that has not begun; takes none of it.
    ///
    /// # Errors
    /// The model does not fit together.
    pub fn bytes_needed(settings: &Settings) -> Result<usize, TrainError> {
        let graph = settings.model.graph(batch_of(settings))?;
        let sizes = graph.parameters().iter().map(|one| one.rows * one.columns);
        let parameters = sizes.fold(0, usize::saturating_add);
        let weights = bytes_of_weights(parameters, settings);
        Ok(Program::bytes_needed(&graph).saturating_add(weights))
    }

    /// The text.
    #[must_use]
    pub const fn splits(&self) -> &Splits {
        &self.splits
    }

    /// Whether the budget is spent.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.budget.done(&self.progress) >= 1.0
    }

    /// One step.
    ///
    /// # Errors
    /// A loss or a gradient is not finite; the weights are as before.
    pub fn step(&mut self) -> Result<Step, TrainError> {
        let started = Instant::now();
        let batch = self.program.graph().batch();
        let accumulate = self.settings.steps.accumulate as u64;
        let mut loss = 0.0;
        for part in 0..accumulate {
            let number = self.progress.steps * accumulate + part;
            let seed = self.settings.steps.seed;
            self.splits
                .train
                .windows(batch, seed, number, &mut self.tokens, &mut self.targets);
            let into = if part == 0 { Into::Set } else { Into::Add };
            let share = 1.0 / accumulate as f32;
            let text = (&self.tokens[..], &self.targets[..]);
            let gradients = (&mut self.gradients, into);
            loss += self
                .program
                .gradients(&self.machine, &self.weights, text, share, gradients)
                / accumulate as f64;
        }
        let done = self.budget.done(&self.progress).min(1.0);
        let rate =
            self.settings.optimisation.rate_at(done) * f64::from(self.settings.optimisation.rate);
        if !loss.is_finite() {
            return Err(self.diverged(format!("its loss is {loss}"), rate));
        }
        let moved = self
            .optimiser
            .step(&self.machine, &mut self.weights, &self.gradients, done);
        if !moved.gradient_norm.is_finite() {
            return Err(self.diverged(self.bad_gradient(), rate));
        }
        if let Some(average) = &mut self.average {
            let keep = self.settings.steps.average;
            for (average, weight) in average.all_mut().iter_mut().zip(self.weights.all()) {
                *average = keep * *average + (1.0 - keep) * weight;
            }
        }
        let elapsed = started.elapsed();
        self.progress.steps += 1;
        self.progress.tokens += accumulate * batch.tokens() as u64;
        self.progress.elapsed += elapsed;
        self.last_loss = loss;
        Ok(Step {
            loss,
            gradient_norm: moved.gradient_norm,
            rate: moved.rate,
            elapsed,
        })
    }

    fn diverged(&self, what: String, rate: f64) -> TrainError {
        TrainError::Diverged {
            step: self.progress.steps + 1,
            what,
            last_loss: self.last_loss,
            rate,
        }
    }

    fn bad_gradient(&self) -> String {
        let bad = |index: &usize| {
            self.gradients
                .get(Parameter(*index))
                .iter()
                .any(|g| !g.is_finite())
        };
        let first = (0..self.declared.len()).find(bad);
        first.map_or_else(
            || "the gradients' sum of squares is too large for a number".to_owned(),
            |index| {
                format!(
                    "the gradient of {} is not finite",
                    self.declared[index].name
                )
            },
        )
    }

    /// The weights that a user gets: their moving average, where there is one.
    #[must_use]
    pub fn result(&self) -> &Weights {
        self.average.as_ref().unwrap_or(&self.weights)
    }

    /// Parameters as declared, in the order of the weights.
    #[must_use]
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// Bits per byte of the public half of the held-out text, by the result.
    pub fn evaluate(&mut self) -> Evaluation {
        self.evaluate_on(&self.splits.public.clone())
    }

    /// The same of the hidden half, where there is one: worth looking at once, when nothing will be chosen by it any more.
    pub fn evaluate_hidden(&mut self) -> Option<Evaluation> {
        let hidden = self.splits.hidden.clone()?;
        Some(self.evaluate_on(&hidden))
    }

    fn evaluate_on(&mut self, text: &Stream) -> Evaluation {
        let batch = self.program.graph().batch();
        let mut nats = 0.0;
        for (tokens, targets) in text.every_byte(batch) {
            let weights = self.average.as_ref().unwrap_or(&self.weights);
            let losses = self
                .program
                .losses(&self.machine, weights, &tokens, &targets);
            nats += losses.iter().copied().map(f64::from).sum::<f64>();
        }
        let bytes = text.text_bytes();
        Evaluation {
            bits_per_byte: nats / bytes.max(1) as f64 / std::f64::consts::LN_2,
            bytes,
        }
    }

    /// Writes a checkpoint that [`Trainer::resume`] goes on from.
    ///
    /// # Errors
    /// The system refuses; what was there is untouched.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let about = About {
            schema: SCHEMA.to_owned(),
            settings: self.settings.clone(),
            budget: self.budget,
            progress: self.progress,
            last_loss: self.last_loss,
            text: self.splits.fingerprint(),
            tokenizer: self.splits.tokenizer().clone(),
        };
        let mut sets = vec![
            ("weights", &self.weights),
            ("mean", &self.optimiser.mean),
            ("square", &self.optimiser.square),
        ];
        if let Some(average) = &self.average {
            sets.push(("average", average));
        }
        checkpoint::write(path, &about, &self.declared, &sets)
    }
}

fn batch_of(settings: &Settings) -> Batch {
    Batch {
        sequences: settings.steps.sequences,
        positions: settings.steps.positions,
    }
}

/// Weights, gradients, both means of the optimiser, and the moving average where there is one.
fn bytes_of_weights(parameters: usize, settings: &Settings) -> usize {
    let sets = 4 + usize::from(settings.steps.average > 0.0);
    parameters.saturating_mul(sets * size_of::<f32>())
}

#[cfg(test)]
mod tests;
