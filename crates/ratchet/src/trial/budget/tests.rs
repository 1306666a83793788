//! What is handed on and counted between a run and its server.

use std::{io::Cursor, time::Duration};

use super::{Broken, Meter, Wire};
use crate::track::file::Budget;

fn tokens(most: u64) -> Budget {
    Budget {
        unit: "tokens".to_owned(),
        most,
        server: vec!["serve".to_owned()],
        finish: Duration::ZERO,
        expires: None,
    }
}

/// What the run hears, what the server is asked, and how it went.
fn talk(rules: &Budget, questions: &str, answers: &str) -> (String, String, Result<(), Broken>) {
    let (mut heard, mut asked) = (Vec::new(), Vec::new());
    let wire = Wire {
        questions: Cursor::new(questions.as_bytes()),
        answers: &mut heard,
        to_server: &mut asked,
        from_server: Cursor::new(answers.as_bytes()),
    };
    let outcome = wire.hand_on(&Meter::new(rules));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(heard), text(asked), outcome)
}

#[test]
fn a_run_gets_what_is_left_and_then_nothing() {
    let rules = tokens(5);
    let (heard, asked, outcome) = talk(&rules, "3\n3\n3\nand more", "3 4\nabcd2 0\n");
    assert_eq!(outcome, Ok(()));
    assert_eq!(heard, "3 4 2\nabcd2 0 0\n0 0 0\n");
    assert_eq!(asked, "5 3\n2 3\n");
}

#[test]
fn only_a_run_that_got_all_is_over() {
    for (questions, is_over) in [("a\n", false), ("a\nb\n", true)] {
        let rules = tokens(2);
        let meter = Meter::new(&rules);
        let wire = Wire {
            questions: Cursor::new(questions.as_bytes()),
            answers: Vec::new(),
            to_server: Vec::new(),
            from_server: Cursor::new("1 0\n1 0\n".as_bytes()),
        };
        assert_eq!(wire.hand_on(&meter), Ok(()));
        assert_eq!(meter.over().is_some(), is_over);
    }
}

#[test]
fn what_is_given_expires_where_the_track_says_so() {
    for (given, expires, is_over) in [
        ("1 0\n", Some(Duration::ZERO), true),
        // Nothing was given, so that nothing expires.
        ("0 0\n", Some(Duration::ZERO), false),
        ("1 0\n", Some(Duration::MAX), false),
        ("1 0\n", None, false),
    ] {
        let rules = Budget {
            expires,
            ..tokens(2)
        };
        let meter = Meter::new(&rules);
        let wire = Wire {
            questions: Cursor::new("a\n".as_bytes()),
            answers: Vec::new(),
            to_server: Vec::new(),
            from_server: Cursor::new(given.as_bytes()),
        };
        assert_eq!(wire.hand_on(&meter), Ok(()));
        assert_eq!(meter.over().is_some(), is_over, "{given:?} {expires:?}");
    }
}

#[test]
fn a_server_that_fails_is_not_the_runs_fault() {
    for (answers, why) in [
        ("", "it ended instead of an answer"),
        ("3\n", "expected a line with units and bytes"),
        ("-1 2\n", "expected a line with units and bytes"),
        ("1 2 3\n", "expected a line with units and bytes"),
        (
            "1 99999999999999999999\n",
            "expected a line with units and bytes",
        ),
        ("1 2", "expected a line with units and bytes"),
        ("9 0\n", "it gave 9 tokens when 5 were left"),
        ("1 3\nab", "it ended 1 bytes before the end of its answer"),
    ] {
        let (_, _, outcome) = talk(&tokens(5), "go\n", answers);
        match outcome {
            Err(Broken::Server(how)) => assert!(how.starts_with(why), "{answers:?}: {how}"),
            other => panic!("{answers:?}: {other:?}"),
        }
    }
}

#[test]
fn a_question_without_an_end_is_the_runs_fault() {
    let (_, asked, outcome) = talk(&tokens(5), &"x".repeat(1 << 20), "");
    assert!(matches!(outcome, Err(Broken::Run(_))), "{outcome:?}");
    assert_eq!(asked, "");
}
