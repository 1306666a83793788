//! Losses by hand: even and certain predictions, ignored tokens, and a cap.

use super::*;

const PAIR: Shape = Shape {
    tokens: 2,
    width: 2,
    vocabulary: 2,
    softcap: None,
};
/// Makes the hidden state the logits.
const IDENTITY: [f32; 4] = [1.0, 0.0, 0.0, 1.0];

#[test]
fn losses_by_hand() {
    // An even prediction costs ln 2; one of 3 : 1 costs ln 4/3 where it is right.
    let hidden = [5.0, 5.0, 3f32.ln(), 0.0];
    let loss = reference(&PAIR, &hidden, &IDENTITY, &[Some(1), Some(0)]);
    let want = [2f64.ln(), (4.0f64 / 3.0).ln()];
    for (got, want) in loss.per_token.iter().zip(want) {
        assert!((got.unwrap() - want).abs() <= 1e-7, "{loss:?}");
    }
    assert!((loss.mean.unwrap() - (want[0] + want[1]) / 2.0).abs() <= 1e-7);
}

#[test]
fn a_token_without_a_target_counts_in_neither_sum_nor_mean() {
    let hidden = [5.0, 5.0, 100.0, 0.0];
    let loss = reference(&PAIR, &hidden, &IDENTITY, &[Some(0), None]);
    assert_eq!(loss.per_token, [Some(loss.mean.unwrap()), None]);
    assert!((loss.mean.unwrap() - 2f64.ln()).abs() <= 1e-15);
    let loss = reference(&PAIR, &hidden, &IDENTITY, &[None, None]);
    assert_eq!((loss.mean, loss.per_token), (None, vec![None, None]));
}

#[test]
fn a_cap_bounds_how_wrong_a_prediction_can_be() {
    let shape = Shape {
        softcap: Some(3.0),
        ..PAIR
    };
    // Both logits at the cap's ends: 6 apart.
    let hidden = [1e6, -1e6, -1e6, 1e6];
    let loss = reference(&shape, &hidden, &IDENTITY, &[Some(1), Some(1)]);
    let want = [(1.0 + 6f64.exp()).ln(), (1.0 + (-6f64).exp()).ln()];
    for (got, want) in loss.per_token.iter().zip(want) {
        assert!((got.unwrap() - want).abs() <= 1e-12, "{loss:?}");
    }
}

#[test]
fn huge_logits_do_not_overflow() {
    let loss = reference(
        &PAIR,
        &[1e30, 0.0, 1e30, 1e30],
        &IDENTITY,
        &[Some(0), Some(1)],
    );
    assert_eq!(loss.per_token[0], Some(0.0));
    assert!(loss.per_token[1].unwrap().is_finite());
}

#[test]
#[should_panic(expected = "target 2 is beyond a vocabulary of 2")]
fn a_target_beyond_the_vocabulary_is_a_mistake() {
    let _never = reference(&PAIR, &[0.0; 4], &IDENTITY, &[Some(2), None]);
}

#[test]
fn costs_by_hand() {
    let shape = Shape {
        tokens: 3,
        width: 5,
        vocabulary: 7,
        softcap: None,
    };
    let want = Cost {
        read_bytes: 4 * (15 + 35 + 3),
        written_bytes: 12,
        f32_flops: 2 * 105 + 4 * 21,
        ..Cost::default()
    };
    assert_eq!(cost(&shape), want);
    let capped = Shape {
        softcap: Some(1.0),
        ..shape
    };
    assert_eq!(cost(&capped).f32_flops, 2 * 105 + 7 * 21);
    let want = Cost {
        read_bytes: 4 * (15 + 35 + 3),
        written_bytes: 4 * (15 + 35),
        f32_flops: 6 * 105 + 6 * 21,
        ..Cost::default()
    };
    assert_eq!(backward::cost(&shape), want);
    assert_eq!(backward::cost(&capped).f32_flops, 6 * 105 + 12 * 21);
}
