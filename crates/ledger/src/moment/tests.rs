//! Times at the edges of the calendar.

use super::*;

#[test]
fn times_are_utc_and_read_back() {
    let text = "2026-01-31T12:00:00.250Z";
    assert_eq!(to_text(parse(text).unwrap()), text);
    assert!(parse("2026-01-31T12:00:00+00:00").is_ok());
    for wrong in [
        "",
        "yesterday",
        "2026-01-31",
        "2026-01-31T12:00:00+01:00",
        &"9".repeat(10_000),
    ] {
        let error = parse(wrong).unwrap_err().to_string();
        assert!(error.contains("RFC 3339"), "{error}");
        assert!(error.len() < 300);
    }
}

#[test]
fn a_lease_without_end_ends_with_the_calendar() {
    let end = later(now(), Duration::MAX);
    assert_eq!(to_text(end), "9999-12-31T23:59:59.000Z");
    assert!(parse(&to_text(end)).is_ok());
}
