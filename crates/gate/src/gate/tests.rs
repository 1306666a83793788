//! Scripts of events with a known outcome.

use super::*;
use crate::settings::{Better, Kind};

fn score(value: f64) -> Reading {
    Reading::Score {
        public: value,
        hidden: Some(value),
    }
}

fn block(log_ratio: f64) -> Reading {
    Reading::Block { log_ratio }
}

/// Answers whatever is wanted by `champion` and `tip` until a proposal is wanted, as an engine would.
fn drive(
    gate: &mut Gate,
    mut champion: impl FnMut() -> Reading,
    mut tip: impl FnMut() -> Reading,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for _ in 0..1000 {
        let event = match gate.next() {
            Want::Champion { .. } => Event::Champion(champion()),
            Want::Same => Event::Same(champion()),
            Want::Race { race, index } => Event::Race {
                race,
                index,
                reading: Some(tip()),
            },
            Want::Proposal | Want::End => return decisions,
        };
        decisions.extend(gate.apply(event).unwrap());
    }
    panic!("no end: {decisions:?}");
}

/// 10, 10.1, 9.9, ... : a champion with a spread of about 0.1.
fn noisy(level: f64) -> impl FnMut() -> Reading {
    let mut turn = 0_u32;
    move || {
        turn += 1;
        score(level + [0.0, 0.1, -0.1][turn as usize % 3])
    }
}

fn screen(gate: &mut Gate, candidate: u64, reading: Reading) -> Vec<Decision> {
    gate.apply(Event::Screen {
        candidate,
        reading: Some(reading),
    })
    .unwrap()
}

fn ready(better: Better) -> Gate {
    let mut gate = Gate::new(Settings::of(Kind::Score, better)).unwrap();
    let level = match better {
        Better::Lower => 10.0,
        Better::Higher => -10.0,
    };
    drive(&mut gate, noisy(level), || score(0.0));
    gate
}

#[test]
fn a_real_improvement_is_merged_and_its_gain_told_by_fresh_runs_alone() {
    let mut gate = ready(Better::Lower);
    let opened = screen(&mut gate, 1, score(9.0));
    assert!(
        matches!(
            opened[1],
            Decision::RaceOpened {
                race: 1,
                why: Opening::Strong,
                ..
            }
        ),
        "{opened:?}"
    );
    let mut fresh = 0;
    let decisions = drive(
        &mut gate,
        || {
            fresh += 1;
            score(9.2)
        },
        noisy(9.0),
    );
    assert!(
        matches!(&decisions[0], Decision::RaceWon { members, .. } if members == &[1]),
        "{decisions:?}"
    );
    let Decision::Gain {
        estimate,
        low,
        high,
        fresh_runs,
        ..
    } = decisions[1]
    else {
        panic!("{decisions:?}");
    };
    assert_eq!(
        (fresh, fresh_runs),
        (3, 3),
        "the pool of the new champion, and no run of the race"
    );
    // The race saw 1.0, the fresh runs 0.8: what is told lies at or below the fresh ones.
    assert!(
        low <= estimate && estimate <= high && estimate <= 0.8,
        "{estimate}"
    );
    let Bench::Scores(scores) = &gate.bench else {
        panic!()
    };
    assert_eq!(
        (scores.pool().runs, scores.pool().mean),
        (3, 9.2),
        "only fresh runs are the record"
    );
    assert_eq!(gate.public_reference(), Some(9.2));
    assert!(gate.tip().is_empty());
}

#[test]
fn higher_is_the_mirror_of_lower() {
    let (mut lower, mut higher) = (ready(Better::Lower), ready(Better::Higher));
    assert_eq!(
        lower.public_reference(),
        higher.public_reference().map(|r| -r)
    );
    for (candidate, value) in [(1, 10.2), (2, 9.9), (3, 9.0)] {
        let a = screen(&mut lower, candidate, score(value));
        assert_eq!(a, screen(&mut higher, candidate, score(-value)));
    }
    assert_eq!(lower.resolvable(), higher.resolvable());
}

#[test]
fn a_metric_that_repeats_needs_no_more_than_two_fresh_runs() {
    let mut gate = Gate::new(Settings::of(Kind::Score, Better::Lower)).unwrap();
    drive(&mut gate, || score(0.25), || score(0.0));
    assert!(
        matches!(
            screen(&mut gate, 1, score(0.25))[0],
            Decision::Refused { .. }
        ),
        "equal is not better"
    );
    screen(&mut gate, 2, score(0.2499));
    let decisions = drive(&mut gate, || score(0.2499), || score(0.2499));
    let Decision::RaceWon { evidence, .. } = &decisions[0] else {
        panic!("{decisions:?}")
    };
    assert_eq!(evidence.runs, 2);
    // It repeated for the screen only.
    screen(&mut gate, 3, score(0.2));
    let decisions = drive(&mut gate, || score(0.2499), || score(0.2499));
    assert!(
        matches!(
            decisions[0],
            Decision::RaceLost {
                why: Loss::NotBetter { .. },
                ..
            }
        ),
        "{decisions:?}"
    );
    assert_eq!(gate.spent().races, 2);
}

#[test]
fn what_is_out_of_turn_changes_nothing() {
    let mut gate = Gate::new(Settings::of(Kind::Score, Better::Lower)).unwrap();
    let refused = [
        (
            Event::Same(block(0.0)),
            "expected a run of the champion (to know the noise), got an A/A block",
        ),
        (
            Event::Champion(block(0.0)),
            "expected readings of kind Score, got one of kind Timing: is it this track's judge?",
        ),
        (
            Event::Champion(score(f64::NAN)),
            "expected finite readings of the champion, got public NaN, hidden NaN: the judge is broken or flaky, no candidate can be judged by it",
        ),
        (
            Event::Withdraw {
                candidate: 1,
                why: "x".into(),
            },
            "expected a candidate of the tip [] to withdraw, got 1",
        ),
    ];
    for (event, words) in refused {
        let before = gate.clone();
        assert_eq!(gate.apply(event).unwrap_err().to_string(), words);
        assert_eq!(gate, before);
    }
    let mut gate = ready(Better::Lower);
    screen(&mut gate, 1, score(9.0));
    let run = Event::Race {
        race: 1,
        index: 0,
        reading: Some(score(9.5)),
    };
    gate.apply(run.clone()).unwrap();
    let before = gate.clone();
    assert!(gate.apply(run).is_err(), "a run counts once");
    assert_eq!(gate, before);
    let of_public = Reading::Score {
        public: 9.5,
        hidden: None,
    };
    let run = Event::Race {
        race: 1,
        index: 1,
        reading: Some(of_public.clone()),
    };
    assert_eq!(gate.apply(run), Err(OutOfTurn::PublicAlone));
    assert_eq!(gate, before);
    let mut gate = ready(Better::Lower);
    let screened = gate.apply(Event::Screen {
        candidate: 1,
        reading: Some(of_public),
    });
    assert!(matches!(screened.unwrap()[..], [Decision::Kept { .. }, ..]));
}

#[test]
fn a_candidate_has_one_verdict_and_a_crash_is_a_loss() {
    let mut gate = ready(Better::Lower);
    let lost = gate
        .apply(Event::Screen {
            candidate: 1,
            reading: None,
        })
        .unwrap();
    assert_eq!(
        lost,
        [Decision::Refused {
            candidate: 1,
            why: Refusal::NoReading
        }]
    );
    let again = gate.apply(Event::Screen {
        candidate: 1,
        reading: Some(score(9.0)),
    });
    assert_eq!(again, Err(OutOfTurn::ScreenedBefore { candidate: 1 }));
    let lost = screen(&mut gate, 2, score(f64::INFINITY));
    assert_eq!(
        lost,
        [Decision::Refused {
            candidate: 2,
            why: Refusal::NotFinite
        }]
    );

    screen(&mut gate, 3, score(9.0));
    let lost = gate
        .apply(Event::Race {
            race: 1,
            index: 0,
            reading: None,
        })
        .unwrap();
    assert!(matches!(
        lost[0],
        Decision::RaceLost {
            why: Loss::NoReading,
            ..
        }
    ));
    assert_eq!((gate.next(), gate.spent().races), (Want::Proposal, 1));
}

#[test]
fn a_tip_that_waits_too_long_is_raced_as_it_is() {
    let mut gate = ready(Better::Lower);
    screen(&mut gate, 0, score(9.85));
    assert_eq!(gate.tip(), [0]);
    for candidate in 1..15 {
        assert_eq!(screen(&mut gate, candidate, score(11.0)).len(), 1);
    }
    let opened = screen(&mut gate, 15, score(11.0));
    assert!(
        matches!(
            opened[1],
            Decision::RaceOpened {
                why: Opening::Patience,
                ..
            }
        ),
        "{opened:?}"
    );
}

#[test]
fn a_withdrawal_takes_what_was_built_on_it_and_gives_no_error_back() {
    let mut gate = ready(Better::Lower);
    let reference = gate.public_reference();
    screen(&mut gate, 1, score(9.88));
    let after_one = gate.public_reference();
    screen(&mut gate, 2, score(9.88));
    screen(&mut gate, 3, score(9.88));
    assert_eq!(gate.tip(), [1, 2, 3]);
    let out = gate
        .apply(Event::Withdraw {
            candidate: 2,
            why: "its source is too large".into(),
        })
        .unwrap();
    assert_eq!(
        out[1],
        Decision::Refused {
            candidate: 3,
            why: Refusal::BuiltOn { candidate: 2 }
        }
    );
    assert_eq!(gate.tip(), [1]);
    assert_eq!(gate.public_reference(), after_one);

    screen(&mut gate, 4, score(8.0));
    let spent = gate.spent();
    assert!(matches!(gate.next(), Want::Race { race: 1, index: 0 }));
    let out = gate
        .apply(Event::Withdraw {
            candidate: 1,
            why: "it cheats".into(),
        })
        .unwrap();
    assert!(matches!(
        out[0],
        Decision::RaceLost {
            why: Loss::Withdrawn,
            ..
        }
    ));
    assert_eq!(gate.public_reference(), reference);
    assert_eq!((gate.spent(), gate.next()), (spent, Want::Proposal));
}

#[test]
fn a_timing_session_takes_its_same_blocks_anew_even_during_a_race() {
    let mut gate = Gate::new(Settings::of(Kind::Timing, Better::Higher)).unwrap();
    let mut turn = 0;
    let mut same = || {
        turn += 1;
        block([0.02, -0.03, 0.01][turn % 3])
    };
    gate.apply(Event::Session).unwrap();
    assert_eq!(gate.next(), Want::Same);
    drive(&mut gate, &mut same, || block(0.0));
    screen(&mut gate, 1, block(0.1));
    let mut runs = 0;
    for _ in 0..3 {
        let Want::Race { race, index } = gate.next() else {
            panic!()
        };
        gate.apply(Event::Race {
            race,
            index,
            reading: Some(block(0.1)),
        })
        .unwrap();
        runs += 1;
    }
    gate.apply(Event::Session).unwrap();
    assert_eq!(gate.next(), Want::Same);
    let decisions = drive(&mut gate, &mut same, || {
        runs += 1;
        block(0.1)
    });
    let Decision::RaceWon { evidence, .. } = &decisions[0] else {
        panic!("{decisions:?}")
    };
    let settings = gate.settings();
    assert_eq!(
        evidence.runs + settings.confirm_runs + settings.gain_runs,
        runs
    );
    assert!(matches!(decisions[1], Decision::Gain { fresh_runs: 6, .. }));
}

#[test]
fn blocks_that_favour_one_side_win_nothing() {
    let mut gate = Gate::new(Settings::of(Kind::Timing, Better::Lower)).unwrap();
    let mut turn = 0;
    let mut biased = || {
        turn += 1;
        block([0.030, 0.033, 0.027][turn % 3])
    };
    drive(&mut gate, &mut biased, || block(0.0));
    let opened = screen(&mut gate, 1, block(0.030));
    assert_eq!(opened.len(), 2, "{opened:?}");
    let decisions = drive(&mut gate, || block(0.0), biased);
    assert!(
        matches!(
            decisions[0],
            Decision::RaceLost {
                why: Loss::BelowLeast { .. },
                ..
            }
        ),
        "{decisions:?}"
    );
}

#[test]
fn cases_are_judged_by_the_cases_that_changed() {
    let mut gate = Gate::new(Settings::of(Kind::Cases, Better::Higher)).unwrap();
    let right =
        |n: usize| -> Vec<f64> { (0..100).map(|case| f64::from(u8::from(case < n))).collect() };
    let reading = |n: usize| Reading::Cases {
        public: right(n),
        hidden: right(n),
    };
    drive(&mut gate, || reading(60), || reading(60));
    let short = Reading::Cases {
        public: vec![1.0],
        hidden: vec![1.0],
    };
    assert!(matches!(
        screen(&mut gate, 1, short)[0],
        Decision::Refused {
            why: Refusal::OtherCases { .. },
            ..
        }
    ));
    // 12 cases gained and none lost: 2^-12 by McNemar's test, below the first level of 0.0025.
    screen(&mut gate, 2, reading(72));
    let decisions = drive(&mut gate, || reading(72), || reading(72));
    let Decision::RaceWon { evidence, .. } = &decisions[0] else {
        panic!("{decisions:?}")
    };
    assert!(
        matches!(evidence.proof, Some(crate::Proof::Chance { p, .. }) if (p - 2.0_f64.powi(-12)).abs() <= 1e-12)
    );
    assert!(
        matches!(decisions[1], Decision::Gain { estimate, .. } if (estimate - 0.12).abs() <= 1e-12),
        "{decisions:?}"
    );
    // 4 more are not enough, and it says how many cases would be.
    screen(&mut gate, 3, reading(76));
    let decisions = drive(&mut gate, || reading(72), || reading(76));
    assert!(
        matches!(
            decisions[0],
            Decision::RaceLost {
                why: Loss::TooFewCases { .. },
                ..
            }
        ),
        "{decisions:?}"
    );
    let other = Event::Champion(Reading::Cases {
        public: vec![],
        hidden: vec![],
    });
    assert!(gate.apply(other).is_err());
}

#[test]
fn a_track_that_ends_with_its_first_epoch_ends() {
    let mut settings = Settings::of(Kind::Score, Better::Lower);
    settings.ends_with_first_epoch = true;
    settings.epoch_races = 1;
    let mut gate = Gate::new(settings).unwrap();
    drive(&mut gate, noisy(10.0), || score(0.0));
    assert!(matches!(gate.next(), Want::Proposal));
    screen(&mut gate, 1, score(9.0));
    drive(&mut gate, noisy(10.0), noisy(10.0));
    assert_eq!((gate.next(), gate.resolvable()), (Want::End, None));
    assert!(matches!(
        gate.check(&Event::Champion(score(1.0))),
        Err(OutOfTurn::Unexpected {
            expected: Want::End,
            ..
        })
    ));
}
