//! Losses and gradients against f64: vocabularies that are no whole vectors, several blocks of logits, a cap, ignored targets.

use ops::cross_entropy::{Shape, backward, reference};

use super::{BOTH, assert_near, before, everywhere, normal};
use crate::training::{
    Gradients, IGNORED, Into, Precision, Prediction, cross_entropy, cross_entropy_logits,
};

/// (tokens, width, vocabulary, cap)
const SHAPES: [(usize, usize, usize, Option<f32>); 5] = [
    (1, 1, 1, None),
    (3, 37, 19, None),
    (70, 33, 131, Some(2.0)),
    (37, 16, 17_001, None),
    (1100, 17, 256, Some(15.0)),
];
const TOLERANCE: f64 = 5e-6;

#[test]
fn losses_and_gradients_are_near_f64() {
    for (tokens, width, vocabulary, soft_cap) in SHAPES {
        let hidden = normal(1, tokens * width);
        let weights: Vec<f32> = normal(2, vocabulary * width)
            .iter()
            .map(|w| 0.5 * w)
            .collect();
        let target = |i: usize| {
            if i % 5 == 3 {
                None
            } else {
                Some((i * i * 31 % vocabulary) as u32)
            }
        };
        let wanted: Vec<Option<u32>> = (0..tokens).map(target).collect();
        let targets: Vec<u32> = wanted
            .iter()
            .map(|target| target.unwrap_or(IGNORED))
            .collect();
        let prediction = Prediction {
            hidden: &hidden,
            weights: &weights,
            targets: &targets,
            soft_cap,
            precision: Precision::F32,
        };
        let shape = Shape {
            tokens,
            width,
            vocabulary,
            softcap: soft_cap,
        };
        let loss = reference(&shape, &hidden, &weights, &wanted);
        let loss: Vec<f64> = loss
            .per_token
            .iter()
            .map(|loss| loss.unwrap_or(0.0))
            .collect();
        let want = backward::reference(&shape, &hidden, &weights, &wanted);
        for into in BOTH {
            let [losses, alone, d_hidden, d_weights] = everywhere(
                |_| 0,
                |machine| {
                    let mut logits = vec![f32::NAN; cross_entropy_logits(vocabulary, tokens)];
                    let (mut losses, mut alone) = (vec![f32::NAN; tokens], vec![f32::NAN; tokens]);
                    let (mut d_hidden, mut d_weights) =
                        (before(into, hidden.len()), before(into, weights.len()));
                    let gradients = Gradients {
                        hidden: (&mut d_hidden, into),
                        weights: (&mut d_weights, into),
                    };
                    cross_entropy(
                        machine,
                        &prediction,
                        2.0,
                        &mut logits,
                        &mut losses,
                        Some(gradients),
                    );
                    cross_entropy(machine, &prediction, 2.0, &mut logits, &mut alone, None);
                    [losses, alone, d_hidden, d_weights]
                },
            );
            assert_eq!(losses, alone);
            if vocabulary > 1 {
                let twice = |gradient: &[f64]| gradient.iter().map(|g| 2.0 * g).collect::<Vec<_>>();
                assert_near("losses", Into::Set, &losses, &loss, TOLERANCE);
                assert_near("dhidden", into, &d_hidden, &twice(&want.hidden), TOLERANCE);
                assert_near(
                    "dweights",
                    into,
                    &d_weights,
                    &twice(&want.weights),
                    TOLERANCE,
                );
            }
        }
    }
}

#[test]
fn nothing_that_counts_leaves_no_gradient() {
    let machine = crate::training::Machine::new(1).expect("threads");
    let (hidden, weights) = (normal(1, 3 * 5), normal(2, 7 * 5));
    let prediction = Prediction {
        hidden: &hidden,
        weights: &weights,
        targets: &[IGNORED; 3],
        soft_cap: None,
        precision: Precision::F32,
    };
    let (mut logits, mut losses) = ([0.0; 21], [f32::NAN; 3]);
    let (mut d_hidden, mut d_weights) = ([f32::NAN; 15], [f32::NAN; 35]);
    let gradients = Gradients {
        hidden: (&mut d_hidden, Into::Set),
        weights: (&mut d_weights, Into::Set),
    };
    cross_entropy(
        &machine,
        &prediction,
        1.0,
        &mut logits,
        &mut losses,
        Some(gradients),
    );
    assert_eq!(losses, [0.0; 3]);
    assert_eq!((d_hidden, d_weights), ([0.0; 15], [0.0; 35]));
}

/// A program must not foretell everything by logits beside which a logarithm is lost.
#[test]
fn the_logarithm_is_not_lost_beside_large_logits() {
    // Two logits are the largest, so that the target's probability is a half.
    let (hidden, targets) = ([1.0e20], [1]);
    let weights = [0.0, 1.0, 1.0, -1.0];
    let prediction = Prediction {
        hidden: &hidden,
        weights: &weights,
        targets: &targets,
        soft_cap: None,
        precision: Precision::F32,
    };
    let shape = Shape {
        tokens: 1,
        width: 1,
        vocabulary: 4,
        softcap: None,
    };
    let want = std::f64::consts::LN_2;
    let loss = reference(&shape, &hidden, &weights, &[Some(1)]);
    assert_near_value(loss.mean.unwrap_or(0.0), want);
    let gradients = backward::reference(&shape, &hidden, &weights, &[Some(1)]);
    let [losses, d_weights] = everywhere(
        |_| 0,
        |machine| {
            let (mut logits, mut losses) = ([f32::NAN; 4], vec![f32::NAN]);
            let (mut d_hidden, mut d_weights) = ([f32::NAN; 1], vec![f32::NAN; 4]);
            let gradients = Gradients {
                hidden: (&mut d_hidden, Into::Set),
                weights: (&mut d_weights, Into::Set),
            };
            let gradients = Some(gradients);
            cross_entropy(
                machine,
                &prediction,
                1.0,
                &mut logits,
                &mut losses,
                gradients,
            );
            [losses, d_weights]
        },
    );
    assert_near_value(losses[0].into(), want);
    let into = Into::Set;
    assert_near("dweights", into, &d_weights, &gradients.weights, TOLERANCE);
}

fn assert_near_value(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-6, "{got} is not {want}");
}
