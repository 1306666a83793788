//! What can go wrong that is not the candidate's fault: the track's words, the champion, or the machine.

use std::io;
use std::path::PathBuf;

use sandbox::SandboxError;
use thiserror::Error;

use crate::candidate::Fault;
use crate::refusal::Refusal;

/// The judge could not judge.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// The engine did not say something.
    #[error(
        "expected {name} to be {expected}, came {came}; a judge is started by the ratchet, which sets it"
    )]
    Told {
        /// The variable.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        came: String,
    },
    /// An option of the track is none.
    #[error("expected {name} to be {expected}, came {came}")]
    Option {
        /// Which.
        name: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        came: String,
    },
    /// A file of the track.
    #[error("cannot {action} {path:?}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text has no room for the windows.
    #[error(
        "expected a text with room for {windows} windows of {window_bytes} bytes side by side, came {bytes} bytes"
    )]
    Text {
        /// How many windows the options ask for.
        windows: usize,
        /// The longest.
        window_bytes: usize,
        /// What the text has.
        bytes: usize,
    },
    /// The same output would nearly do for any input, so that being right proves nothing.
    #[error(
        "a fixed answer to {problem} would be off by only {off:.2e}, expected at least {least:.0e}; choose a shape whose outputs vary"
    )]
    Predictable {
        /// The problem.
        problem: String,
        /// The relative error of the fixed answer.
        off: f64,
        /// What it has to be.
        least: f64,
    },
    /// The champion, which has been judged before, breaks a rule now.
    #[error(
        "the champion itself {refusal}; nothing was measured: check its artefact and the machine"
    )]
    Champion {
        /// The rule.
        refusal: Box<Refusal>,
    },
    /// The judge's own echo failed.
    #[error("the judge's own echo {fault}; check the command that starts it")]
    Echo {
        /// How.
        fault: Fault,
    },
    /// The cell.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The system refused something.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a measurement stopped: the one becomes an answer, the other an error.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refusal),
    Failed(JudgeError),
}

impl From<JudgeError> for Stop {
    fn from(error: JudgeError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Refused(Refusal::Talk(fault))
    }
}

impl Stop {
    /// The same of the champion: it is not to be refused, so nothing can be measured.
    pub(crate) fn of_champion(self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Failed(JudgeError::Champion {
                refusal: Box::new(refusal),
            }),
            failed @ Self::Failed(_) => failed,
        }
    }
}
