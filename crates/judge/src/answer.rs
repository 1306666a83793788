//! What a judge answers: the JSON that the ratchet reads.
//!
//! A score is `{"value": 1.93, "windows": 64, ..}`, times are `{"champion": [..], "candidate": [..], ..}`, and a refusal is
//! `{"refused": "why"}`. Every further number can be named by a constraint of a track.

use serde::Serialize;

use crate::kernel::Times;
use crate::language::Score;
use crate::refusal::Refusal;

/// What a judge found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The candidate does not count, and why.
    Refused {
        /// The reason; a sentence in the JSON.
        #[serde(serialize_with = "words")]
        refused: Refusal,
    },
    /// Of the language judge.
    Score(Score),
    /// Of the kernel judge.
    Times(Times),
}

fn words<S: serde::Serializer>(refusal: &Refusal, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(refusal)
}
