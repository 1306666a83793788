//! A judge may answer anything; what is no finite number is a loss, and what is no answer is an error. Nothing panics.

use proptest::prelude::*;
use serde_json::json;

use super::{JudgeError, Verdict, agree, log_ratio, read, result};
use crate::{track::Track, trial::Loss};

fn track(kind: &str, more: &str) -> Track {
    let text = format!(
        "name = \"t\"\n[artefact]\nmutable = [\"a\"]\n[run]\ncommand = [\"a\"]\noutput = [\"o\"]\n[judge]\ncommand = [\"j\"]\nmetric = \"m\"\nbetter = \"lower\"\nkind = \"{kind}\"\n{more}"
    );
    Track::parse(&text).unwrap()
}

/// What an answer in the file comes to.
fn answered(track: &Track, text: &str) -> Result<Result<Verdict, Loss>, JudgeError> {
    let value = result(track, Some(text), "")?;
    Ok(read(track, &value)?.map(|(verdict, _)| verdict))
}

#[test]
fn a_score_is_one_finite_number() {
    let track = track("score", "");
    for (text, expected) in [
        ("{\"value\": 0.5}", 0.5),
        ("7", 7.0),
        (" {\"value\": [2]} ", 2.0),
        ("{\"value\": true}", 1.0),
    ] {
        assert_eq!(
            answered(&track, text),
            Ok(Ok(Verdict::Value(expected))),
            "{text}"
        );
    }
    for text in [
        "{\"value\": NaN}",
        "{\"value\":-Infinity}",
        "{\"value\": Infinity, \"note\": \"value: NaN, \\\" Infinity\"}",
        "{\"value\": null}",
        "{\"value\": \"nan\"}",
        "NaN",
    ] {
        assert!(
            matches!(answered(&track, text), Ok(Err(Loss::NotFinite { .. }))),
            "{text}: {:?}",
            answered(&track, text)
        );
    }
    let deep = format!(
        "{{\"value\": {}1{}}}",
        "[".repeat(90_000),
        "]".repeat(90_000)
    );
    let huge = format!("{{\"value\": [{}1]}}", "1,".repeat(20_000));
    for text in [
        "",
        " ",
        "{}",
        "[]",
        "null",
        "\"high\"",
        "{\"value\": []}",
        "{\"value\": [1, 2]}",
        "{\"value\": \"high\"}",
        "{\"value\": {}}",
        "{\"value\": [[1]]}",
        "not JSON",
        "{\"value\": 1",
        "{\"value\": 1} trailing",
        &deep,
        &huge,
    ] {
        assert!(
            answered(&track, text).is_err(),
            "{}",
            &text[..text.len().min(40)]
        );
    }
}

#[test]
fn nothing_is_silence_and_a_refusal_is_a_loss_in_its_own_words() {
    let track = track("score", "");
    assert_eq!(result(&track, None, "0.5"), Err(JudgeError::Silent));
    assert_eq!(
        answered(&track, "{\"refused\": \"too small\"}"),
        Ok(Err(Loss::Refused {
            said: "too small".to_owned()
        }))
    );
    assert!(matches!(
        answered(&track, "{\"refused\": true, \"value\": 1}"),
        Ok(Err(Loss::Refused { .. }))
    ));
    for text in [
        "{\"refused\": null, \"value\": 1}",
        "{\"refused\": false, \"value\": 1}",
    ] {
        assert_eq!(answered(&track, text), Ok(Ok(Verdict::Value(1.0))));
    }
}

#[test]
fn a_line_counts_only_where_the_track_names_one() {
    let track = track("score", "line = \"^loss: (.+)$\"\n");
    let value = |stdout: &str| result(&track, Some("{\"value\": 9}"), stdout);
    assert_eq!(
        value("loss: 2\nloss: 1.5\nend"),
        Ok(json!({ "value": 1.5 }))
    );
    assert_eq!(value("loss: nan"), Ok(json!({ "value": "nan" })));
    assert!(value("los: 1").is_err());
}

#[test]
fn a_constraint_holds_at_its_bound_and_never_for_what_is_no_number() {
    let track = track("score", "[[constraint]]\nmetric = \"kl\"\nat_most = 0.01\n");
    assert!(
        answered(&track, "{\"value\": 1, \"kl\": 0.01}")
            .unwrap()
            .is_ok()
    );
    assert!(matches!(
        answered(&track, "{\"value\": 1, \"kl\": 0.0100001}").unwrap(),
        Err(Loss::Constraint { .. })
    ));
    assert!(matches!(
        answered(&track, "{\"value\": 1, \"kl\": NaN}").unwrap(),
        Err(Loss::NotFinite { .. })
    ));
    assert!(answered(&track, "{\"value\": 1}").is_err());
}

#[test]
fn times_are_above_zero() {
    let track = track("timing", "clock = \"judge\"\n");
    let good = "{\"champion\": [2, 3], \"candidate\": [1, 1]}";
    assert!(matches!(
        answered(&track, good),
        Ok(Ok(Verdict::Times { .. }))
    ));
    for text in [
        "{\"champion\": [2], \"candidate\": [0]}",
        "{\"champion\": [-1], \"candidate\": [1]}",
    ] {
        assert!(
            matches!(answered(&track, text), Ok(Err(Loss::NotFinite { .. }))),
            "{text}"
        );
    }
}

#[test]
fn agreement_is_relative_and_nothing_agrees_with_what_is_no_number() {
    assert!(agree(100.0, 101.0, 0.01));
    assert!(!agree(100.0, 102.0, 0.01));
    assert!(agree(0.0, 0.0, 0.0));
    for (a, b) in [
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (f64::NAN, f64::NAN),
        (f64::INFINITY, 1.0),
    ] {
        assert!(!agree(a, b, 0.5), "{a} {b}");
    }
}

#[test]
fn a_block_is_above_zero_where_the_candidate_is_better() {
    use gate::Better::{Higher, Lower};
    let ratio = |better| log_ratio(better, &[2.0, 2.0, 9.0], &[1.0]).unwrap();
    assert!((ratio(Lower) - 2f64.ln()).abs() < 1e-12);
    assert!((ratio(Higher) + 2f64.ln()).abs() < 1e-12);
    assert_eq!(log_ratio(Lower, &[], &[1.0]), None);
}

proptest! {
    #[test]
    fn no_answer_panics(text in "(?s).{0,300}") {
        for kind in ["score", "cases", "timing"] {
            let _read = answered(&track(kind, "[[constraint]]\nmetric = \"kl\"\nat_most = 1.0\n"), &text);
        }
    }

    #[test]
    fn no_json_panics(text in "\\{\"(value|cases|candidate|refused)\": ?[\\[\\]{}:,\"\\\\0-9a-zA-Z.+-]{0,40}\\}?") {
        for kind in ["score", "cases", "timing"] {
            let _read = answered(&track(kind, ""), &text);
        }
    }
}
