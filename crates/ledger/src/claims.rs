//! Claims: which worker has which experiment, until when. For one machine a courtesy, for many machines the rule.
//!
//! A claim is an entry of kind `claim` whose body holds the moment at which its lease ends; a `release` names the claim that
//! it ends. Those in force follow from the entries alone: for each experiment the newest claim, unless it was released or its
//! lease has run out by the writer's clock. The claim's sequence number is its token: it only grows, so whoever receives work
//! done under an older one can tell.
//!
//! A clock that jumps back lets a lease last longer, one that jumps forward ends it early: the loser of an early end finds
//! its token replaced.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::entry::Entry;
use crate::error::Broken;
use crate::moment;
use crate::rows::broken;

pub(crate) const CLAIM: &str = "claim";
pub(crate) const RELEASE: &str = "release";

/// One worker's hold on one experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim's entry, and its token.
    pub seq: u64,
    /// Which experiment.
    pub experiment: u64,
    /// Who has it.
    pub worker: String,
    /// When the lease ends: RFC 3339, UTC.
    pub until: String,
}

impl Claim {
    /// Whether the lease still runs at `now`.
    pub(crate) fn runs(&self, now: DateTime<Utc>) -> bool {
        moment::parse(&self.until).is_ok_and(|until| now < until)
    }
}

/// The newest claim of each experiment that was not released.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(BTreeMap<u64, Claim>);

impl Claims {
    /// Takes in the next entry; those of other kinds change nothing.
    pub(crate) fn follow(&mut self, entry: &Entry) -> Result<(), Broken> {
        let wrong =
            |what: &str| broken(Some(entry.seq), format!("it is no {}: {what}", entry.kind));
        if entry.kind != CLAIM && entry.kind != RELEASE {
            return Ok(());
        }
        let experiment = entry
            .experiment
            .ok_or_else(|| wrong("it names no experiment"))?;
        if entry.kind == RELEASE {
            let seq = entry.body.get("claim").and_then(Value::as_u64);
            let seq = seq.ok_or_else(|| wrong("it names no claim"))?;
            if self
                .0
                .get(&experiment)
                .is_some_and(|claim| claim.seq == seq)
            {
                self.0.remove(&experiment);
            }
            return Ok(());
        }
        let until = entry.body.get("until").and_then(Value::as_str);
        let until = until.ok_or_else(|| wrong("it has no end"))?;
        moment::parse(until).map_err(|e| wrong(&e.to_string()))?;
        let claim = Claim {
            seq: entry.seq,
            experiment,
            worker: entry.worker.clone(),
            until: until.to_owned(),
        };
        self.0.insert(experiment, claim);
        Ok(())
    }

    /// The claim on `experiment` that is in force at `now`.
    pub(crate) fn on(&self, experiment: u64, now: DateTime<Utc>) -> Option<&Claim> {
        self.0.get(&experiment).filter(|claim| claim.runs(now))
    }

    /// All that are in force at `now`, by experiment.
    pub(crate) fn in_force(&self, now: DateTime<Utc>) -> Vec<Claim> {
        let running = self.0.values().filter(|claim| claim.runs(now));
        running.cloned().collect()
    }
}

pub(crate) fn claim_body(until: &str) -> Value {
    json!({ "until": until })
}

pub(crate) fn release_body(claim: &Claim) -> Value {
    json!({ "claim": claim.seq })
}

#[cfg(test)]
mod tests;
