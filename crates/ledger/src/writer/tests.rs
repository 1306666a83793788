//! Making, opening, appending: the bounds, and that all of it reads back the same.

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::Reader;
use crate::entry::MAX_NAME_BYTES;

pub(crate) fn header() -> Header {
    Header {
        track: "stack".to_owned(),
        substrate: json!({ "cpu": "x" }),
        created_by: "0.1.0".to_owned(),
    }
}

/// In memory where there is such a disk: these tests are about content.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

pub(crate) fn new_ledger() -> (TempDir, Ledger) {
    let folder = folder();
    let ledger = Ledger::create(&folder.path().join("ledger"), &header()).unwrap();
    (folder, ledger)
}

pub(crate) fn draft(n: u64) -> Draft<'static> {
    Draft {
        kind: "trial",
        experiment: Some(n),
        epoch: 1,
        judge: "judge",
        worker: "worker",
        body: json!({ "n": n }),
    }
}

#[test]
fn entries_read_back_as_they_were_acknowledged() {
    let (folder, mut ledger) = new_ledger();
    let path = folder.path().join("ledger");
    let mut acknowledged = vec![ledger.append(&draft(1)).unwrap()];
    acknowledged.extend(ledger.append_all(&[draft(2), draft(2), draft(3)]).unwrap());
    assert_eq!(ledger.append_all(&[]).unwrap(), []);
    let mut verdict = draft(2);
    verdict.kind = "verdict";
    acknowledged.push(ledger.append(&verdict).unwrap());
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.header(), &header());
    assert_eq!(reader.entries(&Selection::all()).unwrap(), acknowledged);
    let seqs = |selection: Selection| -> Vec<u64> {
        reader
            .entries(&selection)
            .unwrap()
            .iter()
            .map(|entry| entry.seq)
            .collect()
    };
    assert_eq!(seqs(Selection::all().from(4)), [4, 5]);
    assert_eq!(seqs(Selection::all().kind("verdict")), [5]);
    assert_eq!(seqs(Selection::all().experiment(2)), [2, 3, 5]);
    assert_eq!(
        seqs(Selection::all().experiment(2).kind("trial").from(3)),
        [3]
    );
    assert_eq!(seqs(Selection::all().at_most(2)), [1, 2]);
    assert_eq!(
        seqs(Selection::all().from(u64::MAX).experiment(u64::MAX)),
        [0; 0]
    );
}

#[test]
fn a_ledger_is_made_once_and_not_over_the_remains_of_another() {
    let (folder, ledger) = new_ledger();
    let path = folder.path().join("ledger");
    assert!(matches!(
        Ledger::create(&path, &header()),
        Err(LedgerError::Exists { .. })
    ));
    drop(ledger);
    assert!(matches!(
        Ledger::create(&path, &header()),
        Err(LedgerError::Exists { .. })
    ));
    std::fs::rename(&path, folder.path().join("moved")).unwrap();
    let error = Ledger::create(&path, &header()).unwrap_err();
    assert!(matches!(error, LedgerError::Leftover { .. }), "{error}");
    std::fs::remove_file(folder.path().join("ledger.head")).unwrap();
    Ledger::create(&path, &header()).unwrap();
    let nowhere = folder.path().join("no/ledger");
    assert!(Ledger::create(&nowhere, &header()).is_err());
    assert!(Ledger::create(Path::new("/"), &header()).is_err());
}

#[test]
fn what_cannot_be_recorded_is_refused_and_changes_nothing() {
    let (folder, mut ledger) = new_ledger();
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let mut deep = Draft {
        body: json!(1),
        ..draft(2)
    };
    for _ in 0..100_000 {
        deep.body = Value::Array(vec![deep.body]);
    }
    let mut both = [draft(1), deep];
    assert!(ledger.append_all(&both).is_err());
    // Dropping it whole would recurse too.
    while let Value::Array(mut items) = both[1].body.take() {
        both[1].body = items.pop().unwrap_or_default();
    }
    both[1].body = json!("x".repeat(MAX_BODY_BYTES));
    assert!(ledger.append_all(&both).is_err());
    for wrong in [
        Draft {
            kind: "",
            ..draft(1)
        },
        Draft {
            kind: &long,
            ..draft(1)
        },
        Draft {
            judge: &long,
            ..draft(1)
        },
        Draft {
            worker: &long,
            ..draft(1)
        },
        Draft {
            experiment: Some(u64::MAX),
            ..draft(1)
        },
        Draft {
            epoch: u64::MAX,
            ..draft(1)
        },
    ] {
        assert!(ledger.append(&wrong).is_err(), "{wrong:?}");
    }
    assert!(ledger.append_at(&draft(1), "now").is_err());
    let largest = json!("x".repeat(MAX_BODY_BYTES - 2));
    assert_eq!(
        ledger
            .append(&Draft {
                body: largest,
                ..draft(1)
            })
            .unwrap()
            .seq,
        1
    );
    drop(ledger);
    assert_eq!(
        Reader::open(&folder.path().join("ledger"))
            .unwrap()
            .verify()
            .unwrap()
            .entries,
        1
    );
}

#[test]
fn a_clock_that_jumps_back_changes_no_order() {
    let (_folder, mut ledger) = new_ledger();
    ledger
        .append_at(&draft(1), "2030-01-01T00:00:00.000Z")
        .unwrap();
    ledger
        .append_at(&draft(2), "1970-01-01T00:00:00.000Z")
        .unwrap();
    let seqs: Vec<u64> = ledger
        .entries(&Selection::all())
        .unwrap()
        .iter()
        .map(|e| e.seq)
        .collect();
    assert_eq!(seqs, [1, 2]);
}

fn any_body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(String, Option<u32>, u32, String, String, Value)>),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let entry = (
        ".{1,12}",
        any::<Option<u32>>(),
        any::<u32>(),
        ".{0,12}",
        ".{0,12}",
        any_body(),
    );
    prop_oneof![
        4 => prop::collection::vec(entry, 0..4).prop_map(Step::Append),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_history_replays_to_the_same_entries(steps in prop::collection::vec(any_step(), 1..12)) {
        let (folder, mut ledger) = new_ledger();
        let path = folder.path().join("ledger");
        let mut acknowledged = Vec::new();
        for step in &steps {
            match step {
                Step::Append(entries) => {
                    let drafts: Vec<Draft<'_>> = entries.iter().map(|(kind, experiment, epoch, judge, worker, body)| Draft {
                        kind,
                        experiment: experiment.map(u64::from),
                        epoch: u64::from(*epoch),
                        judge,
                        worker,
                        body: body.clone(),
                    }).collect();
                    acknowledged.extend(ledger.append_all(&drafts).unwrap());
                }
                Step::Reopen => {
                    drop(ledger);
                    ledger = Ledger::open(&path).unwrap();
                }
            }
        }
        prop_assert_eq!(&ledger.entries(&Selection::all()).unwrap(), &acknowledged);
        let reader = Reader::open(&path).unwrap();
        prop_assert_eq!(&reader.entries(&Selection::all()).unwrap(), &acknowledged);
        let verified = reader.verify().unwrap();
        prop_assert_eq!(verified.entries, acknowledged.len() as u64);
    }
}
