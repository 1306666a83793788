//! What a person reads of a kept report, of one server and of two.

use endpoint::{
    Report,
    report::{Against, Agreement, Figure, Phase, Ratio, Refusal, Speed, What},
};

use super::text;
use crate::terminal::Terminal;

/// A real run of an earlier version, whose server kept its cache and counted nothing in streams.
fn report() -> Report {
    let kept = include_str!("../../../../../../endpoint/tests/servers/before.json");
    serde_json::from_str(kept).expect("a report")
}

fn shown(report: &Report) -> String {
    // A test's output is no terminal, so there is no colour.
    let text = text(report, Terminal::detect().data());
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
        assert_eq!(line, line.trim_end());
    }
    text
}

fn first_phase(report: &mut Report) -> &mut Phase {
    &mut report.depths[0].phases[0]
}

fn figure(median: f64) -> Option<Figure> {
    Some(Figure {
        median,
        interval: None,
        samples: vec![median],
    })
}

#[test]
fn a_report_of_an_earlier_version() {
    let text = shown(&report());
    for part in [
        "64 TOKENS OF PROMPT",
        "BEHIND 64 OTHERS",
        "the next turn",
        "Failed, ",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(!text.contains(" seen ("), "{text}");
}

#[test]
fn three_firsts_and_thoughts() {
    let mut report = report();
    let new = first_phase(&mut report);
    new.first_event_ms = figure(10.0);
    new.first_text_ms = figure(500.0);
    new.first_visible_ms = figure(2500.0);
    new.thinking_ms = figure(2000.0);
    new.thought_only = 1;
    let text = shown(&report);
    assert!(
        text.contains("first event 10.0 ms, first text 500 ms, first visible text 2.50 s after 2.00 s of thinking\n                   1 of 2 answers were"),
        "{text}"
    );
    first_phase(&mut report).first_visible_ms = None;
    let text = shown(&report);
    assert!(
        text.contains("no visible text in 2.00 s of thinking"),
        "{text}"
    );
}

#[test]
fn what_is_read_again_says_who_says_so() {
    let mut report = report();
    let again = &mut report.depths[0].phases[1];
    again.seen_tokens = Some(60.0);
    again.read_again_by_time = figure(20.0);
    assert!(shown(&report).contains("20 of 60 seen (by its time)"));
    report.depths[0].phases[1].read_again_tokens = figure(1.0);
    assert!(shown(&report).contains("1 of 60 seen (the server says)"));
}

#[test]
fn two_servers_and_a_refusal() {
    let ratio = |ratio| Ratio {
        what: What::Decode,
        depth: 0,
        clients: None,
        first: Some(20.0),
        second: Some(10.0),
        speed: Speed::Known {
            ratio,
            interval: None,
            pairs: 2,
        },
    };
    let mut first = report();
    let mut against = Against {
        report: report(),
        agreement: Agreement {
            prompts: Vec::new(),
            answers: Vec::new(),
            finding: "They agree.".to_owned(),
        },
        refusal: None,
        ratios: vec![ratio(2.0)],
        verdict: "Twice.".to_owned(),
    };
    first.against = Some(Box::new(against.clone()));
    let text = shown(&first);
    for part in [
        "FIRST: tiny",
        "SECOND: tiny",
        "2.00  (no interval from 2",
        "Twice.",
        "They agree.",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    against.refusal = Some(Refusal::NoAnswers);
    against.ratios.clear();
    against.verdict = against.agreement.finding.clone();
    first.against = Some(Box::new(against));
    let text = shown(&first);
    assert_eq!(text.matches("They agree.").count(), 1, "{text}");
    assert!(!text.contains("so many times"));
}
