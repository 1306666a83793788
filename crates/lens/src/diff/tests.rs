//! Runs made by hand from the attribution's own waterfall.

use super::{DiffError, compared};
use crate::{
    attribution::tests::{fall, known, spec},
    report::{Layer, Reading, Waterfall},
};

fn run() -> Waterfall {
    fall(&spec(known(40.0), known(200.0)))
}

/// All times of the step and what follows it, times a factor.
fn slower(mut fall: Waterfall, factor: f64) -> Waterfall {
    for level in &mut fall.levels {
        if level.layer < Layer::Step {
            continue;
        }
        if let Reading::Known { figure } = &mut level.ms_per_token {
            figure.typical *= factor;
            figure.samples.iter_mut().for_each(|ms| *ms *= factor);
        }
        if level.layer == Layer::Step
            && let Some(loss) = &mut level.loss
        {
            loss.factor *= factor;
        }
    }
    for part in &mut fall.parts {
        part.in_step_ms.typical *= factor;
    }
    fall
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let same = compared(&run(), &run(), |_| 0.0);
    assert!(same.parts.is_empty());
    for level in &same.levels {
        assert_eq!(level.speed_up, Some(1.0), "{level:?}");
        assert!(level.own.is_none_or(|own| own == 1.0));
    }
    assert!(same.verdict.contains("no difference"), "{}", same.verdict);
}

#[test]
fn a_slower_step_is_the_steps_own() {
    let found = compared(&run(), &slower(run(), 1.25), |_| 0.0);
    let at = |layer| {
        found
            .levels
            .iter()
            .find(|l| l.layer == layer)
            .expect("a level")
    };
    assert_eq!(at(Layer::Kernels).speed_up, Some(1.0));
    assert_eq!(
        (at(Layer::Step).speed_up, at(Layer::Step).own),
        (Some(0.8), Some(0.8))
    );
    assert_eq!(
        (at(Layer::User).speed_up, at(Layer::User).own),
        (Some(0.8), Some(1.0))
    );
    assert!(at(Layer::User).interval.is_some_and(|i| i.holds(0.8)));
    // What layers did, multiplied, is what the user sees.
    let product: f64 = found.levels.iter().filter_map(|l| l.own).product();
    assert!((product - 0.8).abs() < 1e-12);
    assert_eq!(found.parts[0].name, "product");
    assert!(
        found.verdict.contains("0.800 times") && found.verdict.contains("most of it in whole step"),
        "{}",
        found.verdict
    );
}

#[test]
fn the_first_level_that_both_know_owns_all_of_its_difference() {
    let unknown = || fall(&spec(crate::attribution::tests::unknown(), known(200.0)));
    let mut better = unknown();
    for level in &mut better.levels {
        if let Reading::Known { figure } = &mut level.ms_per_token {
            figure.typical /= 2.0;
            figure.samples.iter_mut().for_each(|ms| *ms /= 2.0);
        }
    }
    let found = compared(&unknown(), &better, |_| 0.0);
    let owns: Vec<_> = found
        .levels
        .iter()
        .filter_map(|l| Some((l.layer, l.own?)))
        .collect();
    assert_eq!(owns[0], (Layer::Silicon, 2.0));
    let product: f64 = owns.iter().map(|(_, own)| own).product();
    assert!((product - 2.0).abs() < 1e-12);
    assert!(
        found.verdict.contains("most of it in measured silicon"),
        "{}",
        found.verdict
    );
}

#[test]
fn what_one_run_does_not_know_is_not_compared() {
    let mut silent = run();
    for level in &mut silent.levels {
        level.ms_per_token = Reading::Unknown {
            reason: "a test".into(),
            remedy: String::new(),
        };
        level.loss = None;
    }
    let found = compared(&run(), &silent, |_| 0.0);
    assert!(
        found
            .levels
            .iter()
            .all(|l| l.speed_up.is_none() && l.interval.is_none())
    );
    assert!(found.verdict.contains("no level is known of both"));
}

#[test]
fn a_part_that_only_one_run_has() {
    let mut added = run();
    added.parts[1].name = "another".into();
    let found = compared(&run(), &added, |_| 0.0);
    let names: Vec<_> = found
        .parts
        .iter()
        .map(|p| (p.name.as_str(), p.first_ms.is_some(), p.second_ms.is_some()))
        .collect();
    assert!(names.contains(&("norm", true, false)) && names.contains(&("another", false, true)));
}

#[test]
fn refusals_name_the_next_step() {
    let error = DiffError::Model(vec!["quantisation Q4_0 and Q8_0".into()]);
    assert!(error.to_string().contains("--across-models"));
}

#[test]
fn a_drift_as_large_as_the_difference_leaves_none() {
    let drift = |ln: f64| move |_| ln;
    let found = compared(&run(), &slower(run(), 1.25), drift(0.3));
    assert!(found.verdict.contains("no difference"), "{}", found.verdict);
    let step = found.levels.iter().find(|l| l.layer == Layer::Step);
    let interval = step.and_then(|l| l.interval).expect("an interval");
    // 0.8 / exp(0.3) to 0.8 exp(0.3), and the readings' own.
    assert!(
        interval.low <= 0.593 && 1.079 <= interval.high,
        "{interval:?}"
    );
    let found = compared(&run(), &slower(run(), 1.25), drift(0.1));
    assert!(found.verdict.contains("0.800 times"), "{}", found.verdict);
}
