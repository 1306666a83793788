//! The gradient of a whole model is the slope of its loss, in any direction.

use kernels::training::{IGNORED, Into, Machine, Precision};

use super::Program;
use corpus::Random;

use crate::{Batch, Configuration, Graph, Mixer, Mlp, Weights, weights::normal};

const BATCH: Batch = Batch {
    sequences: 2,
    positions: 37,
};

fn configurations() -> Vec<Configuration> {
    let small = Configuration {
        vocabulary: 50,
        layers: 2,
        width: 48,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        hidden: 80,
        window: 9,
        ..Configuration::default()
    };
    let windowed = Configuration {
        mixers: vec![Mixer::Window, Mixer::Full],
        mlp: Mlp::SquaredRelu,
        tied: true,
        soft_cap: Some(3.0),
        ..small.clone()
    };
    let hybrid = Configuration {
        mixers: vec![Mixer::GatedDelta, Mixer::Full],
        head_norms: true,
        output_gate: true,
        ..small.clone()
    };
    let residual = Configuration {
        layers: 3,
        value_residual: true,
        ..small.clone()
    };
    vec![small, windowed, hybrid, residual]
}

fn text(vocabulary: u64) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random::of(5, 0);
    let mut next = || {
        (0..BATCH.tokens())
            .map(|_| random.below(vocabulary) as u32)
            .collect::<Vec<_>>()
    };
    let (tokens, mut targets) = (next(), next());
    targets[7] = IGNORED;
    (tokens, targets)
}

fn mean(
    program: &mut Program,
    machine: &Machine,
    weights: &Weights,
    text: &(Vec<u32>, Vec<u32>),
) -> f64 {
    let losses = program.losses(machine, weights, &text.0, &text.1);
    losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / (BATCH.tokens() - 1) as f64
}

#[test]
fn gradients_are_slopes() {
    let mut machine = Machine::new(2).expect("threads");
    for configuration in configurations() {
        let graph = configuration.graph(BATCH).expect("a graph");
        let declared = graph.parameters().to_vec();
        let mut program = Program::new(graph, Precision::F32, &mut machine).expect("memory");
        let mut weights = Weights::initial(&declared, 1).expect("memory");
        // Beginnings are so small that a model hardly depends on its mixers.
        weights.all_mut().iter_mut().for_each(|w| *w *= 4.0);
        let text = text(configuration.vocabulary as u64);
        let mut gradients = Weights::zeroed(&declared).expect("memory");
        let both = (&text.0[..], &text.1[..]);
        let loss = program.gradients(&machine, &weights, both, 1.0, (&mut gradients, Into::Set));
        assert!((loss - mean(&mut program, &machine, &weights, &text)).abs() < 1e-9);
        for place in weights.places().to_vec() {
            let mut random = Random::of(9, place.start as u64);
            let direction: Vec<f32> = place.clone().map(|_| normal(&mut random)).collect();
            let slope: f64 = direction
                .iter()
                .zip(&gradients.all()[place.clone()])
                .map(|(&d, &g)| f64::from(d) * f64::from(g))
                .sum();
            // A thousandth of what the parameter is: less drowns in f32's rounding, more is no slope.
            let values = &weights.all()[place.clone()];
            let squares: f32 = values.iter().map(|w| w * w).sum();
            let step = 1e-3 * (squares / values.len() as f32).sqrt();
            let mut at = |factor: f32| {
                let before = weights.all()[place.clone()].to_vec();
                for (w, d) in weights.all_mut()[place.clone()].iter_mut().zip(&direction) {
                    *w += factor * step * d;
                }
                let loss = mean(&mut program, &machine, &weights, &text);
                weights.all_mut()[place.clone()].copy_from_slice(&before);
                loss
            };
            let mut across =
                |factor: f32| (at(factor) - at(-factor)) / f64::from(2.0 * factor * step);
            // Of two steps, so that what is bent by the step's square cancels (Richardson).
            let found = (4.0 * across(0.5) - across(1.0)) / 3.0;
            let error = (found - slope).abs();
            // Two losses of f32 are that uncertain.
            let noise = 5e-7 / f64::from(step);
            assert!(
                error <= 1e-2 * slope.abs() + noise,
                "{} of {configuration:?}: {slope}, measured {found}",
                declared[weights
                    .places()
                    .iter()
                    .position(|one| *one == place)
                    .unwrap_or(0)]
                .name
            );
        }
    }
}

#[test]
fn two_halves_of_a_batch_add_up() {
    let mut machine = Machine::new(1).expect("threads");
    let configuration = configurations().remove(0);
    let graph = configuration.graph(BATCH).expect("a graph");
    let declared = graph.parameters().to_vec();
    let mut program = Program::new(graph, Precision::F32, &mut machine).expect("memory");
    let weights = Weights::initial(&declared, 1).expect("memory");
    let (tokens, targets) = text(50);
    let mut gradients = Weights::zeroed(&declared).expect("memory");
    let both = (&tokens[..], &targets[..]);
    program.gradients(&machine, &weights, both, 1.0, (&mut gradients, Into::Set));
    let once = gradients.all().to_vec();
    for into in [Into::Set, Into::Add] {
        program.gradients(&machine, &weights, both, 0.5, (&mut gradients, into));
    }
    let largest = once.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    for (twice, once) in gradients.all().iter().zip(&once) {
        assert!(
            (twice - once).abs() <= 1e-6 * largest,
            "{twice}, not {once}"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let mut machine = Machine::new(1).expect("threads");
    let mut graph = Graph::new(BATCH).expect("a batch");
    let shape = [50, 16];
    let table = graph.parameter(
        "table",
        shape,
        crate::Initial::Constant(0.1),
        crate::Role::Embedding,
    );
    let table = table.expect("a parameter");
    let x = graph.embed(table);
    let other = graph.parameter(
        "other",
        [8, 24],
        crate::Initial::Constant(0.1),
        crate::Role::Matrix,
    );
    let other = other.expect("a parameter");
    let error = graph.linear(x, other).expect_err("24 columns for 16");
    assert_eq!(
        error.to_string(),
        "linear: columns of other must be 16, and is 24"
    );
    let error = graph.swiglu(x, x).expect_err("one operand twice");
    assert!(error.to_string().contains("operand 2"), "{error}");
    graph.loss(x, table, None).expect("a loss");
    let error = Program::new(graph, Precision::F32, &mut machine)
        .err()
        .expect("other is not used");
    assert!(error.to_string().contains("other"), "{error}");
}
