//! Classical search over declared literals: tree-structured Parzen estimator (`tpe`), CMA-ES, independent draws.
//!
//! A sampler lives for a single question, with the proposer's own seed and what the ledger knows, so that a restart changes nothing. Every
//! number is a place from 0 to 1 to it, on the scale that the track names. What another judge measured is not told.
//!
//! The estimator is our own: the one of the `optimizer` crate takes all knobs with one range for the same knob. It is told every earlier
//! question of this proposer whose literals the knobs may have today; one without a verdict yet counts as a loss, so that it is not asked again.
//!
//! The other two are that crate's, and remember their own questions:
//!
//! 1. A sampler is led through this proposer's earlier questions in their order, told what came of each, and asked once more.
//! 2. An earlier question that it would not ask again was asked of other knobs: with it the sampler begins anew.
//! 3. What was not known yet when a question was asked, because several are measured at a time, is told after it.
//! 4. A loss is told as worse than anything that can be measured: one that is told nothing would ask for it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use optimizer::{
    Direction, Study, Trial,
    parameter::{CategoricalParam, FloatParam, Parameter as _},
    sampler::{CmaEsSampler, RandomSampler},
};

use super::{Answer, Idea, Past};
use crate::{
    git::Files,
    record::Void,
    track::{Domain, Knob, file::Method},
};
use tpe::{Axis, Known};

#[cfg(test)]
mod tests;
mod tpe;

/// What a loss costs.
const LOST: f64 = f64::MAX / 16.0;
/// Draws of the estimator until one was not asked before.
const ATTEMPTS: u64 = 8;

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

/// The place of a literal, as [`literal`] has it, or the number of a value; `None` where the domain has no such literal.
fn place(domain: &Domain, literal: &str) -> Option<f64> {
    match domain {
        Domain::Whole {
            low,
            high,
            step,
            log,
        } => {
            let value: i64 = literal.parse().ok()?;
            let is_one = (low..=high).contains(&&value) && (value - low) % step == 0;
            let (steps, index) = ((high - low) / step, (value - low) / step);
            let place = if *log {
                let (from, to) = ((*low as f64).ln(), (*high as f64 + 1.0).ln());
                ((value as f64 + 0.5).ln() - from) / (to - from)
            } else {
                (index as f64 + 0.5) / (steps + 1) as f64
            };
            is_one.then_some(place)
        }
        Domain::Real { low, high, log } => {
            let value: f64 = literal.parse().ok()?;
            let place = if *log {
                (value.ln() - low.ln()) / (high.ln() - low.ln())
            } else {
                (value - low) / (high - low)
            };
            (low..=high).contains(&&value).then_some(place)
        }
        Domain::Values(values) => Some(values.iter().position(|one| one == literal)? as f64),
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
    let literals = match method {
        Method::Tpe => Ok(estimate(knobs, name, seed, past, base)),
        Method::Cma => ask(
            &|| Study::with_sampler(Direction::Minimize, CmaEsSampler::with_seed(seed)),
            knobs,
            name,
            past,
        ),
        Method::Random => ask(
            &|| Study::with_sampler(Direction::Minimize, RandomSampler::with_seed(seed)),
            knobs,
            name,
            past,
        ),
    };
    let literals = literals.map_err(|error| failed(&error))?;
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

/// What the estimator asks for, in the knobs' order.
fn estimate(knobs: &[Knob], name: &str, seed: u64, past: &[Past], base: &Files) -> Vec<String> {
    let axes: Vec<Axis> = knobs
        .iter()
        .map(|knob| match &knob.domain {
            Domain::Values(values) => Axis::Choices(values.len()),
            Domain::Whole { .. } | Domain::Real { .. } => Axis::Line,
        })
        .collect();
    let point = |literal: &dyn Fn(&Knob) -> Option<String>| -> Option<tpe::Point> {
        let places = knobs
            .iter()
            .map(|knob| place(&knob.domain, &literal(knob)?));
        places.collect()
    };
    let mut asked = BTreeSet::new();
    let mut known = Vec::new();
    for earlier in past
        .iter()
        .filter(|past| past.proposer == name && past.comparable)
    {
        let chosen = earlier.knobs.iter().flatten().collect::<BTreeMap<_, _>>();
        let of = |knob: &Knob| chosen.get(&name_of(knob)).map(|&literal| literal.clone());
        let Some(point) = point(&of).filter(|_| chosen.len() == knobs.len()) else {
            continue;
        };
        asked.insert(knobs.iter().filter_map(of).collect::<Vec<_>>());
        known.push(Known {
            point,
            cost: earlier.cost.filter(|cost| !cost.is_nan()),
        });
    }
    let base = point(&|knob| {
        let file = base.get(Path::new(knob.place.file()))?;
        let text = str::from_utf8(&file.bytes).ok()?;
        Some(knob.place.read(text).ok()?.trim().to_owned())
    });
    let mut literals = Vec::new();
    // Where all that is likely was asked already, once more is as good as anything.
    for attempt in 0..ATTEMPTS {
        let next = tpe::ask(&axes, &known, base.as_ref(), seed.wrapping_add(attempt));
        literals = knobs
            .iter()
            .zip(next)
            .map(|(knob, place)| match &knob.domain {
                Domain::Values(values) => values.get(place as usize).cloned().unwrap_or_default(),
                numbers => literal(numbers, place),
            })
            .collect();
        // The rows of the first questions belong together.
        if !asked.contains(&literals) || known.len() < tpe::FIRST {
            break;
        }
    }
    literals
}

/// A sampler with the parameters that it is asked for.
struct Sampler<'k> {
    study: Study<f64>,
    parameters: Vec<Parameter>,
    knobs: &'k [Knob],
}

impl<'k> Sampler<'k> {
    fn new(study: Study<f64>, knobs: &'k [Knob]) -> Self {
        Self {
            study,
            parameters: knobs
                .iter()
                .map(|knob| Parameter::of(&knob.domain))
                .collect(),
            knobs,
        }
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

/// What a sampler of `optimizer` asks for, in the knobs' order.
fn ask(
    fresh: &dyn Fn() -> Study<f64>,
    knobs: &[Knob],
    name: &str,
    past: &[Past],
) -> Result<Vec<String>, optimizer::Error> {
    let names: Vec<String> = knobs.iter().map(name_of).collect();
    let mut sampler = Sampler::new(fresh(), knobs);
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
            sampler = Sampler::new(fresh(), knobs);
            (trial, literals) = sampler.ask()?;
        }
        if was_asked(&literals) {
            open.push((earlier, trial));
        } else {
            sampler = Sampler::new(fresh(), knobs);
        }
    }
    for (answered, trial) in open.extract_if(.., |(past, _)| !past.is_pending) {
        sampler.tell(answered, trial);
    }
    Ok(sampler.ask()?.1)
}
