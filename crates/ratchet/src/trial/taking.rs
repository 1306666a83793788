//! A measurement while it is taken: whose turn it is, what was found, and whose fault it is when there is nothing to find.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use gate::Reading;
use sandbox::{End, Outcome, SandboxError};

use super::{Loss, Measured, judge::JudgeError, workshop::Arm};
use crate::{
    digest::Key,
    tree::{self, TreeError},
};

/// Why there is no measurement: the engine's or the judge's fault, not the candidate's.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// Files.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Starting a sealed process.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The champion itself loses.
    #[error("the champion itself cannot be measured: {0}")]
    Champion(Loss),
    /// A judge answers what it may not.
    #[error("the judge is at fault: {0}")]
    Judge(#[from] JudgeError),
    /// One of Sprag's own judges says that it is at fault itself, or a counter that a budget needs is gone.
    #[error("{0}")]
    Fault(String),
    /// Somebody wants to stop.
    #[error("stopped")]
    Stopped,
}

/// A measurement that is being taken.
pub(super) struct Taking {
    /// Which: `screen/12`.
    pub(super) label: String,
    /// What it is measured with.
    pub(super) seed: u64,
    pub(super) figures: Measured,
    /// Whose turn it is.
    pub(super) arm: Arm,
    /// Time inside sealed processes, which is not the engine's.
    pub(super) inside: Duration,
    start: Instant,
    /// Bytes of judges' answers that the ledger still takes.
    room: usize,
}

/// Why a measurement has no reading, before it is settled whose fault it is.
pub(super) enum Trouble {
    Loss(Loss),
    Tree(TreeError),
    Sandbox(SandboxError),
    Judge(JudgeError),
    Fault(String),
    Stopped,
}

impl Trouble {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Tree(tree::io_error(path)(source))
    }
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

impl From<SandboxError> for Trouble {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}

impl From<JudgeError> for Trouble {
    fn from(error: JudgeError) -> Self {
        Self::Judge(error)
    }
}

/// A candidate's loss is a result; the champion's is an error, since then nothing can be compared.
pub(super) fn settle(
    outcome: Result<Reading, Trouble>,
    taking: &mut Taking,
) -> Result<Option<Reading>, WorkshopError> {
    let loss = match (outcome, taking.arm) {
        (Ok(reading), _) => return Ok(Some(reading)),
        (Err(Trouble::Tree(error)), _) => return Err(error.into()),
        (Err(Trouble::Sandbox(error)), _) => return Err(error.into()),
        (Err(Trouble::Fault(how)), _) => return Err(WorkshopError::Fault(how)),
        (Err(Trouble::Stopped), _) => return Err(WorkshopError::Stopped),
        (Err(Trouble::Loss(loss)), Arm::Champion) => return Err(WorkshopError::Champion(loss)),
        (Err(Trouble::Judge(error)), Arm::Champion) => return Err(error.into()),
        (Err(Trouble::Loss(loss)), Arm::Candidate) => loss,
        // A judge that answers nonsense about a candidate may have been led to it by the candidate.
        (Err(Trouble::Judge(error)), Arm::Candidate) => Loss::Judge {
            how: error.to_string(),
        },
    };
    taking.figures.loss = Some(loss);
    Ok(None)
}

/// Bytes of all answers of one measurement that are kept.
const ROOM: usize = 256 << 10;
/// Bytes of one answer that are kept.
const MOST_OF_ONE: usize = 16 << 10;
/// Levels of one answer that are kept.
const DEEPEST: usize = 32;

/// Levels of arrays and objects, counted without recursion.
fn depth(value: &serde_json::Value) -> usize {
    let (mut open, mut deepest) = (vec![(value, 0)], 0);
    while let Some((value, level)) = open.pop() {
        deepest = deepest.max(level);
        match value {
            serde_json::Value::Array(items) => {
                open.extend(items.iter().map(|item| (item, level + 1)))
            }
            serde_json::Value::Object(fields) => {
                open.extend(fields.values().map(|field| (field, level + 1)))
            }
            _ => {}
        }
    }
    deepest
}

impl Taking {
    pub(super) fn start(label: &str, key: &Key) -> Self {
        Self {
            label: label.to_owned(),
            seed: key.seed(label),
            figures: Measured::default(),
            start: Instant::now(),
            arm: Arm::Champion,
            inside: Duration::ZERO,
            room: ROOM,
        }
    }

    /// Whether it is a candidate's first reading.
    pub(super) fn is_screen(&self) -> bool {
        self.arm == Arm::Candidate && self.label.starts_with("screen/")
    }

    /// A judge's answer as the ledger keeps it: whole, unless it is too large for a record, or too deep.
    pub(super) fn kept(&mut self, answer: &serde_json::Value) -> serde_json::Value {
        let bytes = if depth(answer) <= DEEPEST {
            answer.to_string().len()
        } else {
            usize::MAX
        };
        if bytes <= MOST_OF_ONE.min(self.room) {
            self.room -= bytes;
            return answer.clone();
        }
        serde_json::json!({ "omitted": "larger or deeper than a record takes" })
    }

    pub(super) fn stop(mut self) -> Measured {
        let all = self.start.elapsed();
        self.figures.seconds = all.as_secs_f64();
        self.figures.overhead_seconds = all.saturating_sub(self.inside).as_secs_f64();
        self.figures
    }
}

pub(super) fn ended(step: &str, outcome: &Outcome) -> Result<(), Trouble> {
    if outcome.end == End::Exited(0) {
        return Ok(());
    }
    Err(Trouble::Loss(Loss::Ended {
        step: step.to_owned(),
        how: outcome.end.to_string(),
        tail: tail(outcome),
    }))
}

/// The last of what a process said, of standard error before standard output, quoted so that it stays text wherever it is shown.
pub(crate) fn tail(outcome: &Outcome) -> String {
    const MOST: usize = 2000;
    let bytes = if outcome.stderr.bytes.iter().all(u8::is_ascii_whitespace) {
        &outcome.stdout.bytes
    } else {
        &outcome.stderr.bytes
    };
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    let skip = plain.chars().count().saturating_sub(MOST);
    plain.chars().skip(skip).collect()
}

/// The last line of what a process said, quoted, behind a colon; nothing where it said nothing.
pub(crate) fn last_words(outcome: &Outcome) -> String {
    let tail = tail(outcome);
    let last = tail.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(String::new, |line| {
        let short: String = line.chars().take(300).collect();
        format!(": {short:?}")
    })
}
