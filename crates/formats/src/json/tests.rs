//! Bounds, types and the words of errors.

use std::path::Path;

use super::*;

fn document(text: &str) -> Result<Document, JsonError> {
    Document::from_bytes(Path::new("config.json"), text.as_bytes())
}

#[test]
fn getters_take_their_type_and_name_the_field() {
    let document =
        document(r#"{"a": 3, "b": {"c": -1, "d": "x\u001b[2J", "e": 1e999}, "n": null}"#);
    // A number beyond f64 is refused by the parser itself.
    assert!(document.is_err());
    let document = super::Document::from_bytes(
        Path::new("config.json"),
        br#"{"a": 3, "b": {"c": -1, "d": "x\u001b[2J", "e": 1e300, "f": [1]}, "n": null}"#,
    )
    .unwrap();
    let root = document.root();
    assert_eq!(root.count("a", 1, 9).unwrap(), 3);
    assert_eq!(root.optional_count("n", 1, 9).unwrap(), None);
    let told = root.count("a", 4, 9).unwrap_err().to_string();
    assert!(
        told.contains("\"a\" is 3") && told.contains("from 4 to 9"),
        "{told}"
    );
    let inner = root.object("b").unwrap().unwrap();
    let told = inner.count("c", 0, 9).unwrap_err().to_string();
    assert!(told.contains("\"b.c\" is -1"), "{told}");
    let told = inner.count("d", 0, 9).unwrap_err().to_string();
    assert!(!told.chars().any(char::is_control), "{told:?}");
    assert!(inner.count("e", 0, usize::MAX).is_err());
    assert!(inner.text("f").is_err() && inner.flag("f").is_err() && inner.object("f").is_err());
    assert!(inner.positive("c").is_err() && inner.positive("zz").unwrap().is_none());
    let told = root.count("zz", 0, 9).unwrap_err().to_string();
    assert!(told.contains("\"zz\" is missing"), "{told}");
}

#[test]
fn bombs_and_other_forms_are_refused() {
    let bomb = format!("{{\"a\":{}", "[".repeat(1_000_000));
    for text in [bomb.as_str(), "[1]", "", "{", "\u{0}", "null"] {
        let told = document(text).unwrap_err().to_string();
        assert!(
            told.len() < 300 && !told.chars().any(char::is_control),
            "{told:?}"
        );
    }
}

#[test]
fn files_are_bounded() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(matches!(
        bytes(&here, 10).unwrap_err().fault(),
        JsonFault::TooLong { limit: 10 }
    ));
    assert!(matches!(
        bytes(here.parent().unwrap(), 10).unwrap_err().fault(),
        JsonFault::Io(_)
    ));
    assert!(
        bytes(&here.join("x"), 10).is_err()
            || bytes(&here.with_extension("none"), 10).unwrap().is_none()
    );
}
