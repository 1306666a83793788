//! What is not a number survives the ledger as what it is.

use crate::Reading;

#[test]
fn nan_and_infinities_come_back_as_nan() {
    let written = serde_json::to_string(&Reading::Score {
        public: f64::INFINITY,
        hidden: Some(0.1 + 0.2),
    })
    .unwrap();
    assert_eq!(
        written,
        r#"{"score":{"public":null,"hidden":0.30000000000000004}}"#
    );
    let Reading::Score { public, hidden } = serde_json::from_str(&written).unwrap() else {
        panic!("another reading");
    };
    assert!(public.is_nan());
    assert_eq!(hidden, Some(0.1 + 0.2));

    for (hidden, written) in [
        (None, r#"{"score":{"public":1.0}}"#),
        (Some(f64::NAN), r#"{"score":{"public":1.0,"hidden":null}}"#),
    ] {
        let public = 1.0;
        let score = Reading::Score { public, hidden };
        assert_eq!(serde_json::to_string(&score).unwrap(), written);
        let back: Reading = serde_json::from_str(written).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), written);
    }

    let cases = r#"{"cases":{"public":[1.0,null],"hidden":[]}}"#;
    let Reading::Cases { public, .. } = serde_json::from_str(cases).unwrap() else {
        panic!("another reading");
    };
    assert!(public[1].is_nan());
}
