//! Classical search over declared literals: tree-structured Parzen estimator, CMA-ES, independent draws.
//!
//! The samplers are the `optimizer` crate's. One lives for a single question: it is made anew with the proposer's own seed, led through
//! this proposer's earlier questions in their order, told what came of each, and asked once more. So a restart changes nothing, and the
//! ledger is all the memory there is.
//!
//! 1. Every number is a place from 0 to 1 to the sampler, on the scale that the track names: CMA-ES has one step size for all.
//! 2. An earlier question that the sampler would not ask again was asked of other knobs: with it the sampler begins anew.
//! 3. What was not known yet when a question was asked, because several are measured at a time, is told after it.
//! 4. A loss is told as worse than anything that can be measured: samplers look at ranks, and one that is told nothing would ask for it
//!    again. What another judge measured is not told at all.

use std::{collections::BTreeMap, path::Path};

use optimizer::{
    Direction, Study, Trial,
    parameter::{CategoricalParam, FloatParam, Parameter as _},
    sampler::{CmaEsSampler, RandomSampler, TpeSampler},
};

use super::{Answer, Idea, Past};
use crate::{
    git::Files,
    record::Void,
    track::{Domain, Knob, file::Method},
};

#[cfg(test)]
mod tests;

/// What a loss costs.
const LOST: f64 = f64::MAX / 16.0;

/// One parameter of the study.
enum Parameter {
    /// A place on a scale.
    Place(FloatParam),
    Values(CategoricalParam<String>),
}

impl Parameter {
    fn of(domain: &Domain) -> Self {
        match domain {
            Domain::Whole { .. } | Domain::Real { .. } => Self::Place(FloatParam::new(0.0, 1.0)),
            Domain::Values(values) => Self::Values(CategoricalParam::new(values.clone())),
        }
    }

    fn ask(&self, trial: &mut Trial, domain: &Domain) -> Result<String, optimizer::Error> {
        match self {
            Self::Place(param) => Ok(literal(domain, param.suggest(trial)?)),
            Self::Values(param) => param.suggest(trial),
        }
    }
}

/// The literal at a place from 0 to 1 of a domain.
fn literal(domain: &Domain, place: f64) -> String {
    let place = if place.is_finite() {
        place.clamp(0.0, 1.0)
    } else {
        0.5
    };
    match domain {
        Domain::Whole {
            low,
            high,
            step,
            log,
        } => {
            let steps = (high - low) / step;
            // Every step has the same share of the places; on a logarithmic scale, the same share of its own width.
            let index = if *log {
                let (from, to) = ((*low as f64).ln(), (*high as f64 + 1.0).ln());
                ((from + place * (to - from)).exp().floor() as i64 - low).div_euclid(*step)
            } else {
                (place * (steps + 1) as f64).floor() as i64
            };
            (low + index.clamp(0, steps) * step).to_string()
        }
        Domain::Real { low, high, log } => {
            let value = if *log {
                (low.ln() + place * (high.ln() - low.ln())).exp()
            } else {
                low + place * (high - low)
            };
            digits(value, *low, *high)
        }
        Domain::Values(values) => values.first().cloned().unwrap_or_default(),
    }
}

/// Four digits: no knob is finer than its noise. A rounding that leaves the range is undone.
fn digits(value: f64, low: f64, high: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    format!("{:?}", rounded.clamp(low, high))
}

/// How the ledger calls a knob.
fn name_of(knob: &Knob) -> String {
    format!("{}: {}", knob.place.file(), knob.place.line())
}

/// The next proposal of the search called `name`.
pub fn propose(
    method: Method,
    knobs: &[Knob],
    name: &str,
    seed: u64,
    past: &[Past],
    base: &Files,
) -> Answer {
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
        if knob
            .place
            .read(&text)
            .map_err(|error| failed(&error))?
            .trim()
            != literal
        {
            words.push(knob.place.line().replace("{}", literal));
            contents.bytes = knob
                .place
                .replace(&text, literal)
                .map_err(|error| failed(&error))?
                .into_bytes();
        }
        chosen.insert(name_of(knob), literal.clone());
    }
    Ok(Idea {
        files,
        title: words.join(", "),
        knobs: Some(chosen),
    })
}

/// A sampler with the parameters that it is asked for.
struct Sampler<'k> {
    study: Study<f64>,
    parameters: Vec<Parameter>,
    knobs: &'k [Knob],
}

impl<'k> Sampler<'k> {
    fn new(method: Method, knobs: &'k [Knob], seed: u64) -> Result<Self, optimizer::Error> {
        let study = match method {
            Method::Tpe => {
                let sampler = TpeSampler::builder()
                    .n_startup_trials(8)
                    .seed(seed)
                    .build()?;
                Study::with_sampler(Direction::Minimize, sampler)
            }
            Method::Cma => Study::with_sampler(Direction::Minimize, CmaEsSampler::with_seed(seed)),
            Method::Random => {
                Study::with_sampler(Direction::Minimize, RandomSampler::with_seed(seed))
            }
        };
        Ok(Self {
            study,
            parameters: knobs
                .iter()
                .map(|knob| Parameter::of(&knob.domain))
                .collect(),
            knobs,
        })
    }

    fn tell(&self, past: &Past, trial: Trial) {
        self.study.complete_trial(trial, past.cost.unwrap_or(LOST));
    }

    fn ask(&self) -> Result<(Trial, Vec<String>), optimizer::Error> {
        let mut trial = self.study.ask();
        let both = self.parameters.iter().zip(self.knobs);
        let literals = both
            .map(|(parameter, knob)| parameter.ask(&mut trial, &knob.domain))
            .collect::<Result<_, _>>()?;
        Ok((trial, literals))
    }
}

/// The literals to try, in the knobs' order.
fn ask(
    method: Method,
    knobs: &[Knob],
    name: &str,
    seed: u64,
    past: &[Past],
) -> Result<Vec<String>, optimizer::Error> {
    let names: Vec<String> = knobs.iter().map(name_of).collect();
    let mut sampler = Sampler::new(method, knobs, seed)?;
    // Asked, and not answered yet.
    let mut open: Vec<(&Past, Trial)> = Vec::new();
    for earlier in past
        .iter()
        .filter(|past| past.proposer == name && past.comparable)
    {
        for (answered, trial) in
            open.extract_if(.., |(past, _)| !earlier.beside.contains(&past.experiment))
        {
            sampler.tell(answered, trial);
        }
        let was_asked = |literals: &[String]| {
            let chosen = earlier.knobs.iter().flatten();
            chosen.eq(names.iter().zip(literals).collect::<BTreeMap<_, _>>())
        };
        let (mut trial, mut literals) = sampler.ask()?;
        if !was_asked(&literals) {
            open.clear();
            sampler = Sampler::new(method, knobs, seed)?;
            (trial, literals) = sampler.ask()?;
        }
        if was_asked(&literals) {
            open.push((earlier, trial));
        } else {
            sampler = Sampler::new(method, knobs, seed)?;
        }
    }
    for (answered, trial) in open.extract_if(.., |(past, _)| !past.is_pending) {
        sampler.tell(answered, trial);
    }
    Ok(sampler.ask()?.1)
}
