//! Kernels that want a better time than they deserve.

use std::time::Duration;

use judge::kernel::{Options, Problem, Roofline, Times, run};
use judge::{Answer, JudgeError};
use sandbox::Sandbox;

use crate::ground::{
    Cheat, Expect, Ground, PARTS, all_are_in, alone, cell, levels, no_gain, reason, refused,
};

const CHEATS: &[Cheat] = &[
    refused("zeros", "with an error of 1.00e0"),
    refused("left_over", "with an error of NaN"),
    refused("early", "can't be about all of them"),
    refused("fingerprint", "with an error of"),
    refused("replays", "with an error of"),
    refused("right_ten_times", "answered call 11 "),
    refused("rarely_wrong", "answered call 9 "),
    refused("known_shape", "(matmul:2x24x5) with an error of 1.00e0"),
    refused("known_shapes", "with an error of 1.00e0"),
    refused("half_precision", "at most 1e-5 is right"),
    refused("fewer_bits", "lowers the precision"),
    refused("half_the_work", "with an error of"),
    refused("burns", "while it was the champion's turn"),
    refused("prints", "before it was asked"),
    no_gain("sleeps"),
    no_gain("patches_the_clock"),
];

/// They have tests of their own.
const OTHERS: &[&str] = &["honest", "all_operations", "slow", "borrows"];

fn problem(text: &str) -> Problem {
    text.parse().unwrap()
}

/// The candidate's program is another than the champion's, so each gets a folder in which the same name is its own.
struct Contest {
    ground: Ground,
}

impl Contest {
    fn new() -> Self {
        Self {
            ground: Ground::of("kernel"),
        }
    }

    fn options() -> Options {
        Options {
            hidden: vec![problem("matmul:2x24x5")],
            passes: 4,
            ..Options::of(vec![problem("matmul:3x16x8")], cell("program"))
        }
    }

    fn between(
        &self,
        champion: &str,
        candidate: &str,
        options: &Options,
        sandbox: &Sandbox,
    ) -> Result<Answer, JudgeError> {
        let mut told = self.ground.told(11);
        for (name, program) in [("champion", champion), ("candidate", candidate)] {
            let folder = self.ground.at(name);
            let _old = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            for (from, to) in [(program, "program"), ("honest", "honest")] {
                let from = self.ground.at("artefact").join(format!("{from}.py"));
                std::fs::copy(from, folder.join(format!("{to}.py"))).unwrap();
            }
        }
        told.champion = Some(self.ground.at("champion"));
        told.artefact = self.ground.at("candidate");
        run(options, &told, sandbox)
    }

    fn judge(&self, candidate: &str, options: &Options, sandbox: &Sandbox) -> Answer {
        self.between("honest", candidate, options, sandbox).unwrap()
    }

    fn times(&self, candidate: &str, options: &Options, sandbox: &Sandbox) -> Times {
        match self.judge(candidate, options, sandbox) {
            Answer::Times(times) => times,
            other => panic!("{candidate}: {other:?}"),
        }
    }
}

fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

#[test]
fn every_cheat_is_refused_with_its_reason_or_gains_nothing() {
    let _alone = alone();
    all_are_in(CHEATS, "kernel", OTHERS);
    let contest = Contest::new();
    for sandbox in levels() {
        println!("-- {}", sandbox.level());
        for cheat in CHEATS {
            let begin = std::time::Instant::now();
            let mut options = Contest::options();
            if cheat.program == "burns" {
                // More than the 20 ms that anybody may compute.
                options.public = vec![problem("matmul:8x64x64")];
                options.passes = 8;
            }
            if cheat.program == "early" {
                // An interpreter takes its time before it can be early.
                options.hold = Duration::from_millis(300);
            }
            match cheat.expect {
                Expect::Refused(words) => {
                    let reason = reason(&contest.judge(cheat.program, &options, sandbox)).unwrap();
                    println!(
                        "{}: the candidate {reason} ({:?})",
                        cheat.program,
                        begin.elapsed()
                    );
                    assert!(reason.contains(words), "{}: {reason}", cheat.program);
                }
                Expect::NoGain => {
                    let times = contest.times(cheat.program, &options, sandbox);
                    // The fastest of each: what a shared machine adds is not the candidate's.
                    let ratio = fastest(&times.candidate) / fastest(&times.champion);
                    println!("{}: {ratio} times the champion's", cheat.program);
                    assert!(ratio > 0.6, "{}: {times:?}", cheat.program);
                }
            }
        }
    }
}

#[test]
fn an_honest_race_has_its_samples_and_its_floor() {
    let _alone = alone();
    let contest = Contest::new();
    let mut options = Contest::options();
    options.echo = Some(vec![PARTS.into(), "echo".into()]);
    options.blocks = 2;
    let times = contest.times("honest", &options, &levels()[0]);
    println!("{times:?}");
    assert_eq!((times.champion.len(), times.candidate.len()), (16, 16));
    // Two shapes held back, then one; and in each turn four passes of three shapes.
    assert_eq!(times.calls, 2 + 1 + 2 * 2 * 4 * 3);
    assert_eq!(times.checked_in_full, times.calls);
    assert!(times.largest_error < 2e-7);
    assert!(times.unchecked.is_empty(), "{:?}", times.unchecked);
    assert!(
        times
            .floor_seconds
            .is_some_and(|floor| floor > 0.0 && floor < 0.1)
    );
}

#[test]
fn each_operation_is_what_the_protocol_says() {
    let _alone = alone();
    let contest = Contest::new();
    for shape in [
        "matmul:1x7x3",
        "rms_norm:3x20",
        "attention:3x4x4x2x8",
        "gated_delta:4x2x4x5x6",
    ] {
        let mut options = Options::of(vec![problem(shape)], cell("program"));
        options.passes = 2;
        options.echo = Some(vec![PARTS.into(), "echo".into()]);
        let answer = contest
            .between("all_operations", "all_operations", &options, &levels()[0])
            .unwrap();
        let Answer::Times(times) = answer else {
            panic!("{shape}: {answer:?}")
        };
        assert!(times.largest_error < 2e-6, "{shape}: {times:?}");
    }
}

#[test]
fn what_no_machine_can_do_is_refused() {
    let _alone = alone();
    let contest = Contest::new();
    let mut options = Contest::options();
    options.passes = 1;
    options.drawn_multiple = None;
    options.hidden.clear();
    // 768 operations, for which this machine is said to need 50 ms; the champion takes 100.
    options.roofline = Some(Roofline {
        gflop_s: 768.0 / 0.05 / 1e9,
        gb_s: 1.0,
    });
    let answer = contest
        .between("slow", "honest", &options, &levels()[0])
        .unwrap();
    let reason = reason(&answer).unwrap();
    assert!(
        reason.contains("at least 5.00e-2 s for its operations"),
        "{reason}"
    );
}

#[test]
fn a_library_that_is_forbidden_is_found() {
    let _alone = alone();
    let contest = Contest::new();
    let mut options = Contest::options();
    options.forbidden = vec!["_ctypes".to_owned()];
    for sandbox in levels() {
        let answer = contest.judge("borrows", &options, sandbox);
        match &answer {
            Answer::Refused { refused } => {
                assert!(refused.to_string().contains("_ctypes"), "{refused}")
            }
            Answer::Times(times) => assert!(
                times
                    .unchecked
                    .iter()
                    .any(|what| what.starts_with("libraries: ")),
                "{times:?}"
            ),
            Answer::Score(_) => panic!("{answer:?}"),
        }
        println!("{}: {answer:?}", sandbox.level());
        let honest = contest.times("honest", &options, sandbox);
        assert_eq!(honest.champion.len(), 8);
    }
}

#[test]
fn a_champion_that_breaks_a_rule_is_an_error_and_no_refusal() {
    let _alone = alone();
    let contest = Contest::new();
    let options = Contest::options();
    for champion in ["zeros", "early", "prints"] {
        let error = contest
            .between(champion, "honest", &options, &levels()[0])
            .unwrap_err();
        assert!(matches!(error, JudgeError::Champion { .. }), "{error}");
    }
}

#[test]
fn what_is_wrong_with_the_track_is_an_error() {
    let _alone = alone();
    let contest = Contest::new();
    let with = |change: &dyn Fn(&mut Options)| {
        let mut options = Contest::options();
        change(&mut options);
        contest
            .between("honest", "honest", &options, &levels()[0])
            .unwrap_err()
    };
    for error in [
        with(&|o| o.public.clear()),
        with(&|o| o.hidden = vec![problem("rms_norm:1x8")]),
        with(&|o| o.blocks = 0),
        with(&|o| o.hold = Duration::MAX),
        with(&|o| o.cell.life_limit = Duration::ZERO),
        with(&|o| o.cell.memory_bytes = 0),
        with(&|o| o.passes = 0),
        with(&|o| o.precision_ratio = f64::NAN),
        with(&|o| {
            o.roofline = Some(Roofline {
                gflop_s: 0.0,
                gb_s: 1.0,
            })
        }),
        with(&|o| o.echo = Some(Vec::new())),
    ] {
        assert!(matches!(error, JudgeError::Option { .. }), "{error}");
    }
    assert!(matches!(
        with(&|o| o.echo = Some(vec!["/bin/false".into()])),
        JudgeError::Echo { .. }
    ));
    let mut told = contest.ground.told(1);
    told.champion = None;
    assert!(matches!(
        run(&Contest::options(), &told, &levels()[0]),
        Err(JudgeError::Told { .. })
    ));
}
