//! What counts as the same work, and ratios made by hand.

use super::{
    Counts, Missing, Refusal, Speed, What,
    agreement::{alike, finding, refusal},
    ratios::ratio,
};

fn counts(first: u64, second: u64) -> Counts {
    Counts {
        depth: Some(0),
        first: Some(first),
        second: Some(second),
    }
}

#[test]
fn how_far_two_texts_go_together() {
    let found = alike("One two  three four", " One two three five six").expect("words");
    assert_eq!((found.agreed_words, found.words), (3, 5));
    // Blanks within are characters, and part them.
    assert_eq!((found.agreed_characters, found.characters), (8, 22));
    assert!(!found.are_same());
    assert!(alike("same", "same\n").expect("words").are_same());
    let cut = alike("one two thr", "one two three").expect("words");
    assert_eq!((cut.agreed_words, cut.agreed_characters), (2, 11));
    assert_eq!(cut.second_goes_on, "ee");
    assert_eq!(alike(" ", "\n"), None);
    let hostile = alike("a b c \u{1b}[2J", "a b c d").expect("words");
    assert!(!hostile.first_goes_on.contains('\u{1b}'));
}

#[test]
fn a_little_is_little() {
    let same = [alike("a b c d", "a b c e").expect("words")];
    assert_eq!(refusal(&[counts(500, 509)], &same), None);
    assert_eq!(
        refusal(&[counts(500, 520)], &same),
        Some(Refusal::PromptTokens {
            first: 500,
            second: 520
        })
    );
    // Who does not count is not refused for it.
    let silent = Counts {
        second: None,
        ..counts(500, 0)
    };
    assert_eq!(refusal(&[silent], &same), None);
    assert!(finding(&[silent], &same, None).contains("the second server does not count"));
    let neither = Counts {
        first: None,
        ..silent
    };
    assert!(finding(&[neither], &same, None).contains("neither server counts"));
    // Sums of a stranger's numbers stay within theirs.
    assert!(refusal(&[counts(u64::MAX, 5), counts(u64::MAX, 5)], &same).is_some());
}

#[test]
fn answers_that_begin_otherwise() {
    let pair = |a, b| alike(a, b).expect("words");
    let prompts = [counts(500, 500)];
    let apart = pair("The wind came in", "The sea was cold");
    let refused = |answers: &[_]| refusal(&prompts, answers);
    // One word alike is enough where there are few, and not where there are many.
    assert_eq!(refused(&vec![apart.clone(); 7]), None);
    let many = vec![apart.clone(); 8];
    assert_eq!(
        refused(&many),
        Some(Refusal::Answers {
            prompts: 8,
            words: 3
        })
    );
    let alike_once = [&many[..], &[pair("a b c d", "a b c e")]].concat();
    assert_eq!(refused(&alike_once), None);
    let found = finding(&prompts, &alike_once, None);
    assert!(
        found.contains("1 of 4 words (median of 9 pairs, 3 at most)"),
        "{found}"
    );
    assert_eq!(
        refused(&[pair("The wind", "A sea")]),
        Some(Refusal::Answers {
            prompts: 1,
            words: 1
        })
    );
    // Two words in all can agree for no more.
    assert_eq!(refused(&vec![pair("Yes indeed", "Yes indeed"); 8]), None);
    assert_eq!(refused(&[]), Some(Refusal::NoAnswers));
}

#[test]
fn faster_is_above_one_for_rates_and_for_times() {
    let pairs = |n: usize| {
        (0..n)
            .map(|i| (100.0 + i as f64, 50.0 + i as f64))
            .collect()
    };
    let known = |what, n| match ratio(what, 0, None, pairs(n)).speed {
        Speed::Known {
            ratio,
            interval,
            pairs,
        } => (ratio, interval, pairs),
        Speed::Unknown { why } => panic!("{why}"),
    };
    let (faster, interval, n) = known(What::Decode, 6);
    assert!(faster > 1.9 && interval.is_some_and(|i| i.low > 1.0) && n == 6);
    let (slower, _, _) = known(What::NewFirstText, 6);
    assert!(slower < 0.6);
    assert_eq!(known(What::Decode, 4).1, None);
    let none = ratio(What::Decode, 0, None, Vec::new());
    assert_eq!(
        (none.first, none.speed),
        (
            None,
            Speed::Unknown {
                why: Missing::NoPair
            }
        )
    );
    let zero = ratio(What::Decode, 0, None, vec![(1.0, 0.0)]);
    assert_eq!(
        zero.speed,
        Speed::Unknown {
            why: Missing::Clock
        }
    );
}
