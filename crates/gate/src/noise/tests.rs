//! Spreads against hand-made arms and published quantiles.

use super::*;

fn arm(values: &[f64]) -> Arm {
    let mut arm = Arm::default();
    values.iter().for_each(|value| arm.push(*value));
    arm
}

#[test]
fn a_gain_between_arms_is_not_noise() {
    let mut pooled = Pooled::default();
    pooled.add(&arm(&[1.0, 3.0]));
    pooled.add(&arm(&[101.0, 103.0]));
    let spread = pooled.spread(0.0).unwrap();
    assert!((spread.sigma - 2.0_f64.sqrt()).abs() <= 1e-12);
    assert_eq!(spread.dof, 2);
    // chi2_{0.25, 2} = 2 ln(4/3).
    let factor = (2.0 / (2.0 * (4.0_f64 / 3.0).ln())).sqrt();
    assert!((spread.conservative / spread.sigma - factor).abs() <= 1e-6);
}

#[test]
fn the_conservative_factor_falls_to_one() {
    // chi2_{0.25} of 4 and 100 degrees of freedom, from tables.
    assert!((conservative_factor(4) - (4.0_f64 / 1.922_56).sqrt()).abs() <= 1e-4);
    assert!((conservative_factor(100) - (100.0_f64 / 90.133).sqrt()).abs() <= 1e-4);
    let mut before = conservative_factor(1);
    for dof in [2, 5, 20, 1000, 100_000, u32::MAX] {
        let factor = conservative_factor(dof);
        assert!(1.0 <= factor && factor <= before, "{dof}: {factor}");
        before = factor;
    }
}

#[test]
fn students_quantiles_are_the_tables() {
    assert!((student_quantile(0.975, 5) - 2.570_58).abs() <= 1e-4);
    assert!((student_quantile(0.95, 10) - 1.812_46).abs() <= 1e-4);
    assert!((student_quantile(0.975, 1_000_000) - 1.96).abs() <= 1e-3);
}

#[test]
fn a_metric_that_repeats_has_the_spread_of_its_rounding() {
    let mut pooled = Pooled::default();
    pooled.add(&arm(&[2.5; 6]));
    assert_eq!(pooled.spread(0.01).unwrap().sigma, 0.005);
    let spread = pooled.spread(0.0).unwrap();
    assert!(spread.at_floor && spread.sigma == 2.5e-9);
    let mut zeros = Pooled::default();
    zeros.add(&arm(&[0.0; 6]));
    assert!(0.0 < zeros.spread(0.0).unwrap().sigma.powi(2));
}
