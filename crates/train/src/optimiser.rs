//! How gradients move parameters: AdamW everywhere, or Muon for the matrices; schedules of the learning rate.

mod muon;

use kernels::{
    memory::OutOfMemory,
    training::{AdamW, Machine, adamw, sum_of_squares},
};
use serde::{Deserialize, Serialize};

use crate::{
    graph::{Declared, Parameter, Role},
    weights::Weights,
};
/// What moves matrices; embeddings and vectors have AdamW always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Loshchilov and Hutter, 2019.
    Adamw,
    /// Momentum, orthogonalised (Jordan et al., 2024).
    Muon,
}

/// How the learning rate goes after the warm-up, over the rest of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Down a half cosine.
    Cosine,
    /// Down a line.
    Linear,
    /// Stays, then down a line over the last fifth (warm-up, stable, decay).
    Wsd,
}

/// Constants of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimisation {
    /// What moves matrices.
    pub method: Method,
    /// Highest learning rate of AdamW.
    pub rate: f32,
    /// Of Muon, where it is used.
    pub muon_rate: f32,
    /// After the warm-up.
    pub schedule: Schedule,
    /// Part of the run in which the rate rises from 0.
    pub warm_up: f32,
    /// What is left of the rate at the end.
    pub last: f32,
    /// AdamW's mean.
    pub beta1: f32,
    /// AdamW's mean of squares.
    pub beta2: f32,
    /// Added to AdamW's root.
    pub eps: f32,
    /// Decoupled weight decay, of matrices alone.
    pub decay: f32,
    /// Largest norm of all gradients; they are scaled down to it.
    pub clip: f32,
}

impl Default for Optimisation {
    fn default() -> Self {
        Self {
            method: Method::Adamw,
            rate: 6e-4,
            muon_rate: 0.02,
            schedule: Schedule::Wsd,
            warm_up: 0.1,
            last: 0.0,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            decay: 0.1,
            clip: 1.0,
        }
    }
}

impl Optimisation {
    /// Part of the highest rate when `done` of the run (0 to 1) is behind.
    #[must_use]
    pub fn rate_at(&self, done: f64) -> f64 {
        let (warm_up, last) = (f64::from(self.warm_up), f64::from(self.last));
        if done < warm_up {
            return done / warm_up;
        }
        let rest = ((done - warm_up) / (1.0 - warm_up).max(1e-9)).clamp(0.0, 1.0);
        let left = match self.schedule {
            Schedule::Constant => return 1.0,
            Schedule::Cosine => (1.0 + (std::f64::consts::PI * rest).cos()) / 2.0,
            Schedule::Linear => 1.0 - rest,
            Schedule::Wsd => ((1.0 - rest) / 0.2).min(1.0),
        };
        last + (1.0 - last) * left
    }
}

/// State of the optimiser.
pub struct Optimiser {
    pub(crate) mean: Weights,
    pub(crate) square: Weights,
    /// Steps made.
    pub(crate) steps: u64,
    declared: Vec<Declared>,
    settings: Optimisation,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Norm of all gradients, before clipping.
    pub gradient_norm: f64,
    /// AdamW's learning rate.
    pub rate: f64,
}

impl Optimiser {
    /// At the beginning.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn new(declared: &[Declared], settings: Optimisation) -> Result<Self, OutOfMemory> {
        Ok(Self {
            mean: Weights::zeroed(declared)?,
            square: Weights::zeroed(declared)?,
            steps: 0,
            declared: declared.to_vec(),
            settings,
        })
    }

    /// Moves the weights when `done` of the run is behind. Weights stay as they are where the gradients are not finite: the norm says so.
    pub fn step(
        &mut self,
        machine: &Machine,
        weights: &mut Weights,
        gradients: &Weights,
        done: f64,
    ) -> Moved {
        let norm = sum_of_squares(machine, gradients.all()).sqrt();
        let settings = self.settings;
        let part = settings.rate_at(done);
        let moved = Moved {
            gradient_norm: norm,
            rate: part * f64::from(settings.rate),
        };
        if !norm.is_finite() {
            return moved;
        }
        self.steps += 1;
        let gradient_scale = (f64::from(settings.clip) / norm).min(1.0) as f32;
        let constants = AdamW {
            rate: moved.rate as f32,
            beta1: settings.beta1,
            beta2: settings.beta2,
            eps: settings.eps,
            decay: 0.0,
            step: self.steps,
            gradient_scale,
        };
        for index in 0..self.declared.len() {
            let parameter = Parameter(index);
            let is_matrix = self.declared[index].role == Role::Matrix;
            let decay = if is_matrix { settings.decay } else { 0.0 };
            if is_matrix && settings.method == Method::Muon {
                let matrix = muon::Matrix {
                    rows: self.declared[index].rows,
                    columns: self.declared[index].columns,
                    weights: weights.get_mut(parameter),
                    gradient: gradients.get(parameter),
                    momentum: self.mean.get_mut(parameter),
                };
                let rate = part as f32 * settings.muon_rate;
                muon::step(machine, matrix, gradient_scale, rate, settings.decay);
                continue;
            }
            let constants = AdamW { decay, ..constants };
            let (mean, square) = (self.mean.get_mut(parameter), self.square.get_mut(parameter));
            let gradient = gradients.get(parameter);
            adamw(
                machine,
                &constants,
                weights.get_mut(parameter),
                gradient,
                mean,
                square,
            );
        }
        moved
    }
}
