//! Gradients without a derivation: the yardstick of every backward reference.
//!
//! The derivative of a loss with respect to one input is a central difference, `D(h) = (L(x + h) - L(x - h)) / 2h`, which errs by
//! `h^2 L''' / 6` and by higher even powers of h. Two steps remove the first term (Richardson):
//!
//! ```text
//! (4 D(h / 2) - D(h)) / 3        errs by h^4 L^(5) / 480
//! ```
//!
//! Forward references take f32 and compute in f64. Inputs on a grid of 2^-10 and steps that are powers of two make `x + h` exact in f32, so
//! that the loss is all that is rounded: by about 1e-16, divided by h = 2^-6.

use crate::input;

/// The larger of the two steps. Its fourth power is 6e-8.
const STEP: f32 = 1.0 / 64.0;
/// Steps of the grid in a unit.
const GRID: f32 = 1024.0;

/// Of a difference, over the largest gradient of its tensor. The truncated term limits it: 1.2e-10 times a fifth derivative, which
/// is some hundreds where a row of small values is normed (2e-8 is the most that was seen). Rounding stays below 1e-12.
const TOLERANCE: f64 = 1e-7;

/// `len` values of the grid in `low..=high`.
pub(crate) fn grid(seed: u64, len: usize, low: f32, high: f32) -> Vec<f32> {
    input::uniform(seed, len, low * GRID, high * GRID)
        .iter()
        .map(|x| x.round() / GRID)
        .collect()
}

/// The loss whose gradient with respect to `y` is `dy`.
pub(crate) fn loss(y: &[f64], dy: &[f32]) -> f64 {
    assert_eq!(y.len(), dy.len(), "an output has another length than dy");
    y.iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum()
}

/// The gradient of `loss` at `x`.
fn gradient(x: &[f32], loss: impl Fn(&[f32]) -> f64) -> Vec<f64> {
    let mut moved = x.to_vec();
    let mut central = |i: usize, step: f32| {
        moved[i] = x[i] + step;
        let above = loss(&moved);
        moved[i] = x[i] - step;
        let below = loss(&moved);
        moved[i] = x[i];
        (above - below) / (2.0 * f64::from(step))
    };
    (0..x.len())
        .map(|i| (4.0 * central(i, STEP / 2.0) - central(i, STEP)) / 3.0)
        .collect()
}

/// Compares every element of `got` with the gradient of `loss` at `x`.
///
/// # Panics
/// When an element is off by more than the tolerance, or the whole gradient is zero and shows nothing.
#[track_caller]
pub(crate) fn assert_gradient(name: &str, x: &[f32], got: &[f64], loss: impl Fn(&[f32]) -> f64) {
    assert_eq!(got.len(), x.len(), "{name}: a gradient for each input");
    let want = gradient(x, loss);
    let largest = want
        .iter()
        .fold(0.0f64, |largest, want| largest.max(want.abs()));
    assert!(largest > 1e-3, "{name}: all gradients are nearly zero");
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (got - want).abs() / largest;
        assert!(
            error <= TOLERANCE,
            "{name}[{i}]: {got} instead of {want}, {error:e} of the largest"
        );
    }
}

#[test]
fn a_polynomial_of_degree_four_is_exact() {
    let x = grid(1, 5, -2.0, 2.0);
    let loss = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>();
    for (got, x) in gradient(&x, loss).iter().zip(&x) {
        assert!((got - 4.0 * f64::from(*x).powi(3)).abs() <= 1e-11);
    }
}

#[test]
fn the_grid_is_exact_under_both_steps() {
    for x in grid(2, 1000, -2.0, 2.0) {
        assert!((-2.0..=2.0).contains(&x) && (x * GRID).fract() == 0.0);
        for step in [STEP, STEP / 2.0] {
            assert_eq!(f64::from(x + step), f64::from(x) + f64::from(step));
        }
    }
}

#[test]
#[should_panic(expected = "of the largest")]
fn a_gradient_that_is_off_by_one_part_in_a_million_fails() {
    let x = grid(3, 4, 0.5, 2.0);
    let off: Vec<f64> = x.iter().map(|&x| 2.0 * f64::from(x) * 1.000_001).collect();
    assert_gradient("x", &x, &off, |x| {
        x.iter().map(|&x| f64::from(x).powi(2)).sum()
    });
}

#[test]
#[should_panic(expected = "of the largest")]
fn a_gradient_that_is_no_number_fails() {
    assert_gradient("x", &[1.0], &[f64::NAN], |x| f64::from(x[0]));
}
