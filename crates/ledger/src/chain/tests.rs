//! The encoding is fixed: hashes recorded today must come out the same from every later version.

use serde_json::json;

use super::*;

fn fields() -> Fields<'static> {
    Fields {
        seq: 1,
        at: "2026-01-01T00:00:00.000Z",
        kind: "trial",
        experiment: Some(7),
        epoch: 2,
        judge: "judge",
        worker: "worker",
        body: "{}",
    }
}

#[test]
fn hashes_are_those_of_the_first_version() {
    let header = Header {
        track: "stack".to_owned(),
        substrate: json!({ "cpu": "x" }),
        created_by: "0.1.0".to_owned(),
    };
    // Computed by another program (Python's hashlib and struct) from the module's description.
    let first = header_hash(&header, r#"{"cpu":"x"}"#);
    assert_eq!(
        first.to_string(),
        "642bf4c78844d1c846dbd5e32135ee027dd5aba1b415a565d5c0c4ad3e3f6e85"
    );
    assert_eq!(
        entry_hash(&first, &fields()).to_string(),
        "b11e58e234dbe156b9a1d1ed9637bfcedceb35ac38b909b1a0bbfa049894eada"
    );
}

#[test]
fn every_field_counts_and_none_runs_into_the_next() {
    let previous = Hash::of(b"before");
    let plain = entry_hash(&previous, &fields());
    let others = [
        Fields { seq: 2, ..fields() },
        Fields {
            at: "2026-01-01T00:00:00.001Z",
            ..fields()
        },
        Fields {
            kind: "trialj",
            judge: "udge",
            ..fields()
        },
        Fields {
            kind: "triaL",
            ..fields()
        },
        Fields {
            experiment: None,
            ..fields()
        },
        Fields {
            experiment: Some(8),
            ..fields()
        },
        Fields {
            experiment: Some(2),
            epoch: 7,
            ..fields()
        },
        Fields {
            epoch: 3,
            ..fields()
        },
        Fields {
            judge: "judgew",
            worker: "orker",
            ..fields()
        },
        Fields {
            worker: "worker{",
            body: "}",
            ..fields()
        },
        Fields {
            body: "{ }",
            ..fields()
        },
    ];
    for other in others {
        assert_ne!(entry_hash(&previous, &other), plain, "{other:?}");
    }
    assert_ne!(entry_hash(&Hash::of(b"Before"), &fields()), plain);
}

#[test]
fn a_hash_reads_back_and_nothing_else_does() {
    let hash = Hash::of(b"x");
    assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
    for text in [
        "",
        "00",
        &"+1".repeat(32),
        &"zz".repeat(32),
        &"é".repeat(32),
    ] {
        assert_eq!(Hash::from_hex(text), None, "{text}");
    }
}
