//! Ties, special blocks and ranges of the 8-bit rounding, each where a kernel could differ.

use super::*;
use crate::{input, relative_error};

fn block(values: &[f32]) -> Vec<f32> {
    let mut x = values.to_vec();
    x.resize(BLOCK, 0.0);
    x
}

#[test]
fn the_largest_magnitude_gets_127_and_ties_go_to_even() {
    let out = reference(&block(&[-127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 3.49]));
    assert_eq!(out.scales, [1.0]);
    assert_eq!(out.codes[..8], [-127, 0, 2, 2, 0, -2, 126, 3]);
    assert_eq!(out.sums, [-127 + 2 + 2 - 2 + 126 + 3, 0]);
}

#[test]
fn blocks_and_sums_are_separate() {
    let x: Vec<f32> = [block(&[1.0; 16]), block(&[2.0; 32])].concat();
    let out = reference(&x);
    assert_eq!(out.scales, [1.0 / 127.0, 2.0 / 127.0]);
    assert_eq!(out.sums, [2032, 0, 2032, 2032]);
}

#[test]
fn zeros_and_values_too_small_for_a_scale_become_zero() {
    for tiny in [
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        -f32::from_bits(190),
        126.0 * f32::MIN_POSITIVE,
    ] {
        let out = reference(&block(&[tiny]));
        assert_eq!(
            (out.scales[0].to_bits(), &out.codes[..], &out.sums[..]),
            (0, &[0; 32][..], &[0, 0][..]),
            "{tiny:e}"
        );
    }
    assert_eq!(
        reference(&block(&[127.0 * f32::MIN_POSITIVE])).codes[0],
        127
    );
}

#[test]
fn a_non_finite_value_poisons_its_block_only() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let out = reference(&[block(&[1.0, bad]), block(&[1.0])].concat());
        assert!(out.scales[0].is_nan());
        assert!(out.codes[..32].iter().all(|&code| code == 0));
        assert_eq!((out.scales[1], out.codes[32]), (1.0 / 127.0, 127));
    }
}

#[test]
fn extremes_stay_in_range() {
    let out = reference(&block(&[f32::MAX, -f32::MAX, f32::MAX / 2.0]));
    assert_eq!(out.codes[..2], [127, -127]);
    for seed in 0..200 {
        let scale = 10f32.powi(seed as i32 % 60 - 30);
        let x: Vec<f32> = input::normal(seed, 320).iter().map(|x| x * scale).collect();
        assert!(reference(&x).codes.iter().all(|&code| code >= -127));
    }
}

#[test]
fn half_a_step_is_the_largest_error() {
    let x = input::normal(1, 32 * 64);
    let out = reference(&x);
    for (i, (&x, value)) in x.iter().zip(out.values()).enumerate() {
        assert!((f64::from(x) - value).abs() <= 0.500_001 * f64::from(out.scales[i / BLOCK]));
    }
    assert!(relative_error(&x, &out.values()) <= 0.01);
}

#[test]
fn bytes_are_those_of_the_arrays() {
    let out = reference(&input::normal(1, 3 * 96));
    assert_eq!(
        bytes(3, 96),
        (out.codes.len() + 4 * out.scales.len() + 2 * out.sums.len()) as u64
    );
}
