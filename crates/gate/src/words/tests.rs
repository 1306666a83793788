//! The words that people read, as they are.

use super::*;

#[test]
fn decisions_in_words() {
    let evidence = Evidence {
        runs: 8,
        champion_runs: 6,
        estimate: Some(0.012),
        in_sigma: Some(0.8),
        low: None,
        proof: Some(Proof::Odds {
            ln_e: 1.2,
            ln_needed: 5.28,
        }),
    };
    let said = [
        Decision::Kept {
            candidate: 7,
            better_by_sigma: 1.234,
            standing: 2,
        },
        Decision::Refused {
            candidate: 8,
            why: Refusal::NotBetter {
                better_by_sigma: -0.31,
                needed_sigma: 0.5,
            },
        },
        Decision::Refused {
            candidate: 9,
            why: Refusal::NotBetter {
                better_by_sigma: 0.04,
                needed_sigma: 0.5,
            },
        },
        Decision::RaceOpened {
            race: 3,
            members: vec![4, 7],
            level: 0.005_07,
            why: Opening::Unit,
        },
        Decision::RaceLost {
            race: 3,
            members: vec![4, 7],
            evidence: evidence.clone(),
            why: Loss::NotResolvable {
                effect_in_sigma: 0.8,
                runs_needed: 43,
            },
        },
        Decision::RaceWon {
            race: 4,
            members: vec![10],
            evidence,
        },
        Decision::Gain {
            of_race: 4,
            estimate: 0.123_456,
            low: 0.051_2,
            high: 0.199_9,
            fresh_runs: 3,
        },
    ];
    let words: Vec<String> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "candidate 7 kept provisionally: 1.2 sigma better on one run; 2 on the tip, unproven until a race",
            "candidate 8 refused: 0.3 sigma worse than its reference, 0.5 sigma better is needed; one run cannot tell a small effect from none",
            "candidate 9 refused: no different (0.0 sigma) from its reference, 0.5 sigma better is needed; one run cannot tell a small effect from none",
            "race 3 opened for candidates 4, 7, because enough stands on the tip: it needs odds of 200 to 1",
            "race 3 lost by candidates 4, 7: not resolvable at this noise: 0.8 sigma better, an effect of that size needs about 40 runs an arm (0.8 sigma better after 8 runs, odds 3 to 1 of the 200 needed)",
            "race 4 won: candidate 10 merged, 0.8 sigma better after 8 runs, odds 3 to 1 of the 200 needed",
            "gain of race 4: 0.12 (95%: 0.05 to 0.20), by 3 fresh runs",
        ]
    );
}

#[test]
fn gains_of_timing_are_per_cent() {
    let gain = Decision::Gain {
        of_race: 1,
        estimate: 0.031_8,
        low: 0.008_9,
        high: 0.054_6,
        fresh_runs: 6,
    };
    assert_eq!(
        gain.told(Kind::Timing),
        "gain of race 1: 3.2% (95%: 0.9% to 5.6%), by 6 fresh runs"
    );
    assert_eq!(
        Loss::BelowLeast { least: 0.01 }.to_string(),
        "not proven to be better by the least gain of 1.0%"
    );
}

#[test]
fn numbers_have_the_digits_that_they_deserve() {
    assert_eq!(about(43.0), "40");
    assert_eq!(about(0.034), "0.03");
    assert_eq!(about(1e9), "over a million");
    assert_eq!(about(f64::INFINITY), "over a million");
    assert_eq!(about(f64::NAN), "over a million");
    assert_eq!(significant(2.34e-9, 1), "2e-9");
    let digits = Digits::of(0.000_31);
    assert_eq!(digits.show(-0.000_001), "0.00000");
    assert_eq!(Digits::of(f64::NAN).show(1.0), "1.000000000000");
    assert_eq!(Digits::of(1234.0).show(98765.0), "98800");
}
