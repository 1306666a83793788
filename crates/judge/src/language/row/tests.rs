//! Rows that are none, and distances.

use proptest::prelude::*;

use super::*;

fn bytes(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn uniform() -> Vec<f32> {
    vec![-(256.0_f32).ln(); WIDTH]
}

#[test]
fn a_uniform_row_is_eight_bits() {
    let row = read(&bytes(&uniform()), 0, 0).unwrap();
    assert!((of_byte(&row, 7) / -std::f64::consts::LN_2 - 8.0).abs() < 1e-6);
}

#[test]
fn what_is_no_logarithm_of_a_probability_is_refused() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut row = uniform();
        row[9] = value;
        let refusal = read(&bytes(&row), 3, 4).unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::NotFinite {
                window: 3,
                row: 4,
                byte: 9,
                ..
            }
        ));
    }
    for shift in [0.01, -0.01, 3e38, -3e38] {
        let row: Vec<f32> = uniform().iter().map(|value| value + shift).collect();
        let refusal = read(&bytes(&[uniform(), row].concat()), 0, 0).unwrap_err();
        assert!(
            matches!(refusal, Refusal::NotNormalised { row: 1, .. }),
            "{refusal}"
        );
    }
}

#[test]
fn a_print_is_called_one() {
    let mut printed = b"loss 1.0\n".to_vec();
    printed.resize(ROW_BYTES, 0xc0);
    assert_eq!(read(&printed, 0, 0), Err(Refusal::Talk(Fault::Unasked)));
}

#[test]
fn a_deviation_within_the_tolerance_gains_nothing() {
    let row: Vec<f32> = uniform().iter().map(|value| value + 9e-4).collect();
    let row = read(&bytes(&row), 0, 0).unwrap();
    assert!((of_byte(&row, 7) / -std::f64::consts::LN_2 - 8.0).abs() < 1e-6);
}

#[test]
fn the_byte_that_comes_and_all_others_count() {
    let one = uniform();
    assert!(difference(&one, &one, 0) <= 0.0);
    let mut other = uniform();
    other[3] += 0.1;
    // Hardly a difference of probabilities, but 0.1 nats of this byte.
    assert!((difference(&one, &other, 3) - 0.1).abs() < 1e-3);
    assert!(difference(&one, &other, 4) < 1e-3);
}

proptest! {
    #[test]
    fn no_bytes_bring_the_judge_down(
        bytes in proptest::collection::vec(any::<u8>(), 0..2100),
        row in proptest::collection::vec(any::<f32>(), WIDTH),
        peak in 0..WIDTH,
    ) {
        let _rows = read(&bytes, 0, 0);
        // Finite and normalised, however far the others are down.
        let mut row: Vec<f32> = row.into_iter().map(|value| if value.is_finite() { -value.abs() - 20.0 } else { -90.0 }).collect();
        row[peak] = 0.0;
        let row: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        let row = read(&row, 0, 0).unwrap();
        for byte in 0..=255 {
            prop_assert!(of_byte(&row, byte).is_finite());
            prop_assert!(difference(&row, &uniform(), byte).is_finite());
        }
    }
}
