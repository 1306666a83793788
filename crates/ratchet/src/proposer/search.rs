//! Classical search over declared literals: tree-structured Parzen estimator, CMA-ES, independent draws.
//!
//! The samplers are the `optimizer` crate's. One lives for a single question: it is made anew with the proposer's own seed, led through
//! this proposer's earlier questions in their order, told what came of each, and asked once more. So a restart changes nothing, and the
//! ledger is all the memory there is.
//!
//! A loss is told as somewhat worse than the worst that was measured: a sampler that is told nothing would ask for it again.

use std::{collections::BTreeMap, path::Path};

use optimizer::{
    Direction, Study, Trial,
    parameter::{CategoricalParam, FloatParam, IntParam, Parameter as _},
    sampler::{CmaEsSampler, RandomSampler, TpeSampler},
};

use super::{Answer, Idea, Past};
use crate::{
    git::Files,
    record::Void,
    track::{Domain, Knob, file::Method},
};

/// One parameter of the study, and how its value is written.
enum Parameter {
    Whole(IntParam),
    Real(FloatParam),
    Values(CategoricalParam<String>),
}

impl Parameter {
    fn of(domain: &Domain) -> Self {
        match domain {
            Domain::Whole { low, high, step, log } => {
                let param = IntParam::new(*low, *high);
                // A logarithmic scale has no even steps: the value is rounded to one afterwards.
                Self::Whole(match (log, step) {
                    (true, _) => param.log_scale(),
                    (false, 1) => param,
                    (false, step) => param.step(*step),
                })
            }
            Domain::Real { low, high, log } => {
                let param = FloatParam::new(*low, *high);
                Self::Real(if *log { param.log_scale() } else { param })
            }
            Domain::Values(values) => Self::Values(CategoricalParam::new(values.clone())),
        }
    }

    fn ask(&self, trial: &mut Trial, domain: &Domain) -> Result<String, optimizer::Error> {
        Ok(match (self, domain) {
            (Self::Whole(param), Domain::Whole { low, high, step, .. }) => {
                let value = param.suggest(trial)?;
                let steps = (value - low + step / 2).div_euclid(*step);
                (low + steps * step).clamp(*low, *high).to_string()
            }
            (Self::Whole(param), _) => param.suggest(trial)?.to_string(),
            (Self::Real(param), _) => digits(param.suggest(trial)?),
            (Self::Values(param), _) => param.suggest(trial)?,
        })
    }
}

/// Four digits: no knob is finer than its noise.
fn digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    format!("{rounded:?}")
}

/// The next proposal of the search called `name`.
#[must_use]
pub fn propose(method: Method, knobs: &[Knob], name: &str, seed: u64, past: &[Past], base: &Files) -> Answer {
    let failed = |error: &dyn std::fmt::Display| Void::Proposer {
        said: error.to_string(),
    };
    let literals = ask(method, knobs, name, seed, past).map_err(|error| failed(&error))?;
    let mut files = base.clone();
    let mut chosen = BTreeMap::new();
    let mut words = Vec::new();
    for (knob, literal) in knobs.iter().zip(&literals) {
        let path = Path::new(knob.place.file());
        let contents = files
            .get_mut(path)
            .ok_or_else(|| failed(&format!("{} is not there", path.display())))?;
        let text = String::from_utf8(contents.bytes.clone())
            .map_err(|_| failed(&format!("{} is no text", path.display())))?;
        if knob.place.read(&text).map_err(|error| failed(&error))?.trim() != literal {
            words.push(knob.place.line().replace("{}", literal));
            contents.bytes = knob
                .place
                .replace(&text, literal)
                .map_err(|error| failed(&error))?
                .into_bytes();
        }
        chosen.insert(knob.place.line(), literal.clone());
    }
    Ok(Idea {
        files,
        title: words.join(", "),
        knobs: Some(chosen),
    })
}

/// The literals to try, in the knobs' order.
fn ask(method: Method, knobs: &[Knob], name: &str, seed: u64, past: &[Past]) -> Result<Vec<String>, optimizer::Error> {
    let study: Study<f64> = match method {
        Method::Tpe => Study::with_sampler(Direction::Minimize, TpeSampler::builder().n_startup_trials(8).seed(seed).build()?),
        Method::Cma => Study::with_sampler(Direction::Minimize, CmaEsSampler::with_seed(seed)),
        Method::Random => Study::with_sampler(Direction::Minimize, RandomSampler::with_seed(seed)),
    };
    let parameters: Vec<Parameter> = knobs.iter().map(|knob| Parameter::of(&knob.domain)).collect();
    let question = || -> Result<(Trial, Vec<String>), optimizer::Error> {
        let mut trial = study.ask();
        let literals = parameters
            .iter()
            .zip(knobs)
            .map(|(parameter, knob)| parameter.ask(&mut trial, &knob.domain))
            .collect::<Result<_, _>>()?;
        Ok((trial, literals))
    };
    let costs: Vec<f64> = past.iter().filter_map(|past| past.cost).collect();
    let worst = costs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
    let lost = if costs.is_empty() { 1.0 } else { worst + (worst - best).max(worst.abs() * 1e-3) };
    for experiment in past.iter().filter(|past| past.proposer == name) {
        let (trial, _) = question()?;
        study.complete_trial(trial, experiment.cost.unwrap_or(lost));
    }
    Ok(question()?.1)
}
