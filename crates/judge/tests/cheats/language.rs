//! Models that want a better score than they deserve.

use std::fs;
use std::time::Duration;

use judge::language::{Options, Score, run};
use judge::{Answer, JudgeError};
use sandbox::Sandbox;

use crate::ground::{
    Cheat, Expect, Ground, all_are_in, alone, cell, levels, no_gain, reason, refused,
};

const CHEATS: &[Cheat] = &[
    refused("peeks", "not causal"),
    refused("peeks_rarely", "it gets its bytes one by one"),
    refused("both_directions", "other bytes follow"),
    refused("replays", "not causal"),
    refused("honest_at_first", "the same bytes differently"),
    refused("unnormalised", "sum to exp(0.5"),
    no_gain("slightly_more"),
    refused("own_loss", "sum to exp(5.5"),
    refused("not_a_number", "every one must be finite"),
    no_gain("constant"),
    refused("dice", "the same bytes differently"),
    refused("does_not_forget", "the same bytes differently"),
    no_gain("reads_the_text"),
    refused("prints", "before it was asked"),
    no_gain("writes_the_result"),
    refused("drops_bytes", "when its 1.5 s were over"),
    refused("says_more", "more than it was asked for"),
    refused(
        "exits_early",
        "exited with code 0 with 0 of the 1024 bytes of an answer sent; its last words: \"all tests passed\"",
    ),
    refused("hangs", "when its 1.5 s were over"),
    refused("floods", "before it was asked"),
    refused("closes", "closed a pipe and went on"),
    refused("forks", "made more processes than it may"),
    refused("eats_memory", "used more memory than it may"),
];

/// Words with some structure: 256 of them, at random.
fn text() -> Vec<u8> {
    let mut state = 12345_u32;
    let mut next = |bound: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % bound
    };
    let words: Vec<String> = (0..256)
        .map(|_| {
            (0..3 + next(5))
                .map(|_| char::from(b"etaoinshrdlu"[next(12) as usize]))
                .collect()
        })
        .collect();
    let text: Vec<String> = (0..1500)
        .map(|_| words[next(256) as usize].clone())
        .collect();
    text.join(" ").into_bytes()
}

struct Exam {
    ground: Ground,
}

impl Exam {
    fn new() -> Self {
        let ground = Ground::of("language");
        let hidden = ground.at("sealed/hidden.txt");
        fs::write(&hidden, text()).unwrap();
        fs::write(ground.at("artefact/leak"), hidden.to_str().unwrap()).unwrap();
        Self { ground }
    }

    fn options(&self, program: &str) -> Options {
        let hidden = self.ground.at("sealed/hidden.txt");
        Options {
            windows: 12,
            window_bytes: vec![48, 96],
            blind_bytes: 160,
            ..Options::of(&hidden, &hidden, cell(program))
        }
    }

    fn judge(&self, program: &str, sandbox: &Sandbox) -> Answer {
        run(&self.options(program), &self.ground.told(7), sandbox).unwrap()
    }

    fn score(&self, program: &str, sandbox: &Sandbox) -> Score {
        match self.judge(program, sandbox) {
            Answer::Score(score) => score,
            other => panic!("{program}: {other:?}"),
        }
    }
}

#[test]
fn every_cheat_is_refused_with_its_reason_or_gains_nothing() {
    let _alone = alone();
    all_are_in(CHEATS, "language", &["honest"]);
    let exam = Exam::new();
    // No level knows of the other.
    std::thread::scope(|scope| {
        for sandbox in levels() {
            scope.spawn(|| all_at(&exam, sandbox));
        }
    });
}

fn all_at(exam: &Exam, sandbox: &Sandbox) {
    let level = sandbox.level();
    let honest = exam.score("honest", sandbox);
    for cheat in CHEATS {
        let program = cheat.program;
        match cheat.expect {
            Expect::Refused(words) => {
                let reason = reason(&exam.judge(program, sandbox)).unwrap();
                println!("{level}: {program}: the candidate {reason}");
                assert!(reason.contains(words), "{level}: {program}: {reason}");
            }
            Expect::NoGain => {
                let score = exam.score(program, sandbox);
                println!(
                    "{level}: {program}: {} ({} for the honest one)",
                    score.value, honest.value
                );
                assert!(score.value >= honest.value - 1e-5, "{level}: {program}");
                let left = ["artefact/result.json", "result.json", "sealed/result.json"];
                assert!(
                    left.iter().all(|file| !exam.ground.at(file).exists()),
                    "{level}: {program}"
                );
            }
        }
    }
}

#[test]
fn a_life_is_limited_too() {
    let _alone = alone();
    let exam = Exam::new();
    let mut options = exam.options("hangs");
    options.cell.answer_limit = Duration::from_secs(30);
    options.cell.life_limit = Duration::from_millis(700);
    let answer = run(&options, &exam.ground.told(7), &levels()[0]).unwrap();
    assert!(
        reason(&answer).unwrap().contains("ran longer than it may"),
        "{answer:?}"
    );
}

#[test]
fn an_honest_score_is_the_same_for_a_seed_and_rests_on_what_it_says() {
    let _alone = alone();
    let exam = Exam::new();
    let sandbox = &levels()[0];
    let score = exam.score("honest", sandbox);
    println!("{score:?}");
    // 13 characters, known after some time: above their entropy of 3.6 bits, below 8.
    assert!((3.6..6.5).contains(&score.value), "{score:?}");
    assert_eq!(
        (score.windows, score.bytes, score.window_values.len()),
        (12, 12 * 72, 12)
    );
    assert_eq!(score.blind_rows, 160);
    assert!(score.compared_rows > 160 && score.largest_difference <= 1e-6);
    assert!(score.bytes_per_second > 0.0);
    let again = exam.score("honest", sandbox);
    assert_eq!(score.window_values, again.window_values);
    let other = run(&exam.options("honest"), &exam.ground.told(8), sandbox).unwrap();
    assert!(matches!(other, Answer::Score(other) if other.window_values != score.window_values));
}

#[test]
fn what_is_wrong_with_the_track_is_an_error() {
    let _alone = alone();
    let exam = Exam::new();
    let sandbox = &levels()[0];
    let with = |change: &dyn Fn(&mut Options)| {
        let mut options = exam.options("honest");
        change(&mut options);
        run(&options, &exam.ground.told(7), sandbox)
    };
    assert!(matches!(
        with(&|o| o.windows = 2),
        Err(JudgeError::Option {
            name: "windows",
            ..
        })
    ));
    assert!(matches!(
        with(&|o| o.window_bytes.clear()),
        Err(JudgeError::Option { .. })
    ));
    assert!(matches!(
        with(&|o| o.window_bytes = vec![4]),
        Err(JudgeError::Option { .. })
    ));
    assert!(matches!(
        with(&|o| o.blind_bytes = 0),
        Err(JudgeError::Option { .. })
    ));
    assert!(matches!(
        with(&|o| o.tolerance = f64::NAN),
        Err(JudgeError::Option { .. })
    ));
    assert!(matches!(
        with(&|o| o.windows = 1000),
        Err(JudgeError::Text { .. })
    ));
    assert!(matches!(
        with(&|o| o.hidden = "/nothing/here".into()),
        Err(JudgeError::File { .. })
    ));
    assert!(matches!(
        with(&|o| o.cell.answer_limit = Duration::MAX),
        Err(JudgeError::Option { .. })
    ));
    assert!(matches!(
        with(&|o| o.cell.command.clear()),
        Err(JudgeError::Option { .. })
    ));
    let missing = with(&|o| o.cell.command = vec!["./model".to_owned()]).unwrap();
    assert!(
        reason(&missing).unwrap().contains("cannot be started"),
        "{missing:?}"
    );
}

#[test]
fn the_model_in_the_protocols_description_is_one() {
    let _alone = alone();
    let head = include_str!("../../src/language.rs");
    let (_, code) = head.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("//! ```").unwrap();
    let lines = code
        .lines()
        .map(|line| line.strip_prefix("//! ").unwrap_or_default());
    let exam = Exam::new();
    fs::write(
        exam.ground.at("artefact/described.py"),
        lines.collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
    let score = exam.score("described", &levels()[0]);
    assert!((score.value - 8.0).abs() < 1e-6, "{score:?}");
}
