//! The entries that the ledger itself gives a meaning: claims, their release, and machines.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Ledger;
use crate::claims::{self, Claim};
use crate::entry::{Draft, Entry};
use crate::error::LedgerError;
use crate::moment;
use crate::rows::Selection;
use crate::substrate::{self, Substrate};

impl Ledger {
    /// Claims `experiment` for `worker` until `lease` has passed; a worker that has it already begins a new lease.
    ///
    /// # Errors
    /// When another worker's claim is in force, and those of [`Ledger::append`].
    pub fn claim(
        &mut self,
        experiment: u64,
        worker: &str,
        lease: Duration,
    ) -> Result<Claim, LedgerError> {
        self.claim_at(experiment, worker, lease, moment::now())
    }

    fn claim_at(
        &mut self,
        experiment: u64,
        worker: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Claim, LedgerError> {
        if let Some(other) = self.claims.on(experiment, now)
            && other.worker != worker
        {
            return Err(LedgerError::Claimed {
                experiment,
                worker: other.worker.clone(),
                until: other.until.clone(),
            });
        }
        let until = moment::to_text(moment::later(now, lease));
        let draft = self.own(
            claims::CLAIM,
            Some(experiment),
            worker,
            claims::claim_body(&until),
        );
        let recorded = self.record(&[draft], &moment::to_text(now))?;
        Ok(Claim {
            seq: recorded
                .first()
                .map_or(self.end.mark.seq, |entry| entry.seq),
            experiment,
            worker: worker.to_owned(),
            until,
        })
    }

    /// Gives a claim back before its lease ends.
    ///
    /// # Errors
    /// When it is not in force any more, and those of [`Ledger::append`].
    pub fn release(&mut self, claim: &Claim) -> Result<Entry, LedgerError> {
        let not_in_force = || LedgerError::NotInForce {
            experiment: claim.experiment,
            seq: claim.seq,
        };
        let now = moment::now();
        if self.claims.on(claim.experiment, now) != Some(claim) {
            return Err(not_in_force());
        }
        let body = claims::release_body(claim);
        let draft = self.own(claims::RELEASE, Some(claim.experiment), &claim.worker, body);
        let mut recorded = self.record(&[draft], &moment::to_text(now))?;
        recorded.pop().ok_or_else(not_in_force)
    }

    /// The claims that are in force now, by experiment.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        self.claims.in_force(moment::now())
    }

    /// Says on which machine `worker` runs; an entry only where that is news.
    ///
    /// # Errors
    /// Those of [`Ledger::append`].
    pub fn record_substrate(
        &mut self,
        worker: &str,
        fingerprint: &Value,
    ) -> Result<Option<Entry>, LedgerError> {
        let known = self.substrates()?;
        if substrate::current(&known, worker) == Some(fingerprint) {
            return Ok(None);
        }
        let draft = self.own(substrate::KIND, None, worker, fingerprint.clone());
        let mut recorded = self.record(&[draft], &moment::to_text(moment::now()))?;
        Ok(recorded.pop())
    }

    /// Every machine that took part, in the order in which they came.
    ///
    /// # Errors
    /// When the disk fails or an entry is damaged.
    pub fn substrates(&self) -> Result<Vec<Substrate>, LedgerError> {
        let entries = self.entries(&Selection::all().kind(substrate::KIND))?;
        Ok(substrate::list(&self.header, entries))
    }

    /// A draft of one of the ledger's own kinds, in the epoch of the last entry.
    fn own<'a>(
        &self,
        kind: &'a str,
        experiment: Option<u64>,
        worker: &'a str,
        body: Value,
    ) -> Draft<'a> {
        Draft {
            kind,
            experiment,
            epoch: self.end.epoch,
            judge: "",
            worker,
            body,
        }
    }
}
