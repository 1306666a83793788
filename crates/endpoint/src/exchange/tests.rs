//! Events of all dialects, counts that cannot be true, and times made by hand.

use super::{Cause, Delta, Exchange, Usage};

fn delta(json: &str) -> Delta {
    Delta::parse(json).expect("an event")
}

#[test]
fn events_of_all_dialects() {
    let chat =
        delta(r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#);
    assert_eq!((chat.visible.as_str(), chat.thought.as_str()), ("a", ""));
    let role = delta(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#);
    assert_eq!((role.visible.as_str(), role.thought.as_str()), ("", ""));
    for name in ["reasoning_content", "reasoning"] {
        let thought = delta(&format!(r#"{{"choices":[{{"delta":{{"{name}":"hm"}}}}]}}"#));
        assert!(thought.visible.is_empty() && thought.thought == "hm");
    }
    let completion = delta(r#"{"choices":[{"text":"b","finish_reason":"length"}]}"#);
    assert_eq!(completion.visible, "b");
    assert_eq!(completion.finish.as_deref(), Some("length"));
    let usage = delta(
        r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}}"#,
    );
    let expected = Usage {
        prompt_tokens: 7,
        completion_tokens: 3,
        cached_tokens: Some(5),
    };
    assert_eq!(usage.usage, Some(expected));
    for error in [
        r#"{"error":{"message":"full","code":500}}"#,
        r#"{"error":"full"}"#,
    ] {
        assert_eq!(delta(error).error.as_deref(), Some("full"));
    }
}

#[test]
fn what_is_no_answer_is_told() {
    for bad in [
        "",
        "[DONE",
        "null",
        "3",
        "{}",
        r#"{"choices":3}"#,
        r#"{"error":null}"#,
    ] {
        assert!(Delta::parse(bad).is_err(), "{bad}");
    }
    // Fields of other types are as good as missing.
    let odd = delta(
        r#"{"choices":[{"delta":{"content":[1]},"finish_reason":{}}],"usage":{"prompt_tokens":-1}}"#,
    );
    assert_eq!((odd.visible.as_str(), odd.finish), ("", None));
    assert_eq!(odd.usage, Some(Usage::default()));
}

fn answer(events: &[f64], completion_tokens: u64) -> Exchange {
    let mut exchange = Exchange::default();
    exchange.take(
        delta(r#"{"choices":[{"delta":{"role":"assistant"}}]}"#),
        1.0,
    );
    exchange.take(delta(r#"{"choices":[{"delta":{"reasoning":"x"}}]}"#), 5.0);
    for &ms in events {
        exchange.take(delta(r#"{"choices":[{"delta":{"content":"x"}}]}"#), ms);
    }
    exchange.usage = Some(Usage {
        completion_tokens,
        ..Usage::default()
    });
    exchange
}

#[test]
fn three_firsts_are_three_times() {
    let got = answer(&[10.0, 12.0, 20.0], 4);
    assert_eq!(
        (got.first_event_ms, got.first_text_ms, got.first_visible_ms),
        (Some(1.0), Some(5.0), Some(10.0))
    );
    assert_eq!(got.token_ms(8), Some(5.0));
    assert_eq!(got.longest_gap_ms(), Some(8.0));
    assert_eq!(got.prompt_tokens(), None);
}

#[test]
fn a_count_that_cannot_be_true_is_not_believed() {
    let tokens = |completion| answer(&[10.0, 12.0, 20.0], completion).answer_tokens(8);
    assert_eq!(tokens(4), (4, true));
    // Two tokens an event, and the end of the turn counted too.
    assert_eq!(tokens(9), (9, true));
    for wrong in [0, 1, 10, 4000] {
        assert_eq!(tokens(wrong), (4, false), "{wrong}");
    }
    assert_eq!(Exchange::default().answer_tokens(8), (0, false));
}

#[test]
fn an_error_within_the_stream_keeps_what_came() {
    let mut got = answer(&[10.0], 2);
    got.take(delta(r#"{"error":{"message":"out of memory"}}"#), 11.0);
    let said = Cause::Reported {
        message: "out of memory".into(),
    };
    assert_eq!(got.failure, Some(said));
    assert_eq!(got.visible, "x");
}
