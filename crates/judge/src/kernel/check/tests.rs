//! Projections find what the reference finds, and only that.

use super::*;

fn right(call: &Call) -> Vec<Vec<f32>> {
    let reference = call.reference();
    reference
        .iter()
        .map(|values| values.iter().map(|&value| value as f32).collect())
        .collect()
}

/// A large product's truth, by projection.
fn projected_truth(call: &Call, random: &mut Random) -> Truth {
    loop {
        let truth = Truth::draw(call, random);
        if matches!(truth, Truth::Projected { .. }) {
            return truth;
        }
    }
}

#[test]
fn a_projection_accepts_what_is_right_and_finds_one_wrong_value() {
    let problem: Problem = "matmul:3x2000x2000".parse().unwrap();
    let mut random = Random::new(5, "test");
    let call = Call::draw(&problem, &mut random);
    let truth = projected_truth(&call, &mut random);
    let good = right(&call);
    let finding = truth.finding(Operation::MatMul, &good);
    assert!(finding.is_right() && finding.error < 1e-6, "{finding:?}");
    let changed = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut other = good.clone();
        change(&mut other[0]);
        truth.finding(Operation::MatMul, &other)
    };
    assert!(!changed(&|y| y[1234] += 1.0).is_right());
    assert!(!changed(&|y| y[7] = f32::NAN).is_right());
    assert!(!changed(&|y| y.fill(0.0)).is_right());
    assert!(!changed(&|y| y.fill(f32::INFINITY)).is_right());
    assert!(!changed(&|y| y.swap(3, 4)).is_right());
    assert!(!changed(&|y| y.iter_mut().for_each(|value| *value *= 1.001)).is_right());
}

#[test]
fn a_projection_estimates_the_error_that_the_reference_measures() {
    let problem: Problem = "matmul:3x1900x2100".parse().unwrap();
    let mut random = Random::new(6, "test");
    let call = Call::draw(&problem, &mut random);
    let mut rough = right(&call);
    let mut sign = 1.0;
    for value in &mut rough[0] {
        *value *= 1.0 + 2e-4 * sign;
        sign = -sign;
    }
    let full = Truth::Full(call.reference())
        .finding(Operation::MatMul, &rough)
        .error;
    let projected = projected_truth(&call, &mut random)
        .finding(Operation::MatMul, &rough)
        .error;
    assert!(
        (0.4..2.5).contains(&(projected / full)),
        "{projected} {full}"
    );
}

#[test]
fn every_output_array_counts() {
    let problem: Problem = "gated_delta:2x1x1x4x4".parse().unwrap();
    let call = Call::draw(&problem, &mut Random::new(1, "test"));
    let truth = Truth::Full(call.reference());
    let good = right(&call);
    assert!(truth.finding(Operation::GatedDelta, &good).is_right());
    for array in 0..2 {
        let mut other = good.clone();
        other[array][0] += 1.0;
        assert!(!truth.finding(Operation::GatedDelta, &other).is_right());
        other[array][0] = f32::NAN;
        assert!(!truth.finding(Operation::GatedDelta, &other).is_right());
    }
    assert!(!truth.finding(Operation::GatedDelta, &good[..1]).is_right());
    assert!(!truth.finding(Operation::GatedDelta, &[]).is_right());
}

#[test]
fn no_fixed_answer_solves_what_varies() {
    for text in [
        "rms_norm:1x1",
        "matmul:1x1x1",
        "rms_norm:2x64",
        "attention:1x0x1x1x8",
        "attention:4x300x2x1x8",
        "gated_delta:2x1x1x4x4",
    ] {
        for seed in 0..20 {
            varies(&text.parse().unwrap(), &mut Random::new(seed, "test")).unwrap();
        }
    }
}
