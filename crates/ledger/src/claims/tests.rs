//! Claims in force, their ends, and what a clock may do.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::writer::tests::{draft, new_ledger};
use crate::{Ledger, LedgerError};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn one_worker_has_an_experiment_until_it_lets_go() {
    let (folder, mut ledger) = new_ledger();
    let path = folder.path().join("ledger");
    ledger.append(&draft(1)).unwrap();
    let claim = ledger.claim(7, "a", HOUR).unwrap();
    assert_eq!((claim.seq, claim.experiment), (2, 7));
    let refused = ledger.claim(7, "b", HOUR).unwrap_err();
    assert!(
        matches!(refused, LedgerError::Claimed { experiment: 7, .. }),
        "{refused}"
    );
    let other = ledger.claim(8, "b", HOUR).unwrap();
    assert_eq!(ledger.claims(), [claim.clone(), other.clone()]);
    // It is all in the entries.
    drop(ledger);
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.claims(), [claim.clone(), other.clone()]);
    ledger.release(&claim).unwrap();
    assert!(matches!(
        ledger.release(&claim),
        Err(LedgerError::NotInForce { seq: 2, .. })
    ));
    let taken = ledger.claim(7, "b", HOUR).unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.claims(), [taken, other]);
}

#[test]
fn a_lease_that_ran_out_frees_the_experiment_and_its_token_counts_no_more() {
    let (_folder, mut ledger) = new_ledger();
    let first = ledger.claim(1, "a", Duration::ZERO).unwrap();
    assert_eq!(ledger.claims(), []);
    let second = ledger.claim(1, "b", HOUR).unwrap();
    assert!(second.seq > first.seq);
    assert!(matches!(
        ledger.release(&first),
        Err(LedgerError::NotInForce { .. })
    ));
    let renewed = ledger.claim(1, "b", HOUR).unwrap();
    assert!(matches!(
        ledger.release(&second),
        Err(LedgerError::NotInForce { .. })
    ));
    assert_eq!(ledger.claims(), [renewed]);
}

#[test]
fn the_ledgers_own_kinds_are_its_own_to_write() {
    let (_folder, mut ledger) = new_ledger();
    for kind in ["claim", "release", "substrate"] {
        let mut draft = draft(1);
        draft.kind = kind;
        assert!(matches!(
            ledger.append(&draft),
            Err(LedgerError::Invalid { .. })
        ));
    }
}

#[test]
fn a_claim_entry_that_is_none_is_found() {
    let entry = |body: Value| Entry {
        seq: 4,
        at: String::new(),
        kind: CLAIM.to_owned(),
        experiment: Some(1),
        epoch: 0,
        judge: String::new(),
        worker: String::new(),
        body,
        hash: crate::chain::Hash::of(b""),
    };
    for body in [
        json!(null),
        json!({ "until": 3 }),
        json!({ "until": "soon" }),
    ] {
        let broken = Claims::default().follow(&entry(body)).unwrap_err();
        assert_eq!(broken.seq, Some(4));
    }
}

#[test]
fn machines_are_recorded_when_they_are_news() {
    let (folder, mut ledger) = new_ledger();
    let first = ledger.header().substrate.clone();
    assert_eq!(ledger.record_substrate("a", &first).unwrap(), None);
    let other = json!({ "cpu": "other" });
    assert!(ledger.record_substrate("b", &other).unwrap().is_some());
    assert_eq!(ledger.record_substrate("b", &other).unwrap(), None);
    assert!(ledger.record_substrate("b", &first).unwrap().is_some());
    let reader = crate::Reader::open(&folder.path().join("ledger")).unwrap();
    let seqs: Vec<u64> = reader.substrates().unwrap().iter().map(|s| s.seq).collect();
    assert_eq!(seqs, [0, 1, 2]);
}
