//! Two runs, layer by layer: where one is faster than the other.
//!
//! - Each level's speed-up is the time of the first run over that of the second, with an interval from both runs' samples.
//! - A layer's own share of it is what its fall (the factor between it and the level before) became: the shares of all layers,
//!   multiplied, are the speed-up of the last.
//! - Runs of other work are refused: other tokens, another depth, or, unless it is wanted, another model.
//!
//! The interval speaks of the two runs, and of how runs of the same work differ where either run knows that of its machine. What changed
//! between the two beyond that, a neighbour on the machine for example, is in the difference.

use measure::{Interval, Samples, unpaired::ratio_of};
use serde::Serialize;

use crate::{
    numbers::{amount, significant},
    report::{Layer, Part, Reading, Regime, Report, SCHEMA as REPORT_SCHEMA, Waterfall, typical},
};

/// The schema's name and version.
pub const SCHEMA: &str = "sprag.lens-diff/1";
/// Probability that an interval covers.
const CONFIDENCE: f64 = 0.95;
/// A part's difference below this share of the step is not listed.
const SMALL: f64 = 0.005;

/// Why two reports cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// Another kind of document.
    #[error(
        "{which} is of schema {schema:?}; expected {REPORT_SCHEMA:?}, what `sprag lens MODEL --json` writes"
    )]
    Schema {
        /// First or second.
        which: &'static str,
        /// What it says.
        schema: String,
    },
    /// Other work.
    #[error(
        "the runs did other work: {what} {first} in the first and {second} in the second; run one again with the other's"
    )]
    Work {
        /// What differs.
        what: String,
        /// There.
        first: usize,
        /// Here.
        second: usize,
    },
    /// Another model.
    #[error("not the same model: {}; --across-models compares all the same", .0.join("; "))]
    Model(Vec<String>),
}

/// Two runs held against each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The first run.
    pub first: Side,
    /// The second.
    pub second: Side,
    /// What else differs: model, machine, version, settings.
    pub differences: Vec<String>,
    /// The prompt's regime.
    pub prefill: Comparison,
    /// The answer's regime.
    pub decode: Comparison,
}

/// Which run it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// When it was finished.
    pub date: String,
    /// The model's name.
    pub model: String,
    /// The processor's name.
    pub machine: String,
    /// Version of Sprag.
    pub sprag: String,
}

/// One regime of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Which.
    pub regime: Regime,
    /// From presented to user.
    pub levels: Vec<LevelPair>,
    /// Parts by how much their time in the step differs, largest first; small ones left out.
    pub parts: Vec<PartPair>,
    /// The result in a sentence.
    pub verdict: String,
}

/// A level of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LevelPair {
    /// Which.
    pub layer: Layer,
    /// Milliseconds per token in the first run.
    pub first_ms: Option<f64>,
    /// In the second.
    pub second_ms: Option<f64>,
    /// How many times as fast the second is.
    pub speed_up: Option<f64>,
    /// Of the speed-up; `None` for levels that are computed, and for fewer than 5 samples.
    pub interval: Option<Interval>,
    /// This layer's own share of it: the first's fall from the level before over the second's; of the first level that both know, all.
    pub own: Option<f64>,
}

/// A part of both; milliseconds per token in the step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartPair {
    /// Its label.
    pub name: String,
    /// `None` where the first run has no such part.
    pub first_ms: Option<f64>,
    /// `None` where the second run has no such part.
    pub second_ms: Option<f64>,
}

impl PartPair {
    /// Second less first; a part that is not there takes no time.
    #[must_use]
    pub fn difference_ms(&self) -> f64 {
        self.second_ms.unwrap_or(0.0) - self.first_ms.unwrap_or(0.0)
    }
}

/// Holds two runs against each other.
///
/// # Errors
/// They are no runs, or of other work; or of another model, unless `across_models`.
pub fn diff(first: &Report, second: &Report, across_models: bool) -> Result<Diff, DiffError> {
    for (which, report) in [("the first", first), ("the second", second)] {
        if report.schema != REPORT_SCHEMA {
            return Err(DiffError::Schema {
                which,
                schema: report.schema.to_string(),
            });
        }
    }
    for (a, b) in [
        (&first.prefill, &second.prefill),
        (&first.decode, &second.decode),
    ] {
        for (what, first, second) in [
            ("tokens", a.tokens, b.tokens),
            ("a depth of", a.depth, b.depth),
        ] {
            if first != second {
                let what =
                    format!("{} of {what}", a.regime.name()).replace("of a depth of", "at depth");
                return Err(DiffError::Work {
                    what,
                    first,
                    second,
                });
            }
        }
    }
    let models = models(first, second);
    if !models.is_empty() && !across_models {
        return Err(DiffError::Model(models));
    }
    let mut differences = models;
    differences.extend(settings(first, second));
    Ok(Diff {
        schema: SCHEMA,
        first: side(first),
        second: side(second),
        differences,
        prefill: regime(first, second, Regime::Prefill),
        decode: regime(first, second, Regime::Decode),
    })
}

fn side(report: &Report) -> Side {
    Side {
        date: report.date.clone(),
        model: report.model.name.clone(),
        machine: report
            .machine
            .cpu
            .name
            .value()
            .map_or_else(|| "unnamed processor".to_owned(), Clone::clone),
        sprag: report.sprag.to_string(),
    }
}

/// What tells their models apart.
fn models(first: &Report, second: &Report) -> Vec<String> {
    let (a, b) = (&first.model, &second.model);
    let formats = |m: &crate::report::ModelIdentity| {
        let all: Vec<String> = m
            .formats
            .iter()
            .map(|f| format!("{} {}", f.name, amount(f.bytes as f64, "B")))
            .collect();
        all.join(" + ")
    };
    let mut found = Vec::new();
    let mut unlike = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{what} {a} and {b}"));
        }
    };
    unlike(
        "architecture",
        a.architecture.clone(),
        b.architecture.clone(),
    );
    unlike(
        "parameters",
        a.parameters.to_string(),
        b.parameters.to_string(),
    );
    unlike("layers", a.layers.to_string(), b.layers.to_string());
    unlike("quantisation", formats(a), formats(b));
    found
}

/// What tells their machines and settings apart.
fn settings(first: &Report, second: &Report) -> Vec<String> {
    let (a, b) = (&first.profile, &second.profile);
    let (of_first, of_second) = (side(first), side(second));
    let all = [
        ("machine", of_first.machine, of_second.machine),
        ("version", of_first.sprag, of_second.sprag),
        ("threads", a.threads.to_string(), b.threads.to_string()),
        ("pinning", a.pinning.clone(), b.pinning.clone()),
        ("barrier", a.barrier.clone(), b.barrier.clone()),
        ("instructions", a.isa.clone(), b.isa.clone()),
        ("products by role", a.roles_in_words(), b.roles_in_words()),
        ("KV cache", a.kv_type.clone(), b.kv_type.clone()),
        ("pages", a.pages.clone(), b.pages.clone()),
        (
            "prefill chunk",
            a.prefill_chunk.to_string(),
            b.prefill_chunk.to_string(),
        ),
        (
            "product",
            a.matmul_variant.clone(),
            b.matmul_variant.clone(),
        ),
        (
            "BF16 products in",
            a.float_products.clone(),
            b.float_products.clone(),
        ),
    ];
    all.into_iter()
        .filter(|(_, a, b)| a != b)
        .map(|(what, a, b)| format!("{what} {a} and {b}"))
        .collect()
}

fn regime(first: &Report, second: &Report, regime: Regime) -> Comparison {
    let drift = |layer| drift(first, second, regime, layer);
    compared(first.regime(regime), second.regime(regime), drift)
}

/// `drift` of each level, as [`drift`] gives it.
fn compared(first: &Waterfall, second: &Waterfall, drift: impl Fn(Layer) -> f64) -> Comparison {
    let mut levels: Vec<LevelPair> = first
        .levels
        .iter()
        .filter_map(|a| {
            let b = second.levels.iter().find(|b| b.layer == a.layer)?;
            let (first_ms, second_ms) = (a.ms_per_token.value(), b.ms_per_token.value());
            let ratio = |a: f64, b: f64| (b > 0.0).then(|| a / b);
            let falls = a.loss.as_ref().zip(b.loss.as_ref());
            Some(LevelPair {
                layer: a.layer,
                first_ms,
                second_ms,
                speed_up: first_ms.zip(second_ms).and_then(|(a, b)| ratio(a, b)),
                interval: interval(&a.ms_per_token, &b.ms_per_token)
                    .map(|(ratio, interval)| widened(ratio, interval, drift(a.layer))),
                own: falls
                    .filter(|(a, b)| a.from == b.from)
                    .and_then(|(a, b)| ratio(a.factor, b.factor)),
            })
        })
        .collect();
    // What the first level gives is its own; nothing is before it.
    if let Some(level) = levels.iter_mut().find(|l| l.speed_up.is_some()) {
        level.own = level.speed_up;
    }
    let parts = parts(&first.parts, &second.parts);
    let verdict = verdict(first.regime, &levels, &parts);
    Comparison {
        regime: first.regime,
        levels,
        parts,
        verdict,
    }
}

fn interval(first: &Reading, second: &Reading) -> Option<(f64, Interval)> {
    let samples = |reading: &Reading| match reading {
        Reading::Known { figure } => Samples::new(figure.samples.clone()).ok(),
        Reading::Unknown { .. } => None,
    };
    ratio_of(&samples(first)?, &samples(second)?, CONFIDENCE, typical).ok()
}

/// Logarithm of the factor between two runs of a level that is no difference; 0 where neither run knows it. Where both do, the larger one.
fn drift(first: &Report, second: &Report, regime: Regime, layer: Layer) -> f64 {
    let all = [first, second].into_iter();
    all.filter_map(|report| report.drift_of(regime, layer))
        .fold(0.0, f64::max)
}

/// An interval of a ratio, and at least as wide as the drift between two runs. The drift holds the runs' own errors, too.
fn widened(ratio: f64, interval: Interval, drift: f64) -> Interval {
    if drift == 0.0 || ratio <= 0.0 {
        return interval;
    }
    Interval {
        low: interval.low.min(ratio / drift.exp()),
        high: interval.high.max(ratio * drift.exp()),
        ..interval
    }
}

fn parts(first: &[Part], second: &[Part]) -> Vec<PartPair> {
    let ms = |parts: &[Part], name: &str| {
        parts
            .iter()
            .find(|p| p.name == name)
            .map(|p| p.in_step_ms.typical)
    };
    let mut names: Vec<&str> = first.iter().map(|p| &*p.name).collect();
    let added = second.iter().map(|p| &*p.name);
    names.extend(added.filter(|n| first.iter().all(|p| p.name != *n)));
    let step: f64 = first.iter().map(|p| p.in_step_ms.typical).sum();
    let mut pairs: Vec<PartPair> = names
        .into_iter()
        .map(|name| PartPair {
            name: name.to_owned(),
            first_ms: ms(first, name),
            second_ms: ms(second, name),
        })
        .filter(|pair| pair.difference_ms().abs() >= SMALL * step)
        .collect();
    pairs.sort_by(|a, b| b.difference_ms().abs().total_cmp(&a.difference_ms().abs()));
    pairs
}

/// How the last level that both know differs, and which layer has most of it.
fn verdict(regime: Regime, levels: &[LevelPair], parts: &[PartPair]) -> String {
    let name = regime.name();
    let name = name[..1].to_uppercase() + &name[1..];
    let last = levels.iter().rev().find_map(|l| Some((l, l.speed_up?)));
    let Some((last, speed_up)) = last else {
        return format!("{name}: no level is known of both.");
    };
    let range = last.interval.map_or_else(String::new, |i| {
        format!(" [{}, {}]", significant(i.low), significant(i.high))
    });
    if last.interval.is_some_and(|i| i.holds(1.0)) {
        return format!(
            "{name} shows no difference that the runs' noise would not make: the second is {} times as fast{range}.",
            significant(speed_up)
        );
    }
    let mut text = format!(
        "{name} is {} times as fast in the second{range}",
        significant(speed_up)
    );
    if last.interval.is_none() {
        text += ", of too few readings for an interval";
    }
    let of_it = levels
        .iter()
        .filter_map(|l| Some((l.layer, l.own?)))
        .filter(|(_, own)| (*own > 1.0) == (speed_up > 1.0))
        .max_by(|a, b| a.1.ln().abs().total_cmp(&b.1.ln().abs()));
    if let Some((layer, own)) = of_it {
        text += &format!("; most of it in {} (x{})", layer.name(), significant(own));
    }
    if let Some(part) = parts.first() {
        text += &format!(
            "; {} differs most, by {} ms a token",
            part.name,
            significant(part.difference_ms())
        );
    }
    text + "."
}

#[cfg(test)]
mod tests;
