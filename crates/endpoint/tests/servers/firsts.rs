//! The first event, text and visible text; tokens that are read again; and documents of earlier versions.

use std::time::Duration;

use endpoint::{Options, Report, measure, report::Prompt};

use crate::{
    caching, connect, measured, options,
    wire::{Piece, Site, model_list},
};

/// A role, blanks, thoughts, and then what a reader sees.
fn thinker(is_told: bool) -> Site {
    Site::new(move |request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        let mut pieces = vec![
            Piece::head("text/event-stream"),
            Piece::event(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#),
            Piece::Wait(Duration::from_millis(10)),
            Piece::event(r#"{"choices":[{"delta":{"reasoning_content":"hm "}}]}"#),
            Piece::Wait(Duration::from_millis(30)),
            Piece::event(r#"{"choices":[{"delta":{"reasoning_content":"so"}}]}"#),
            Piece::event(r#"{"choices":[{"delta":{"content":"\n\n"}}]}"#),
            Piece::Wait(Duration::from_millis(10)),
        ];
        if is_told {
            pieces.push(Piece::event(
                r#"{"choices":[{"delta":{"content":"Yes."}}]}"#,
            ));
        }
        pieces.push(Piece::event("[DONE]"));
        pieces
    })
}

#[test]
fn thoughts_are_text_but_not_visible() {
    let report = measured(&thinker(true));
    let new = &report.depths[0].phases[0];
    let median = |f: &Option<endpoint::report::Figure>| f.as_ref().map(|f| f.median);
    let [Some(event), Some(text), Some(visible), Some(thinking)] = [
        &new.first_event_ms,
        &new.first_text_ms,
        &new.first_visible_ms,
        &new.thinking_ms,
    ]
    .map(median) else {
        panic!("{new:?}")
    };
    // Counted from the request, nothing comes before the site's waits are over; how late it is seen is the machine's affair.
    assert!(event <= text && text >= 10.0, "{new:?}");
    assert!(visible >= 50.0, "{new:?}");
    // From the first thought to the first visible text, in each answer.
    let samples = |figure: &Option<endpoint::report::Figure>| {
        figure.as_ref().map_or_else(Vec::new, |f| f.samples.clone())
    };
    let (texts, visibles) = (samples(&new.first_text_ms), samples(&new.first_visible_ms));
    let between: Vec<f64> = texts.iter().zip(&visibles).map(|(t, v)| v - t).collect();
    let thinkings = samples(&new.thinking_ms);
    assert_eq!(between.len(), thinkings.len());
    for (told, expected) in thinkings.iter().zip(&between) {
        assert!((told - expected).abs() < 1e-6, "{new:?}");
    }
    assert!(thinking <= visible, "{new:?}");
    assert_eq!(new.thought_only, 0);

    let report = measured(&thinker(false));
    let new = &report.depths[0].phases[0];
    assert_eq!((&new.first_visible_ms, new.thought_only), (&None, 2));
    assert!(new.thinking_ms.is_some());
}

#[test]
fn what_a_cache_keeps_is_not_read_again() {
    let report = measured(&caching());
    for depth in &report.depths {
        // This site takes the JSON behind a message for a token a character, so other kinds have fewer seen ones than a server would.
        let again = depth.phases.iter().find(|p| p.prompt == Prompt::Again);
        let again = again.expect("the same again");
        let seen = again.seen_tokens.expect("a count");
        let told = again.read_again_tokens.as_ref().expect("its word").median;
        assert!(seen > 90.0 && told < 0.1 * seen, "{again:?}");
        let new = &depth.phases[0];
        assert_eq!(
            (new.seen_tokens, &new.read_again_tokens),
            (Some(0.0), &None)
        );
    }
}

#[test]
fn without_a_cache_the_time_tells() {
    let site = Site::new(|request| {
        if request.path == "/v1/models" {
            return model_list(&["tiny"]);
        }
        let length = request.body.len();
        let event = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
        vec![
            Piece::head("text/event-stream"),
            Piece::Wait(Duration::from_micros(30 * length as u64)),
            Piece::event(event),
            Piece::event(event),
            Piece::event(&format!(
                r#"{{"choices":[],"usage":{{"prompt_tokens":{length},"completion_tokens":2}}}}"#
            )),
            Piece::event("[DONE]"),
        ]
    });
    // Deep enough that the JSON before the text, which it takes for a template that every prompt shares, is little.
    let options = Options {
        depths: vec![0, 1500],
        clients: vec![],
        ..options()
    };
    let server = connect(&site).expect("a server");
    let report = measure(&server, &options, &mut |_, _| true).expect("a report");
    let again = report.depths[1]
        .phases
        .iter()
        .find(|p| p.prompt == Prompt::Again);
    let again = again.expect("the same again");
    assert_eq!(again.read_again_tokens, None);
    let seen = again.seen_tokens.expect("a count");
    let timed = again.read_again().expect("an estimate").median;
    assert!(timed > 0.7 * seen && timed <= seen, "{again:?}");
    assert!(
        report
            .verdict
            .contains("computed again, as its time suggests"),
        "{}",
        report.verdict
    );
}

#[test]
fn documents_of_earlier_versions_are_read() {
    let before: Report = serde_json::from_str(include_str!("before.json")).expect("a report");
    assert_eq!(
        (before.against, before.depths[0].phases[0].seen_tokens),
        (None, None)
    );
    assert!(before.depths[0].phases[0].read_again().is_none());
}
