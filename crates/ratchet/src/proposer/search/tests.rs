//! Samplers propose what they may, remember by the ledger alone, and find what is better.

use std::path::PathBuf;

use proptest::prelude::*;

use super::{literal, place, propose};
use crate::{
    git::{Contents, Files},
    proposer::{Past, Standing},
    track::{Domain, Knob, Place, file::Method},
};

fn knob(name: &str, domain: Domain) -> Knob {
    Knob {
        place: Place::new("f", &format!("{name} = {{}}")).unwrap(),
        domain,
    }
}

fn real(name: &str, low: f64, high: f64, log: bool) -> Knob {
    knob(name, Domain::Real { low, high, log })
}

fn base() -> Files {
    let contents = Contents {
        bytes:
            b"x = 0\ny = 0\nn = 0\nx0 = 0\nx1 = 0\nx2 = 0\nx3 = 0\nx4 = 0\nx5 = 0\nc0 = 0\nc1 = 0\n"
                .to_vec(),
        executable: false,
    };
    Files::from([(PathBuf::from("f"), contents)])
}

/// The values of a proposal by the knobs' order.
fn values(knobs: &[Knob], method: Method, past: &[Past]) -> Vec<String> {
    values_from(7, knobs, method, past)
}

fn values_from(seed: u64, knobs: &[Knob], method: Method, past: &[Past]) -> Vec<String> {
    let idea = propose(method, knobs, "s", seed, past, &base()).unwrap();
    let text = String::from_utf8(idea.files[&PathBuf::from("f")].bytes.clone()).unwrap();
    knobs
        .iter()
        .map(|knob| knob.place.read(&text).unwrap().to_owned())
        .collect()
}

/// So many questions of a search, each with what `cost` says of its values.
fn search(
    knobs: &[Knob],
    method: Method,
    count: usize,
    cost: &dyn Fn(&[f64]) -> Option<f64>,
) -> Vec<Past> {
    search_from(7, knobs, method, count, cost)
}

fn search_from(
    seed: u64,
    knobs: &[Knob],
    method: Method,
    count: usize,
    cost: &dyn Fn(&[f64]) -> Option<f64>,
) -> Vec<Past> {
    let mut past = Vec::new();
    for number in 0..count {
        let idea = propose(method, knobs, "s", seed, &past, &base()).unwrap();
        let chosen: Vec<f64> = values_from(seed, knobs, method, &past)
            .iter()
            .map(|value| value.parse().unwrap_or(0.0))
            .collect();
        past.push(Past {
            experiment: number as u64 + 1,
            proposer: "s".to_owned(),
            title: idea.title,
            knobs: idea.knobs,
            cost: cost(&chosen),
            comparable: true,
            score: String::new(),
            verdict: String::new(),
            standing: Standing::Refused,
            is_pending: false,
            beside: Vec::new(),
        });
    }
    past
}

fn best(past: &[Past]) -> f64 {
    past.iter()
        .filter_map(|past| past.cost)
        .fold(f64::INFINITY, f64::min)
}

const METHODS: [Method; 3] = [Method::Tpe, Method::Cma, Method::Random];

#[test]
fn all_find_the_minimum_of_a_quadratic_better_than_where_they_began() {
    // One knob a million times wider than the other.
    let knobs = [real("x", -1.0, 1.0, false), real("y", 0.0, 1e6, false)];
    let cost = |v: &[f64]| Some((v[0] - 0.3).powi(2) + (v[1] / 1e6 - 0.7).powi(2));
    let found = METHODS.map(|method| best(&search(&knobs, method, 60, &cost)));
    let begin = best(&search(&knobs, Method::Random, 6, &cost));
    for (method, found) in METHODS.iter().zip(found) {
        assert!(
            found < begin,
            "{method:?}: {found} after 60, {begin} after 6"
        );
        assert!(found < 0.02, "{method:?}: {found}");
    }
    assert!(found[1] < 1e-3, "CMA-ES on a quadratic: {}", found[1]);
}

#[test]
fn the_same_past_gives_the_same_proposal_and_losses_are_not_asked_again() {
    let knobs = [
        real("x", 0.0, 1.0, false),
        knob(
            "n",
            Domain::Whole {
                low: 1,
                high: 9,
                step: 2,
                log: false,
            },
        ),
    ];
    for method in METHODS {
        // Every third one is a loss.
        let cost = |v: &[f64]| (v[1] as i64 % 3 != 0).then(|| v[0] + v[1]);
        let past = search(&knobs, method, 25, &cost);
        for length in [0, 1, 5, 12, 25] {
            let (one, other) = (
                values(&knobs, method, &past[..length]),
                values(&knobs, method, &past[..length]),
            );
            assert_eq!(one, other, "{method:?} after {length}");
            // What others did, and what another judge measured, changes nothing.
            let mut more = past[..length].to_vec();
            let other = Past {
                proposer: "another".to_owned(),
                cost: Some(-1e300),
                ..past[0].clone()
            };
            let older = Past {
                comparable: false,
                ..past[0].clone()
            };
            more.insert(length / 2, other);
            more.insert(0, older);
            assert_eq!(
                one,
                values(&knobs, method, &more),
                "{method:?} after {length} and others"
            );
        }
    }
}

#[test]
fn other_knobs_begin_anew_and_go_on_from_there() {
    let narrow = [real("x", 0.0, 1.0, false)];
    let wide = [real("x", 0.0, 100.0, false)];
    for method in [Method::Cma, Method::Random] {
        let mut past = search(&narrow, method, 5, &|v| Some(v[0]));
        assert_eq!(
            values(&wide, method, &past),
            values(&wide, method, &[]),
            "{method:?}"
        );
        let fresh = search(&wide, method, 12, &|v| Some((v[0] - 50.0).abs()));
        past.extend(fresh.iter().cloned());
        assert_eq!(
            values(&wide, method, &past),
            values(&wide, method, &fresh),
            "{method:?}"
        );
    }
}

#[test]
fn what_is_still_in_range_is_known_to_the_estimator() {
    let wide = [real("x", 0.0, 100.0, false)];
    let narrow = [real("x", 40.0, 60.0, false)];
    let past = search(&wide, Method::Tpe, 12, &|v| Some((v[0] - 50.0).abs()));
    let within: Vec<Past> = past
        .iter()
        .filter(|past| {
            place(
                &narrow[0].domain,
                past.knobs.iter().flatten().next().unwrap().1,
            )
            .is_some()
        })
        .cloned()
        .collect();
    assert!(!within.is_empty() && within.len() < past.len());
    assert_eq!(
        values(&narrow, Method::Tpe, &past),
        values(&narrow, Method::Tpe, &within)
    );
    // Other knobs than those that were asked about tell nothing.
    let two = [real("x", 0.0, 100.0, false), real("y", 0.0, 1.0, false)];
    assert_eq!(
        values(&two, Method::Tpe, &past),
        values(&two, Method::Tpe, &[])
    );
}

#[test]
fn knobs_of_one_range_go_their_own_ways() {
    let knobs: Vec<Knob> = (0..6)
        .map(|i| real(&format!("x{i}"), 0.0, 1.0, false))
        .chain([0, 1].map(|i| {
            knob(
                &format!("c{i}"),
                Domain::Values(["0", "1", "2", "3"].map(str::to_owned).to_vec()),
            )
        }))
        .collect();
    let cost = |v: &[f64]| {
        let numbers: f64 = v[..6]
            .iter()
            .zip(0..)
            .map(|(x, i)| (x - 0.1 - 0.16 * f64::from(i)).powi(2))
            .sum();
        Some(numbers + 0.1 * (v[6] - 3.0).abs() + 0.1 * v[7])
    };
    let mut found: Vec<[f64; 2]> = (0..21)
        .map(|seed| {
            [Method::Tpe, Method::Random]
                .map(|method| best(&search_from(seed, &knobs, method, 40, &cost)))
        })
        .collect();
    let median = |found: &mut Vec<[f64; 2]>, i: usize| {
        found.sort_by(|a, b| a[i].total_cmp(&b[i]));
        found[10][i]
    };
    let (tpe, random) = (median(&mut found, 0), median(&mut found, 1));
    println!("{tpe} {random}");
    assert!(tpe < 0.5 * random, "{tpe}, at random {random}");
}

#[test]
fn costs_of_any_size_panic_nobody() {
    let knobs = [
        real("x", 1e-300, 1e300, true),
        real("y", -1e300, 1e300 / 2.0, false),
    ];
    for method in METHODS {
        for cost in [Some(f64::MAX), Some(f64::MIN), Some(0.0), None] {
            search(&knobs, method, 14, &|_| cost);
        }
    }
}

#[test]
fn a_file_without_the_line_is_the_proposers_failure() {
    assert!(
        propose(
            Method::Tpe,
            &[real("gone", 0.0, 1.0, false)],
            "s",
            1,
            &[],
            &base()
        )
        .is_err()
    );
    assert!(
        propose(
            Method::Tpe,
            &[real("x", 0.0, 1.0, false)],
            "s",
            1,
            &[],
            &Files::new()
        )
        .is_err()
    );
}

#[test]
fn every_whole_number_and_every_value_is_reached() {
    let whole = Domain::Whole {
        low: 1,
        high: 8,
        step: 3,
        log: false,
    };
    let found: std::collections::BTreeSet<String> = (0..=100)
        .map(|i| literal(&whole, f64::from(i) / 100.0))
        .collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["1", "4", "7"]);
    let log = Domain::Whole {
        low: 1,
        high: 4,
        step: 1,
        log: true,
    };
    let found: std::collections::BTreeSet<String> = (0..=100)
        .map(|i| literal(&log, f64::from(i) / 100.0))
        .collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    let knobs = [knob(
        "x",
        Domain::Values(vec!["a".into(), "b".into(), "c".into()]),
    )];
    let past = search(&knobs, Method::Tpe, 30, &|_| Some(1.0));
    let chosen: std::collections::BTreeSet<_> = past
        .iter()
        .filter_map(|p| p.knobs.clone()?.into_values().next())
        .collect();
    assert_eq!(chosen.len(), 3);
}

proptest! {
    #[test]
    fn values_stay_in_their_ranges(a in -1e9f64..1e9, width in 1e-6f64..1e9, place in -0.5f64..1.5, log: bool) {
        let (low, high) = if log { (a.abs() + 1e-9, a.abs() + 1e-9 + width) } else { (a, a + width) };
        let value: f64 = literal(&Domain::Real { low, high, log }, place).parse().unwrap();
        prop_assert!(low <= value && value <= high, "{value} in {low}..{high}");
    }

    #[test]
    fn whole_numbers_stay_in_their_ranges(a in -(1i64 << 52)..(1 << 52), width in 1i64..(1 << 52), step in 1i64..100, place in 0.0f64..=1.0, log: bool) {
        let low = if log { a.abs() + 1 } else { a };
        let (high, step) = (low + width, step.min(width));
        let value: i64 = literal(&Domain::Whole { low, high, step, log }, place).parse().unwrap();
        prop_assert!(low <= value && value <= high && (value - low) % step == 0);
    }
}
