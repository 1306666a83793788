//! Both functions by hand, and where softplus turns into a line.

use super::*;

#[test]
fn steps_and_decays_by_hand() {
    let shape = Shape {
        tokens: 2,
        heads: 2,
    };
    let got = reference(
        &shape,
        &[1.0, 30.0, -3.0, -40.0],
        &[-2.0, -0.5],
        &[-1.0, 0.0],
    );
    let ln2 = std::f64::consts::LN_2;
    let want = [ln2, 30.0, (-4f64).exp().ln_1p(), (-40f64).exp()];
    for (got, want) in got.steps.iter().zip(want) {
        assert!((got - want).abs() <= 1e-15 * want.max(1.0), "{got} {want}");
    }
    assert!((got.decays[0] - 0.25).abs() <= 1e-15, "{}", got.decays[0]);
    assert!((got.decays[1] - (-15f64).exp()).abs() <= 1e-20);
    assert!(got.decays.iter().all(|d| (0.0..=1.0).contains(d)));
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        heads: 5,
    };
    let want = Cost {
        read_bytes: 60 + 40,
        written_bytes: 120,
        f32_flops: 90,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
}
