//! Levels, losses and causes from made-up readings: the arithmetic, without clocks.

use kernels::cpu::Outputs;
use silicon::spec::{Claim, Spec, Status};

use super::{Int8Unit, Readings, waterfall};
use crate::{
    LensError,
    numbers::{amount, significant},
    report::{Activity, Bound, Ceilings, Demand, Figure, Layer, Reading, Regime, Waterfall, Work},
    waterfall::{Chunk, PartPlan, Plan, UserReading},
};

const MIB: f64 = 1e6;

pub(crate) fn known(value: f64) -> Claim {
    Claim::Presented {
        value,
        status: Status::User,
        source: "a test".into(),
    }
}

pub(crate) fn unknown() -> Claim {
    Claim::Unknown {
        reason: "nobody says".into(),
        remedy: "ask".into(),
    }
}

pub(crate) fn spec(memory: Claim, f32: Claim) -> Spec {
    Spec {
        memory_gb_s: memory,
        f32_gflop_s: f32,
        int8_vector_gop_s: known(1000.0),
        int8_matrix_gop_s: unknown(),
        int16_vector_gop_s: known(500.0),
        bf16_matrix_gflop_s: unknown(),
    }
}

fn ceilings() -> Ceilings {
    let all = Figure::new(vec![10.0]).expect("a sample");
    Ceilings {
        stream_gb_s: 10.0,
        stream_bytes: 100,
        stream_readings_gb_s: all.clone(),
        cache_gb_s: 100.0,
        cache_bytes: 10,
        cache_readings_gb_s: all,
        int8_gop_s: 500.0,
        int8_instruction: "vpdpbusd".into(),
        int16_gop_s: Some(250.0),
        bf16_gflop_s: None,
        f32_gflop_s: 100.0,
        barrier_ns: 200.0,
        fork_join_ns: 500.0,
    }
}

fn demand(streamed: f64, activations: f64, int8: f64, f32: f64) -> Demand {
    Demand {
        streamed_bytes: streamed * MIB,
        activation_bytes: activations * MIB,
        work: Work {
            int8_ops: int8 * MIB,
            f32_flops: f32 * MIB,
            ..Work::default()
        },
    }
}

/// Two parts: a product that streams 20 MB, and a norm that only computes.
fn plan() -> Plan {
    let part = |name, nodes: Vec<usize>, demand| PartPlan {
        name,
        alone: nodes.clone(),
        warm: nodes.clone(),
        nodes,
        demand,
    };
    Plan {
        regime: Regime::Decode,
        sequences: 1,
        tokens: 1,
        depth: 7,
        chunks: vec![Chunk {
            depth: 7,
            tokens: 1,
            outputs: Outputs::Last,
        }],
        parts: vec![
            part("product", vec![1], demand(20.0, 0.0, 100.0, 0.0)),
            part("norm", vec![0], demand(0.0, 1.0, 0.0, 5.0)),
        ],
        part_of: vec![1, 0],
        demand: demand(20.0, 1.0, 100.0, 5.0),
        stream_bytes: 20_000_000,
        cache_bytes: 1_000_000,
    }
}

fn readings() -> Readings {
    let activity = |busy_ms, uneven_ms, barrier_ms| Activity {
        busy_ms,
        uneven_ms,
        barrier_ms,
    };
    Readings {
        step_ms: vec![vec![4.0]; 8],
        traced_ms: vec![vec![4.1]; 8],
        fork_join_ms: vec![0.1; 8],
        in_step: vec![vec![activity(3.0, 0.4, 0.1), activity(0.3, 0.05, 0.05)]; 8],
        warm: vec![vec![activity(2.0, 0.2, 0.1), activity(0.1, 0.0, 0.1)]; 3],
        alone: vec![vec![activity(2.5, 0.2, 0.1), activity(0.2, 0.0, 0.1)]; 8],
        user: Some(vec![
            UserReading {
                wall_ms: 5.0,
                model_ms: 4.5,
                tokenise_ms: 0.0,
                sample_ms: 0.3,
                text_ms: 0.1
            };
            8
        ]),
    }
}

pub(crate) fn fall(spec: &Spec) -> Waterfall {
    waterfall(&plan(), &readings(), ceilings(), spec, Int8Unit::Vector).expect("a waterfall")
}

fn value(fall: &Waterfall, layer: Layer) -> Option<f64> {
    fall.levels
        .iter()
        .find(|l| l.layer == layer)
        .and_then(|l| l.ms_per_token.value())
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn levels_are_the_longer_of_bytes_and_operations_and_then_what_was_timed() {
    let fall = fall(&spec(known(40.0), known(200.0)));
    let expected = [
        (Layer::Presented, 0.5),
        (Layer::Silicon, 2.0),
        (Layer::Kernels, 3.1),
        (Layer::Step, 4.0),
        (Layer::User, 5.0),
    ];
    for (layer, ms) in expected {
        assert!(
            value(&fall, layer).is_some_and(|v| close(v, ms)),
            "{layer:?}: {:?}",
            value(&fall, layer)
        );
    }
    assert_eq!(fall.levels[0].loss, None);
    assert_eq!(fall.levels[1].bound, Some(Bound::Bandwidth));
}

#[test]
fn causes_and_the_unexplained_rest_add_up_to_the_loss() {
    let fall = fall(&spec(known(40.0), known(200.0)));
    for level in &fall.levels[1..] {
        let loss = level.loss.as_ref().expect("a loss");
        let causes: f64 = loss.causes.iter().map(|c| c.ms).sum();
        assert!(close(causes + loss.unexplained_ms, loss.ms), "{loss:?}");
        assert!(loss.causes.is_sorted_by(|a, b| a.ms.abs() >= b.ms.abs()));
    }
    let step = fall.levels[3].loss.as_ref().expect("a loss");
    // 3.1 alone; in the step busy +0.6, uneven +0.25, barriers -0.05, 0.1 of fork-join, 0.1 that whole traced steps take longer
    // than their parts; and 0.1 that the tracer takes, which the step is without.
    assert!(
        close(step.ms, 0.9) && close(step.unexplained_ms, -0.1),
        "{step:?}"
    );
    let user = fall.levels[4].loss.as_ref().expect("a loss");
    assert!(close(user.unexplained_ms, 0.1), "{user:?}");
    assert!(close(user.factor, 1.25));
}

#[test]
fn what_is_not_presented_never_becomes_a_number() {
    let fall = fall(&spec(unknown(), known(200.0)));
    assert_eq!(value(&fall, Layer::Presented), None);
    assert_eq!(fall.levels[0].tokens_per_s, None);
    let Reading::Unknown { reason, remedy } = &fall.levels[0].ms_per_token else {
        panic!("unknown")
    };
    assert_eq!((reason.as_str(), remedy.as_str()), ("nobody says", "ask"));
    // The silicon is then the first level, and has nothing to be held against.
    assert_eq!(fall.levels[1].loss, None);
    assert_eq!(
        fall.levels[2].loss.as_ref().map(|l| l.from),
        Some(Layer::Silicon)
    );
    let json = serde_json::to_value(&fall).expect("JSON");
    assert_eq!(json["levels"][0]["ms_per_token"]["state"], "unknown");
}

#[test]
fn a_claim_that_does_not_bind_may_be_missing() {
    let fall = fall(&spec(known(40.0), unknown()));
    assert_eq!(value(&fall, Layer::Presented), Some(0.5));
    assert!(
        fall.levels[0]
            .how
            .contains("arithmetic's peak is not presented"),
        "{}",
        fall.levels[0].how
    );
}

#[test]
fn a_model_that_says_nothing_has_no_user_level() {
    let silent = Readings {
        user: Some(Vec::new()),
        ..readings()
    };
    let fall = waterfall(
        &plan(),
        &silent,
        ceilings(),
        &spec(unknown(), unknown()),
        Int8Unit::Vector,
    )
    .expect("a waterfall");
    assert_eq!(value(&fall, Layer::User), None);
    assert!(
        fall.verdict
            .starts_with("Decode in the whole step reaches 50%"),
        "{}",
        fall.verdict
    );
    assert!(
        fall.verdict.contains("sprag ratchet run stack"),
        "{}",
        fall.verdict
    );
}

#[test]
fn parts_know_what_holds_them_down() {
    let fall = fall(&spec(unknown(), unknown()));
    let [product, norm] = &fall.parts[..] else {
        panic!("two parts")
    };
    assert_eq!(
        (product.bound, norm.bound),
        (Bound::Bandwidth, Bound::Compute)
    );
    assert!(close(product.ceiling_ms, 2.0) && close(product.roofline_share, 2.0 / 2.8));
    assert!(close(product.gb_s, 20.0 / 2.8) && close(product.share + norm.share, 1.0));
    assert!(fall.verdict.contains("reaches 40%"), "{}", fall.verdict);
    // What the user waits for besides the step is not the profile's.
    assert!(!fall.verdict.contains("sprag ratchet"), "{}", fall.verdict);
    let mut slow = ceilings();
    slow.barrier_ns = 1e6;
    let fall = waterfall(
        &plan(),
        &readings(),
        slow,
        &spec(unknown(), unknown()),
        Int8Unit::Vector,
    )
    .expect("a waterfall");
    assert_eq!(fall.parts[1].bound, Bound::Overhead);
}

#[test]
fn readings_that_are_none_are_refused() {
    let mut broken = readings();
    broken.step_ms[3][0] = f64::NAN;
    let result = waterfall(
        &plan(),
        &broken,
        ceilings(),
        &spec(unknown(), unknown()),
        Int8Unit::Vector,
    );
    assert!(matches!(result, Err(LensError::Samples { .. })));
    let none = Readings::default();
    assert!(
        waterfall(
            &plan(),
            &none,
            ceilings(),
            &spec(unknown(), unknown()),
            Int8Unit::Vector
        )
        .is_err()
    );
}

#[test]
fn typical_is_about_the_lower_quartile() {
    let typical = |samples: Vec<f64>| Figure::new(samples).expect("samples").typical;
    assert_eq!(typical(vec![3.0]), 3.0);
    assert_eq!(typical(vec![9.0, 3.0]), 3.0);
    assert_eq!(typical(vec![9.0, 3.0, 5.0, 100.0]), 4.0);
    assert_eq!(typical((0..8).map(f64::from).collect()), 2.0);
}

#[test]
fn numbers_have_three_digits() {
    let all = [
        (0.0, "0.00"),
        (0.000_123_4, "0.00012"),
        (0.0519, "0.0519"),
        (3.145_9, "3.15"),
        (86.44, "86.4"),
        (19290.2, "19290"),
        (-0.5, "-0.500"),
    ];
    for (x, text) in all {
        assert_eq!(significant(x), text);
    }
    assert_eq!(amount(59_700_000.0, "B"), "59.7 MB");
    assert_eq!(amount(7.06e12, "OP/s"), "7.06 TOP/s");
    assert_eq!(amount(12.0, "B"), "12.0 B");
}
