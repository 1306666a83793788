//! A literal is found exactly where the line says, whatever the file is written in.

use proptest::prelude::*;

use super::{KnobError, Place};

fn place(line: &str) -> Place {
    Place::new("f", line).unwrap()
}

#[test]
fn the_pattern_has_one_place_and_something_around_it() {
    for bad in ["", "{}", "  {}  ", "x = 1", "x = {} + {}", "x\n= {}"] {
        assert!(
            matches!(Place::new("f", bad), Err(KnobError::Pattern(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn a_literal_is_read_and_replaced_in_its_place() {
    let text = "a = 1\r\n\tLR = 0.1  \r\nü = \"ä\"\nlast = 7";
    assert_eq!(place("LR = {}").read(text).unwrap(), "0.1");
    assert_eq!(
        place("LR = {}").replace(text, "0.25").unwrap(),
        "a = 1\r\n\tLR = 0.25  \r\nü = \"ä\"\nlast = 7"
    );
    assert_eq!(
        place("ü = \"{}\"").replace(text, "日本").unwrap(),
        "a = 1\r\n\tLR = 0.1  \r\nü = \"日本\"\nlast = 7"
    );
    assert_eq!(place("last = {}").read(text).unwrap(), "7");
    assert_eq!(place("   a = {} ").read(text).unwrap(), "1");
}

#[test]
fn no_such_line_or_two_of_them_is_an_error() {
    assert!(matches!(
        place("LR = {}").read("lr = 1\nLR=1\nLR =\n"),
        Err(KnobError::Missing { .. })
    ));
    assert!(matches!(
        place("LR = {}").read("LR = 1\nLR = 2"),
        Err(KnobError::Several { count: 2, .. })
    ));
    // More of the line tells them apart.
    assert_eq!(
        place("LR = {}  # big")
            .read("LR = 1  # big\nLR = 2  # small")
            .unwrap(),
        "1"
    );
}

#[test]
fn what_stands_before_and_behind_cannot_overlap() {
    assert!(matches!(
        place("aba{}ba").read("aba"),
        Err(KnobError::Missing { .. })
    ));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(before in "[a-z=( ]{1,8}x", after in "[);]{0,3}", old in "[0-9]{1,5}", new in "[0-9.e-]{1,8}", head in "\\PC{0,20}", tail in "\\PC{0,20}") {
        let line = format!("{before}{{}}{after}");
        let Ok(place) = Place::new("f", &line) else { return Ok(()) };
        let text = format!("{head}\n  {before}{old}{after}\t\n{tail}");
        if let Ok(found) = place.read(&text) {
            prop_assert_eq!(found.trim(), old.trim());
            let changed = place.replace(&text, &new).unwrap();
            prop_assert_eq!(changed.len(), text.len() - old.len() + new.len());
            prop_assert_eq!(place.read(&changed).unwrap(), new.as_str());
        }
    }

    #[test]
    fn no_text_panics(line in "\\PC{0,20}", text in "(?s).{0,200}", literal in "\\PC{0,10}") {
        if let Ok(place) = Place::new("f", &line) {
            let _read = place.read(&text);
            let _replaced = place.replace(&text, &literal);
        }
    }
}
