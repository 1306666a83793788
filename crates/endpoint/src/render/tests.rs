//! The file of a report: foreign names do nothing in it, and nothing is fetched.

use super::html;
use crate::{
    Report,
    comparison::{Against, Agreement, Ratio, Speed, What},
    report::Figure,
};

const HOSTILE: &str = "</script><script>alert(1)</script>\" onload='x' \u{202e}\u{1b}[2J";

fn report() -> Report {
    let mut report: Report =
        serde_json::from_str(include_str!("../../tests/servers/before.json")).expect("a report");
    report.model = HOSTILE.to_owned();
    report
}

fn checked(report: &Report) -> String {
    let page = html(report);
    assert_eq!(page.matches("<script").count(), 1, "only the data");
    assert!(!page.contains("alert(1)</script>"));
    // Within the data, quotes are JSON's.
    let shown = &page[..page.find("<script").expect("the data")];
    assert!(!shown.contains("onload='"));
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
    for fetched in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    for bad in ["NaN", "inf\"", "\"-"] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert_eq!(
        page.matches("<svg").count(),
        page.matches("aria-label=").count()
    );
    page
}

#[test]
fn one_server() {
    let page = checked(&report());
    assert!(page.contains("Until the first text") && page.contains("All samples"));
    let from = page.find("id=\"sprag-report\">").expect("the data") + 18;
    let to = page[from..].find("</script>").expect("its end") + from;
    let back: Report = serde_json::from_str(&page[from..to]).expect("the report");
    assert_eq!(back, report());
}

#[test]
fn two_servers() {
    let speed = Speed::Known {
        ratio: 1.4,
        interval: None,
        pairs: 3,
    };
    let ratio = |what, speed| Ratio {
        what,
        depth: 0,
        clients: None,
        first: Some(14.0),
        second: Some(10.0),
        speed,
    };
    let unknown = Speed::Unknown {
        why: crate::comparison::Missing::NoPair,
    };
    let mut first = report();
    first.against = Some(Box::new(Against {
        report: report(),
        agreement: Agreement {
            prompts: Vec::new(),
            answers: Vec::new(),
            finding: HOSTILE.to_owned(),
        },
        refusal: None,
        ratios: vec![ratio(What::Prefill, speed), ratio(What::Decode, unknown)],
        verdict: HOSTILE.to_owned(),
    }));
    let page = checked(&first);
    assert!(page.contains("1.40") && page.contains("no step in which both have it"));
    assert!(page.contains("second server"));
}

#[test]
fn a_report_of_nothing() {
    let mut empty = report();
    empty.depths.clear();
    empty.clients.clear();
    empty.floor_ms = None;
    checked(&empty);
    let mut odd = report();
    for depth in &mut odd.depths {
        depth.prefill_tokens_per_s = None;
        depth.decode_tokens_per_s = Figure::of(vec![0.0]);
        depth.phases.truncate(1);
    }
    checked(&odd);
}
