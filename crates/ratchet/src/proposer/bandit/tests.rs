//! The bandit asks whoever was worth asking, everybody now and then, and nobody who cannot be asked.

use super::choose;
use crate::proposer::{Past, Standing};

fn past(list: &[(&str, Standing, usize)]) -> Vec<Past> {
    let one = |name: &str, standing| Past {
        experiment: 1,
        proposer: name.to_owned(),
        title: String::new(),
        knobs: None,
        cost: None,
        comparable: true,
        score: String::new(),
        verdict: String::new(),
        standing,
        is_pending: false,
        beside: Vec::new(),
    };
    list.iter()
        .flat_map(|(name, standing, count)| vec![one(name, *standing); *count])
        .collect()
}

/// How often each of two is asked in 1000 draws.
fn asked(past: &[Past]) -> [usize; 2] {
    let mut counts = [0; 2];
    for seed in 0..1000 {
        counts[choose(&["a", "b"], &[true, true], past, seed).unwrap()] += 1;
    }
    counts
}

#[test]
fn nobody_who_cannot_be_asked_is_asked() {
    assert_eq!(choose(&[], &[], &[], 1), None);
    assert_eq!(choose(&["a"], &[false], &[], 1), None);
    assert_eq!(choose(&["a"], &[], &[], 1), None);
    for seed in 0..50 {
        assert_eq!(choose(&["a", "b"], &[false, true], &[], seed), Some(1));
    }
}

#[test]
fn the_same_past_and_seed_give_the_same_choice() {
    let past = past(&[("a", Standing::Merged, 2), ("b", Standing::Void, 9)]);
    for seed in 0..50 {
        let again = choose(&["a", "b"], &[true, true], &past, seed);
        assert_eq!(choose(&["a", "b"], &[true, true], &past, seed), again);
    }
}

#[test]
fn who_was_merged_is_asked_most_and_who_never_was_still_sometimes() {
    let [a, b] = asked(&[]);
    assert!((400..600).contains(&a), "{a} and {b} without a past");
    let won = [
        ("a", Standing::Merged, 3),
        ("a", Standing::Refused, 7),
        ("b", Standing::Refused, 10),
    ];
    let [a, b] = asked(&past(&won));
    assert!(b < a / 4 && 0 < b, "{a} and {b}");
    // To be worth a race counts for something, and a void costs less than a refusal.
    let [a, b] = asked(&past(&[
        ("a", Standing::Dropped, 6),
        ("b", Standing::Refused, 6),
    ]));
    assert!(b < a, "{a} and {b}");
    let [a, b] = asked(&past(&[
        ("a", Standing::Void, 6),
        ("b", Standing::Refused, 6),
    ]));
    assert!(b < a, "{a} and {b}");
}
