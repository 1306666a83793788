//! Who changes the artefact: samplers, programs, people; and which of them is asked next.
//!
//! A proposer gets the base's files and what is known of earlier experiments as its rules allow (a rounded public score, the verdict in
//! words, nothing of the hidden split), and gives files. It never runs anything of the candidate, and it cannot tell the engine anything
//! but those files and one line of words.

use std::collections::BTreeMap;

use crate::{
    digest::Key,
    git::Files,
    record::Void,
    track::{Knob, ProposerKind, Track},
};

pub mod bandit;
pub mod command;
pub mod human;
pub mod search;

/// What came of an earlier experiment, as a proposer may know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Its number.
    pub experiment: u64,
    /// Who proposed it.
    pub proposer: String,
    /// One line of what it was.
    pub title: String,
    /// The literals of a search.
    pub knobs: Option<BTreeMap<String, String>>,
    /// Its screen, rounded to what the noise supports; lower is better. `None` for a loss or where it was not measured.
    pub cost: Option<f64>,
    /// Whether it was measured by today's judge: scores of two epochs are not compared.
    pub comparable: bool,
    /// Its screen as people read it.
    pub score: String,
    /// What was decided, in words.
    pub verdict: String,
    /// Whether it is part of the champion, or was kept for a while.
    pub standing: Standing,
    /// Whether its verdict is yet to come.
    pub is_pending: bool,
    /// Experiments before it whose verdicts were not known when it was proposed.
    pub beside: Vec<u64>,
}

/// How far an experiment got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Never measured.
    Void,
    /// Measured and refused.
    Refused,
    /// Kept provisionally; its race is open.
    Kept,
    /// Kept provisionally, and its race was lost.
    Dropped,
    /// Part of a champion.
    Merged,
}

/// What a proposer gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Idea {
    /// The mutable files, all of them.
    pub files: Files,
    /// One line of what it is.
    pub title: String,
    /// The literals of a search.
    pub knobs: Option<BTreeMap<String, String>>,
}

/// What a proposer has to say.
pub type Answer = Result<Idea, Void>;

/// The first proposer of each name.
#[must_use]
pub fn names(track: &Track) -> Vec<&str> {
    track.proposers.iter().map(|p| p.name.as_str()).collect()
}

/// The knobs of a proposer, if it is a search.
#[must_use]
pub fn knobs(kind: &ProposerKind) -> Option<&[Knob]> {
    match kind {
        ProposerKind::Search { knobs, .. } => Some(knobs),
        _ => None,
    }
}

/// A generator for the proposer's own draws: the same for the same label.
#[must_use]
pub fn draws(key: &Key, label: &str) -> u64 {
    key.seed(&format!("proposer/{label}"))
}
