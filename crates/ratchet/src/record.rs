//! What the ledger holds: the engine's acts, each complete in itself, so that reading them in order gives the engine's state.
//!
//! A record is written after what it tells of has happened and before anything is built on it. Events of the gate stand beside the raw
//! figures they were made from, and beside the decisions that followed, for people; when the ledger is read again, the gate decides anew
//! from the events alone, and a different decision is an error.

use std::{collections::BTreeMap, path::PathBuf};

use gate::{Decision, Event};
use serde::{Deserialize, Serialize};

use crate::{digest::Digest, git::ObjectId, seal::Seal, trial::Measured};

/// One act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The track began.
    Begun {
        /// The first champion.
        champion: ObjectId,
        /// Of the key that seeds are drawn from.
        key: Digest,
        /// Settings of the gate.
        gate: gate::Settings,
    },
    /// An epoch began.
    Sealed {
        /// What was sealed.
        seal: Seal,
        /// Settings of the gate from here on.
        gate: Box<gate::Settings>,
        /// Why, in words.
        why: String,
    },
    /// An engine started.
    Session {
        /// Sprag's version.
        sprag: String,
        /// How candidates are sealed, in words.
        level: sandbox::Level,
        /// What was tried to break out, and that it failed.
        probes: Vec<sandbox::Probe>,
        /// What this machine is.
        machine: serde_json::Value,
        /// The track's text.
        track: String,
    },
    /// A candidate exists.
    Proposed(Proposal),
    /// A candidate that is not measured.
    Void {
        /// Why.
        why: Void,
    },
    /// The gate was told of a measurement.
    Measured {
        /// The figures, raw.
        figures: Box<Measured>,
        /// What was made of them.
        event: Event,
        /// What followed.
        decisions: Vec<Decision>,
    },
    /// A measurement that the judge or the champion failed in: it is taken again with another seed.
    Failed {
        /// Its label, such as `champion/3`.
        measurement: String,
        /// In words.
        why: String,
    },
    /// The champion moved.
    Promoted {
        /// The old one.
        from: ObjectId,
        /// The new one.
        to: ObjectId,
        /// Of this race.
        race: u64,
        /// Candidates that are now part of the champion.
        members: Vec<u64>,
    },
    /// The champion was measured without one of its changes.
    LeftOut {
        /// The champion.
        champion: ObjectId,
        /// Which run, from 0: its seeds are those of all changes that were left out.
        run: usize,
        /// How much worse it is without, in the metric's units (log-ratio for timing); `None` where it is a loss then.
        difference: Option<f64>,
    },
    /// An engine stopped by itself.
    Stopped {
        /// Why.
        why: String,
    },
}

impl Record {
    /// The name by which it is filed.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Sealed { .. } => "sealed",
            Self::Session { .. } => "session",
            Self::Proposed(_) => "proposed",
            Self::Void { .. } => "void",
            Self::Measured { .. } => "measured",
            Self::Failed { .. } => "failed",
            Self::Promoted { .. } => "promoted",
            Self::LeftOut { .. } => "left-out",
            Self::Stopped { .. } => "stopped",
        }
    }
}

/// The most paths that a record holds: a candidate that touches everything must not make one that the ledger refuses.
pub const MOST_PATHS: usize = 100;

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who made it.
    pub proposer: String,
    /// What it was made from: the champion, or what is provisionally kept on top of it.
    pub base: ObjectId,
    /// The candidate itself; the base where nothing was changed.
    pub commit: ObjectId,
    /// Of its mutable files, normalised: two candidates with the same tree get the same verdict.
    pub tree: Digest,
    /// The same without the literals that choose a draw, where the track names any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seedless: Option<Digest>,
    /// The commit in the inbox that it was made from, if a person made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<ObjectId>,
    /// One line of what it is.
    pub title: String,
    /// Mutable files that differ from the base.
    pub changed: Vec<PathBuf>,
    /// Literals that a search chose, by the knob's line.
    pub knobs: Option<BTreeMap<String, String>>,
    /// Seconds that the proposer took.
    pub seconds: f64,
}

/// Why a candidate is not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Void {
    /// The mutable files are the base's.
    NoChange,
    /// An earlier candidate had the same tree: its verdict holds for this one.
    Repeated {
        /// That candidate.
        of: u64,
    },
    /// Only literals that choose a random draw differ.
    SeedOnly {
        /// The earlier candidate that it is a new draw of; `None` for its base.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
    },
    /// The mutable files together are larger than the track allows.
    TooLarge {
        /// Their bytes.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// The mutable files together, compressed, are larger than the track allows: text is not so dense.
    TooDense {
        /// Their bytes when compressed.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A file that is not mutable was changed by the proposer, or something was put in its way.
    Foreign {
        /// Which.
        paths: Vec<PathBuf>,
    },
    /// A link, a device, or a name that is no text.
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// The proposer itself failed.
    Proposer {
        /// In words.
        said: String,
    },
    /// While it was measured, another one was kept or dropped under it; it is put on the new tip as another experiment.
    Outrun,
}

impl std::fmt::Display for Void {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |paths: &[PathBuf]| {
            let names: Vec<String> = paths
                .iter()
                .take(5)
                .map(|p| p.display().to_string())
                .collect();
            names.join(", ")
        };
        match self {
            Self::NoChange => f.write_str("nothing was changed"),
            Self::Repeated { of } => {
                write!(f, "the same files as experiment {of}, whose verdict holds")
            }
            Self::SeedOnly { of: None } => {
                f.write_str("only a seed differs, and another draw is no improvement")
            }
            Self::SeedOnly { of: Some(of) } => {
                write!(
                    f,
                    "only a seed differs from experiment {of}, and another draw is no improvement"
                )
            }
            Self::TooLarge { bytes, most } => write!(
                f,
                "the mutable files hold {}, and the track allows {}",
                bytesize::ByteSize(*bytes),
                bytesize::ByteSize(*most)
            ),
            Self::TooDense { bytes, most } => write!(
                f,
                "the mutable files hold {} even when compressed, and the track allows {} (artefact.most_compressed): is there data in them?",
                bytesize::ByteSize(*bytes),
                bytesize::ByteSize(*most)
            ),
            Self::Foreign { paths } => write!(
                f,
                "files that are not mutable were changed: {}",
                list(paths)
            ),
            Self::NotAFile { path } => write!(f, "{} is no ordinary file", path.display()),
            Self::Proposer { said } => write!(f, "the proposer failed: {said}"),
            Self::Outrun => f.write_str(
                "what it was built on was kept or dropped meanwhile; it is put on today's tip as another experiment",
            ),
        }
    }
}
