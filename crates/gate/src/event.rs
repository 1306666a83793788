//! What the gate asks for and what it is told: the whole conversation with the engine.
//!
//! The engine asks [`crate::Gate::next`], measures, writes the event to its ledger and applies it. Events are all there is: the
//! same events in the same order give the same gate, which is how a killed engine finds its way back.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::noise::usable;
use crate::number;
use crate::settings::{Kind, Settings, SettingsError};

/// What the judge read off one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// One run judged on its splits, in the metric's own units.
    Score {
        /// On the split whose (rounded) score the proposer sees.
        #[serde(with = "number")]
        public: f64,
        /// On the split that verdicts of races are about; a screen may do without.
        #[serde(
            with = "number::option",
            default,
            skip_serializing_if = "Option::is_none"
        )]
        hidden: Option<f64>,
    },
    /// One ABBA block.
    Block {
        /// ln(cost of the champion / cost of the candidate): above 0 where the candidate is better, whichever way the metric points.
        #[serde(with = "number")]
        log_ratio: f64,
    },
    /// One number per case, the cases always the same and in the same order, repeats averaged.
    Cases {
        /// On the public cases.
        #[serde(with = "number::list")]
        public: Vec<f64>,
        /// On the hidden cases; of a screen there may be none.
        #[serde(with = "number::list")]
        hidden: Vec<f64>,
    },
}

impl Reading {
    /// The kind of track that it belongs to.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Score { .. } => Kind::Score,
            Self::Block { .. } => Kind::Timing,
            Self::Cases { .. } => Kind::Cases,
        }
    }

    /// Whether it is of both splits, as a race and the champion's record need it; how many cases there are is checked elsewhere.
    pub(crate) fn is_whole(&self) -> bool {
        !matches!(self, Self::Score { hidden: None, .. })
    }

    /// Whether all of it can be calculated with.
    pub(crate) fn usable(&self) -> bool {
        match self {
            Self::Score { public, hidden } => usable(*public) && hidden.is_none_or(usable),
            Self::Block { log_ratio } => usable(*log_ratio),
            Self::Cases { public, hidden } => public.iter().chain(hidden).all(|v| usable(*v)),
        }
    }
}

/// Why the champion is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The first champion, to know the noise.
    Baseline,
    /// A new champion's own record: runs that had no part in its win.
    Pool,
    /// The incumbent, measured again beside its challenger.
    Race,
}

/// What the gate wants measured next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// One run of the champion, judged on both splits.
    Champion {
        /// Why.
        why: Purpose,
    },
    /// One A/A block: the champion against itself.
    Same,
    /// A new candidate built on the tip, screened with one reading.
    Proposal,
    /// One run (or block) of the tip with the race's own seed.
    Race {
        /// Number of the race, from 1.
        race: u64,
        /// Number of the run within it, from 0.
        index: u32,
    },
    /// Nothing: the track was declared to end with its first epoch, and that is spent.
    End,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// An engine has started; the machine may be another one by now, so a timing track takes its A/A blocks anew.
    Session,
    /// The judge or the rules are other ones since: nothing that was read before is compared with what comes. The champion stays, what
    /// stood on it unproven falls, and what was spent of the error stays spent; its rate stays that of the track's beginning.
    Epoch(Box<Settings>),
    /// A run of the champion.
    Champion(Reading),
    /// An A/A block.
    Same(Reading),
    /// The one reading of a new candidate.
    Screen {
        /// The engine's number of it; never used twice.
        candidate: u64,
        /// `None` for a loss: a crash, a timeout, a broken constraint.
        reading: Option<Reading>,
    },
    /// A run of a race.
    Race {
        /// As asked for.
        race: u64,
        /// As asked for.
        index: u32,
        /// `None` for a loss.
        reading: Option<Reading>,
    },
    /// A provisional keep turned out to be invalid.
    Withdraw {
        /// Which.
        candidate: u64,
        /// In the engine's words.
        why: String,
    },
}

impl Event {
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Session => "the start of a session".into(),
            Self::Epoch(_) => "the start of an epoch".into(),
            Self::Champion(_) => "a run of the champion".into(),
            Self::Same(_) => "an A/A block".into(),
            Self::Screen { candidate, .. } => format!("a screen of candidate {candidate}"),
            Self::Race { race, index, .. } => format!("run {index} of race {race}"),
            Self::Withdraw { candidate, .. } => format!("a withdrawal of candidate {candidate}"),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Score { public, hidden } => {
                write!(f, "public {public}")?;
                hidden.map_or(Ok(()), |hidden| write!(f, ", hidden {hidden}"))
            }
            Self::Block { log_ratio } => write!(f, "a log-ratio of {log_ratio}"),
            Self::Cases { public, hidden } => write!(f, "public {public:?}, hidden {hidden:?}"),
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Champion { why } => write!(f, "a run of the champion ({why})"),
            Self::Same => write!(f, "an A/A block: the champion against itself"),
            Self::Proposal => write!(f, "a new candidate and its screen"),
            Self::Race { race, index } => write!(f, "run {index} of race {race}"),
            Self::End => write!(f, "nothing: the track has ended with its first epoch"),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "to know the noise",
            Self::Pool => "for the new champion's own record",
            Self::Race => "measured again beside its challenger",
        })
    }
}

/// An event that the gate cannot take. Its state is as it was.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum OutOfTurn {
    /// Something else was wanted.
    #[error("expected {expected}, got {came}")]
    Unexpected {
        /// What [`crate::Gate::next`] says.
        expected: Want,
        /// The event in words.
        came: String,
    },
    /// A reading of another kind of track.
    #[error(
        "expected readings of kind {expected:?}, got one of kind {came:?}: is it this track's judge?"
    )]
    WrongKind {
        /// Kind of the track.
        expected: Kind,
        /// Kind of the reading.
        came: Kind,
    },
    /// The champion, which was judged before, gives no number now: the judge is at fault.
    #[error(
        "expected finite readings of the champion, got {came}: the judge is broken or flaky, no candidate can be judged by it"
    )]
    BrokenJudge {
        /// What came.
        came: Reading,
    },
    /// The champion was judged on another set of cases than before.
    #[error(
        "expected {expected_public} public and {expected_hidden} hidden cases, got {public} and {hidden}: the sets of a track never change"
    )]
    OtherCases {
        /// Public cases of the first reading (at least one).
        expected_public: usize,
        /// Hidden cases of the first reading (at least one).
        expected_hidden: usize,
        /// Public cases that came.
        public: usize,
        /// Hidden cases that came.
        hidden: usize,
    },
    /// A reading of a champion or of a race without its hidden split.
    #[error(
        "expected a reading of both splits, got one of the public split alone: only screens do without the hidden one"
    )]
    PublicAlone,
    /// Settings of a new epoch that the gate does not take.
    #[error("the new epoch's settings: {0}")]
    Settings(#[from] SettingsError),
    /// A candidate that has its verdict.
    #[error("candidate {candidate} has been screened before: at most one verdict per candidate")]
    ScreenedBefore {
        /// Which.
        candidate: u64,
    },
    /// A withdrawal of something that is not kept.
    #[error("expected a candidate of the tip {tip:?} to withdraw, got {candidate}")]
    NotOnTip {
        /// What came.
        candidate: u64,
        /// What is provisionally kept.
        tip: Vec<u64>,
    },
}
