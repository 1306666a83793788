//! Addresses, and what of a stranger is shown.

use super::{base, is_loopback};
use crate::exchange::shown;

#[test]
fn addresses_with_and_without_version() {
    let cases = [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/api/v3", "https://host/api/v3"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
    ];
    for (given, expected) in cases {
        assert_eq!(base(given).map(|b| b.0).as_deref(), Ok(expected), "{given}");
    }
    for bad in [
        "",
        "http://",
        "ftp://host",
        "file:///etc/passwd",
        "http://host/v1?key=3",
        "http://a b",
    ] {
        assert!(base(bad).is_err(), "{bad}");
    }
}

#[test]
fn this_machine_needs_no_proxy() {
    assert!(is_loopback("localhost") && is_loopback("127.3.2.1") && is_loopback("::1"));
    assert!(!is_loopback("10.0.0.1") && !is_loopback("localhost.example"));
}

#[test]
fn what_a_stranger_says_stays_on_its_line() {
    assert_eq!(shown("\u{1b}[2Ja\nb\t"), "[2Ja b");
    let long = "x".repeat(500);
    assert_eq!(shown(&long).chars().count(), 201);
}
