//! `knobs.toml`: what a search changes, made into a model and an optimiser.

use std::error::Error;

use serde::Deserialize;
use train::{
    Configuration, Mixer, Mlp,
    optimiser::{Method, Optimisation, Schedule},
};

/// The file, a field a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    pub layers: usize,
    pub width: usize,
    pub head_dim: usize,
    /// Query heads that share a key head.
    pub kv_share: usize,
    /// Of the layers, repeated: words with a blank between.
    pub mixers: String,
    pub window: usize,
    pub head_norms: bool,
    pub output_gate: bool,
    pub value_residual: bool,
    pub mlp: Mlp,
    /// Channels of the feed-forward network for each of the stream.
    pub hidden_ratio: f64,
    pub tied: bool,
    /// 0 for none.
    pub soft_cap: f32,

    /// Pairs of bytes or tokens that are joined into further tokens; 0 for bytes alone.
    pub merges: usize,
    pub sequences: usize,
    pub positions: usize,
    pub arithmetic: train::trainer::Arithmetic,
    /// How much of the weights' moving average stays at each step; 0 for none.
    pub average: f32,

    pub method: Method,
    pub rate: f32,
    pub muon_rate: f32,
    pub schedule: Schedule,
    pub warm_up: f32,
    pub last: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub decay: f32,
    pub clip: f32,
}

impl Knobs {
    pub fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(toml::from_str(&text).map_err(|error| format!("{path}: {error}"))?)
    }

    /// With so many tokens.
    pub fn model(&self, vocabulary: usize) -> Result<Configuration, Box<dyn Error>> {
        let mixers = self.mixers.split_whitespace().map(|word| match word {
            "full" => Ok(Mixer::Full),
            "window" => Ok(Mixer::Window),
            "gated_delta" => Ok(Mixer::GatedDelta),
            _ => Err(format!(
                "mixers: expected full, window or gated_delta, came {word:?}"
            )),
        });
        let heads = (self.width / self.head_dim.max(1)).max(1);
        Ok(Configuration {
            vocabulary,
            layers: self.layers,
            width: self.width,
            mixers: mixers.collect::<Result<_, _>>()?,
            heads,
            // A share that does not divide the heads is as good as the next that does.
            kv_heads: (1..=heads / self.kv_share.max(1))
                .rev()
                .find(|keys| heads.is_multiple_of(*keys))
                .unwrap_or(1),
            head_dim: self.head_dim,
            window: self.window,
            head_norms: self.head_norms,
            output_gate: self.output_gate,
            value_residual: self.value_residual,
            mlp: self.mlp,
            hidden: ((self.width as f64 * self.hidden_ratio / 16.0).round() as usize).max(1) * 16,
            tied: self.tied,
            soft_cap: (self.soft_cap > 0.0).then_some(self.soft_cap),
            ..Configuration::default()
        })
    }

    pub fn optimisation(&self) -> Optimisation {
        Optimisation {
            method: self.method,
            rate: self.rate,
            muon_rate: self.muon_rate,
            schedule: self.schedule,
            warm_up: self.warm_up,
            last: self.last,
            beta1: self.beta1,
            beta2: self.beta2,
            decay: self.decay,
            clip: self.clip,
            ..Optimisation::default()
        }
    }
}
