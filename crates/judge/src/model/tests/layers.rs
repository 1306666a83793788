//! Operations on numbers that fit on paper.

use ndarray::{Array2, array};

use super::super::gated_delta::{convolve, recur};
use super::super::operations::{attend, rms_norm, rope, sigmoid, silu, softplus, surprise};

fn near(a: &Array2<f64>, b: &Array2<f64>) -> bool {
    a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-14)
}

#[test]
fn two_tokens_of_the_delta_rule() {
    // S1 = k1 (v1 / 2)^T = [[1, 1.5], [0, 0]]. Half of it is left; S^T k2 = (0.3, 0.45), so (0.7, 0.55) is missing of v2:
    // S2 = [[0.5 + 0.42, 0.75 + 0.33], [0.56, 0.44]].
    let mut out = Array2::zeros((2, 2));
    recur(
        array![[1.0, 1.0], [1.0, -1.0]].view(),
        array![[1.0, 0.0], [0.6, 0.8]].view(),
        array![[2.0, 3.0], [1.0, 1.0]].view(),
        array![0.1, 0.5].view(),
        array![0.5, 1.0].view(),
        out.view_mut(),
    );
    assert!(near(&out, &array![[1.0, 1.5], [0.36, 0.64]]), "{out}");
}

#[test]
fn what_is_written_twice_is_there_once() {
    // With beta 1 and a key of length 1 the old value under that key is replaced: the delta rule, and not a sum.
    let mut out = Array2::zeros((2, 2));
    let key = array![[0.6, 0.8], [0.6, 0.8]];
    let (kept, beta) = (array![1.0, 1.0], array![1.0, 1.0]);
    recur(
        key.view(),
        key.view(),
        array![[5.0, 7.0], [1.0, 2.0]].view(),
        kept.view(),
        beta.view(),
        out.view_mut(),
    );
    assert!(near(&out, &array![[5.0, 7.0], [1.0, 2.0]]), "{out}");
}

#[test]
fn the_last_tap_is_the_tokens_own() {
    let x = array![[1.0], [2.0], [3.0], [4.0], [5.0]];
    let taps = array![[1000.0, 100.0, 10.0, 1.0]];
    assert!(near(
        &convolve(&x, &taps),
        &array![[1.0], [12.0], [123.0], [1234.0], [2345.0]]
    ));
}

#[test]
fn functions_at_known_places() {
    assert_eq!((sigmoid(0.0), silu(0.0), sigmoid(-1e9)), (0.5, 0.0, 0.0));
    assert!((sigmoid(3.0_f64.ln()) - 0.75).abs() <= 1e-15);
    assert!((softplus(0.0) - 2.0_f64.ln()).abs() <= 1e-15);
    assert_eq!((softplus(1e4), softplus(-1e4)), (1e4, 0.0));
    for scale in [0.0, 1e4, 1e20, -1e300] {
        assert!((surprise(array![scale, scale].view(), 1) - 2.0_f64.ln()).abs() <= 1e-15);
    }
    assert!(surprise(array![0.0, f64::NAN].view(), 0).is_nan());
    let normed = rms_norm(&array![[3.0, 4.0]], &array![1.0, 2.0], 0.0);
    let scale = 12.5_f64.sqrt();
    assert!(
        near(&normed, &array![[3.0 / scale, 8.0 / scale]]),
        "{normed}"
    );
}

#[test]
fn rope_turns_the_two_halves_of_each_head() {
    // Two heads of four channels; base 100 turns the second pair by a tenth of the position.
    let mut x = Array2::zeros((3, 8));
    for mut row in x.rows_mut() {
        row.assign(&array![1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }
    rope(&mut x, 4, 100.0);
    let (a, b) = (2.0_f64, 0.2_f64);
    let turned = [
        a.cos(),
        b.cos(),
        a.sin(),
        b.sin(),
        -a.sin(),
        -b.sin(),
        a.cos(),
        b.cos(),
    ];
    assert_eq!(x.row(0), array![1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    assert!(
        x.row(2)
            .iter()
            .zip(turned)
            .all(|(a, b)| (a - b).abs() <= 1e-15),
        "{x}"
    );
}

#[test]
fn attention_over_equal_keys_is_a_mean() {
    let (q, k) = (Array2::ones((4, 1)), Array2::zeros((4, 1)));
    let v = array![[1.0], [3.0], [8.0], [0.0]];
    let mut out = Array2::zeros((4, 1));
    attend(q.view(), k.view(), v.view(), usize::MAX, out.view_mut());
    assert!(near(&out, &array![[1.0], [2.0], [4.0], [3.0]]), "{out}");
    attend(q.view(), k.view(), v.view(), 2, out.view_mut());
    assert!(near(&out, &array![[1.0], [2.0], [5.5], [4.0]]), "{out}");
}
