//! One measurement of a commit: build, run, judge; each a sealed process of its own.
//!
//! 1. The commit's files are laid out fresh, and built without data (`build`).
//! 2. Each run gets a copy of what was built, and a home of its own.
//! 3. What the run leaves is collected as plain files (`artefact`); standard output is for people and never read for a score.
//! 4. The judge runs on its own copies of the sealed files and sees of the candidate only what was collected (`ask`, `judge`).
//!
//! A failure of the candidate is a [`Loss`], which is a result. A failure of the engine, or of the judge on the champion itself, is an
//! error: the engine decides whether it is taken again, with the same seed or another (`engine::measure`).

use std::{collections::BTreeMap, path::PathBuf};

use gate::Event;
use serde::{Deserialize, Serialize};

mod artefact;
mod ask;
mod budget;
mod build;
mod cell;
pub(crate) mod curve;
mod judge;
mod taking;
mod workshop;

pub(crate) use budget::counters;
pub(crate) use cell::{Extra, job, limits};
pub use curve::Points;
pub use judge::{JudgeError, Verdict};
pub use taking::WorkshopError;
pub(crate) use taking::last_words;
pub use workshop::{Arm, Splits, Workshop};

/// The figures of one measurement, raw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Each run of the candidate's or champion's program, in order.
    pub runs: Vec<RunFigures>,
    /// Each answer of a judge, in order.
    pub judged: Vec<Judged>,
    /// The split that a judge was asked about last: `public`, `hidden` or `block`; empty before any was.
    #[serde(default)]
    pub asked: String,
    /// Why it is a loss, if it is one.
    pub loss: Option<Loss>,
    /// Seconds of the whole measurement, builds included.
    pub seconds: f64,
    /// Seconds that were neither build, run nor judge: the engine's own.
    pub overhead_seconds: f64,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// Whose.
    pub arm: Arm,
    /// By the engine's clock.
    pub seconds: f64,
    /// Of all its processes.
    pub cpu_seconds: f64,
    /// Where it could be measured.
    pub peak_memory_bytes: Option<u64>,
    /// What it wrote to standard output and error together.
    pub output_bytes: u64,
    /// What it was given of a budget in units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// What the machine counted meanwhile, where the track limits that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
    /// What it said of its progress: how much of its budget was behind, and its value there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Points,
}

/// One answer of a judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What it judged.
    pub arm: Arm,
    /// `public`, `hidden`, or `block`.
    pub split: String,
    /// The seed that it was given.
    pub seed: u64,
    /// The result as it wrote it.
    pub result: serde_json::Value,
    /// The second judge's, where there is one.
    pub second: Option<serde_json::Value>,
    /// Seconds that judging took.
    pub seconds: f64,
}

/// Why a candidate lost without a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "loss", rename_all = "kebab-case")]
pub enum Loss {
    /// Its build or its run did not end well.
    Ended {
        /// `build`, `smoke` or `run`.
        step: String,
        /// How, in words.
        how: String,
        /// The last that it said.
        tail: String,
    },
    /// Its run was ended early.
    Hopeless {
        /// How much of its budget was behind.
        done: f64,
        /// What it said it had reached there.
        value: f64,
        /// The worst of the champion's last runs there.
        champion: f64,
    },
    /// The run did not leave what is judged.
    NoOutput {
        /// The globs that nothing matched, or what stood in their place.
        what: String,
    },
    /// What it left cannot be read.
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why, in the system's words.
        why: String,
    },
    /// What it left is too much.
    OutputTooLarge {
        /// Its bytes, as far as they were counted.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// It changed files that nobody may change. (The judge used its own.)
    Touched {
        /// Which.
        paths: Vec<PathBuf>,
    },
    /// The judge refuses it.
    Refused {
        /// In the judge's words.
        said: String,
    },
    /// The judge could not judge it.
    Judge {
        /// In words.
        how: String,
    },
    /// The server of its budget failed.
    Server {
        /// In words.
        how: String,
    },
    /// The metric is no number.
    NotFinite {
        /// As the judge wrote it.
        value: String,
    },
    /// Two judges disagree.
    Disagree {
        /// The judge's.
        judge: f64,
        /// The second's.
        second: f64,
        /// The largest relative difference that is agreement.
        within: f64,
    },
    /// A constraint does not hold.
    Constraint {
        /// Its metric.
        metric: String,
        /// What it was.
        value: f64,
        /// The bound, in words.
        bound: String,
    },
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended { step, how, tail } if tail.is_empty() => write!(f, "its {step} {how}"),
            Self::Ended { step, how, tail } => {
                let last = tail.lines().rev().find(|line| !line.trim().is_empty());
                write!(f, "its {step} {how}: {:?}", last.unwrap_or_default())
            }
            Self::Hopeless {
                done,
                value,
                champion,
            } => write!(
                f,
                "its run was ended at {:.0}% of its budget: {value:.4}, where the champion's last runs had {champion:.4} at worst (run.curve)",
                100.0 * done
            ),
            Self::NoOutput { what } => write!(f, "it left no {what}"),
            Self::Unreadable { path, why } => {
                write!(f, "what it left cannot be read: {}: {why}", path.display())
            }
            Self::OutputTooLarge { bytes, most } => write!(
                f,
                "it left {} or more, and the track allows {}",
                bytesize::ByteSize(*bytes),
                bytesize::ByteSize(*most)
            ),
            Self::Touched { paths } => {
                let names: Vec<String> = paths
                    .iter()
                    .take(5)
                    .map(|p| p.display().to_string())
                    .collect();
                write!(
                    f,
                    "it changed files that nobody may change: {}",
                    names.join(", ")
                )
            }
            Self::Refused { said } => write!(f, "the judge refuses it: {said}"),
            Self::Judge { how } => write!(f, "the judge could not judge it: {how}"),
            Self::Server { how } => write!(f, "the server of its budget failed: {how}"),
            Self::NotFinite { value } => write!(f, "its metric is no finite number: {value}"),
            Self::Disagree {
                judge,
                second,
                within,
            } => write!(
                f,
                "two judges disagree: {judge} and {second}, and {within} of that is the largest difference allowed"
            ),
            Self::Constraint {
                metric,
                value,
                bound,
            } => {
                write!(f, "{metric} is {value}, and the track wants {bound}")
            }
        }
    }
}

impl Loss {
    /// What a proposer may hear of it. Of a judgement no figure, and where it may be about the hidden split, no word of the judge either.
    #[must_use]
    pub fn told(&self, hidden: bool) -> String {
        match self {
            Self::Constraint { .. } | Self::Disagree { .. } | Self::NotFinite { .. } if hidden => {
                "the judge refuses it".to_owned()
            }
            Self::Constraint { metric, .. } => format!("{metric} is not within the track's bound"),
            Self::Disagree { .. } => "two judges disagree".to_owned(),
            Self::NotFinite { .. } => "its metric is no finite number".to_owned(),
            Self::Refused { .. } if hidden => "the judge refuses it".to_owned(),
            Self::Judge { .. } if hidden => "the judge could not judge it".to_owned(),
            // It reads what the candidate may not.
            Self::Server { .. } => "the server of its budget failed".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Which measurement it is: the label of its seeds, the same after a restart.
#[must_use]
pub fn label(event: &What) -> String {
    match event {
        What::Champion { number } => format!("champion/{number}"),
        What::Same { number } => format!("same/{number}"),
        What::Screen { experiment } => format!("screen/{experiment}"),
        What::Race { race, index } => format!("race/{race}/{index}"),
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The champion, for the so-many-th time in this track's life.
    Champion {
        /// Counted from 0.
        number: u64,
    },
    /// The champion against itself.
    Same {
        /// Counted from 0.
        number: u64,
    },
    /// A new candidate.
    Screen {
        /// Its number.
        experiment: u64,
    },
    /// The tip in a race.
    Race {
        /// The race.
        race: u64,
        /// Which of its readings.
        index: u32,
    },
}

impl What {
    /// The gate's event for a reading.
    #[must_use]
    pub fn event(self, reading: Option<gate::Reading>) -> Option<Event> {
        Some(match self {
            Self::Champion { .. } => Event::Champion(reading?),
            Self::Same { .. } => Event::Same(reading?),
            Self::Screen { experiment } => Event::Screen {
                candidate: experiment,
                reading,
            },
            Self::Race { race, index } => Event::Race {
                race,
                index,
                reading,
            },
        })
    }
}

/// Constraints of a judge's result by name.
pub(crate) type Values = BTreeMap<String, f64>;
