//! The matcher's answer must not depend on how the text arrives.

use super::StopMatcher;

fn run(stops: &[&str], text: &str, size: usize) -> (String, Option<usize>) {
    let mut matcher = StopMatcher::new(stops.iter().copied());
    let characters: Vec<char> = text.chars().collect();
    let mut shown = String::new();
    for chunk in characters.chunks(size) {
        let checked = matcher.push(&chunk.iter().collect::<String>());
        shown.push_str(&checked.text);
        if checked.stop.is_some() {
            assert_eq!(matcher.push("more").text, "");
            return (shown, checked.stop);
        }
    }
    (shown + &matcher.finish(), None)
}

#[test]
fn every_cut_gives_the_same_answer() {
    let cases: [(&[&str], &str, &str, Option<usize>); 8] = [
        (&["\nUser:"], "hi\nUser: x", "hi", Some(0)),
        (&["\nUser:"], "hi\nUse", "hi\nUse", None),
        (&["abc", "b"], "xabc", "xa", Some(1)),
        (&["aab"], "aaab", "a", Some(0)),
        (&["bc", "abc"], "zabc", "z", Some(1)),
        (&["", "é!"], "aéé!b", "aé", Some(1)),
        (&[], "plain", "plain", None),
        (&["abab", "bb"], "ababab", "", Some(0)),
    ];
    for (stops, text, shown, stop) in cases {
        for size in 1..=text.chars().count() {
            assert_eq!(
                run(stops, text, size),
                (shown.to_owned(), stop),
                "{stops:?} {text} by {size}"
            );
        }
    }
}

#[test]
fn only_what_may_be_a_stop_is_held() {
    let mut matcher = StopMatcher::new(["<end>"]);
    assert_eq!(matcher.push("a<en").text, "a");
    assert_eq!(matcher.push("x<").text, "<enx");
    assert_eq!(matcher.finish(), "<");
}
