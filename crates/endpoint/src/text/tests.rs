//! Passages, and the line through two prompts.

use std::collections::HashSet;

use super::{Scale, TEXT, passage};

#[test]
fn no_two_passages_begin_alike() {
    let beginnings: HashSet<String> = (0..500)
        .map(|n| passage(n, 200).chars().take(12).collect())
        .collect();
    assert_eq!(beginnings.len(), 500);
}

#[test]
fn a_passage_has_the_length_that_was_asked_for() {
    for number in 0..200 {
        for characters in [60, 1000, TEXT.len() - 1, TEXT.len() + 5000, 3 * TEXT.len()] {
            let found = passage(number, characters).len();
            assert!(
                (characters - 3..=characters).contains(&found),
                "{found} of {characters}"
            );
        }
    }
    assert!(passage(3, 0).starts_with("Record 3 of"));
}

#[test]
fn a_line_through_two_prompts() {
    let scale = Scale::through((600, 160), (4600, 1160)).expect("a line");
    assert_eq!((scale.per_character, scale.fixed), (0.25, 10.0));
    assert_eq!(scale.characters(510), 2000);
    assert_eq!(scale.characters(0), 64);
    // The question's tokens stand behind the passage.
    assert!(scale.head() < scale.fixed && scale.beginning(510) >= scale.characters(510));
    for (short, long) in [
        ((600, 160), (600, 160)),
        ((600, 160), (4600, 160)),
        ((600, 0), (4600, 90_000)),
    ] {
        assert_eq!(Scale::through(short, long), None);
    }
}
