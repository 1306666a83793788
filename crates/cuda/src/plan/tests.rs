//! Plans of real shapes, and refusals, without a GPU.

use std::sync::Arc;

use models::{Model, random};

use super::{Format, Operation, Output, PANEL, Plan};
use crate::{CudaError, device::Properties, many::Kernels};

/// As the driver tells of it.
fn h200() -> Properties {
    Properties {
        name: "NVIDIA H200".to_owned(),
        capability: (9, 0),
        multiprocessors: 132,
        shared_bytes: 232_448,
        memory_bytes: 150_000_000_000,
        driver: 13000,
    }
}

#[test]
fn all_shapes_are_computed_many_tokens_at_a_time_on_hopper_alone() {
    for shape in [
        "qwen3.5-0.8b",
        "qwen3.5-2b",
        "qwen3.5-4b",
        "qwen3.5-9b",
        "qwen3.5-27b",
    ] {
        for format in ["q4_0", "bf16"] {
            let plan = plan(shape, format, &h200()).expect("a plan");
            assert!(Kernels::are_for(&plan, &h200()), "{shape} {format}");
            let blackwell = Properties {
                capability: (10, 0),
                ..h200()
            };
            assert!(!Kernels::are_for(&plan, &blackwell));
            let small = Properties {
                shared_bytes: 101_376,
                ..h200()
            };
            assert!(!Kernels::are_for(&plan, &small));
        }
    }
}

fn plan(shape: &str, format: &str, gpu: &Properties) -> Result<Plan, CudaError> {
    let gguf = Arc::new(random(shape, format).expect("a known shape"));
    let model = Model::describe(gguf).expect("a model we run");
    Plan::of(&model.program, gpu)
}

#[test]
fn all_shapes_have_a_plan_whose_weights_are_those_of_the_file() {
    for (shape, layers) in [
        ("qwen3.5-0.8b", 24),
        ("qwen3.5-2b", 24),
        ("qwen3.5-4b", 32),
        ("qwen3.5-9b", 32),
        ("qwen3.5-27b", 64),
    ] {
        for format in ["q4_0", "bf16"] {
            let plan = plan(shape, format, &h200()).expect("a plan");
            // Each layer: in, mixer, back, gate and up, down; then embedding and logits.
            assert_eq!(plan.steps.len(), 5 * layers + 2, "{shape} {format}");
            let attentions = plan
                .steps
                .iter()
                .filter(|s| matches!(s.operation, Operation::Attend(_)));
            assert_eq!(attentions.count(), layers / 4);
            assert!(plan.places.iter().all(Option::is_some));
        }
    }
    let nine = plan("qwen3.5-9b", "q4_0", &h200()).expect("a plan");
    // 9.0 G weights at 4.5 bits, less the table of embeddings; the log of the GPU has 4.46 GB.
    assert!(
        (4.40e9..4.52e9).contains(&(nine.weight_bytes() as f64)),
        "{}",
        nine.weight_bytes()
    );
    // f16 keys and values: 32 KiB a token; 24 states of 2 MiB and what their convolutions remember.
    assert_eq!(
        nine.sequence_bytes(1024),
        32 * 1024 * 1024 + 24 * ((2 << 20) + 131_072)
    );
}

#[test]
fn no_two_rows_of_matrices_share_a_place() {
    for format in ["q4_0", "bf16"] {
        let gguf = Arc::new(random("qwen3.5-0.8b", format).expect("a known shape"));
        let model = Model::describe(gguf).expect("a model we run");
        let plan = Plan::of(&model.program, &h200()).expect("a plan");
        for step in &plan.steps {
            let Operation::Product(product) = &step.operation else {
                continue;
            };
            let mut taken = vec![false; product.panels * PANEL];
            for (matrix, place) in model.program.matrices().iter().zip(&plan.places) {
                let place = place.expect("all have one");
                if place.offset != product.offset {
                    continue;
                }
                for row in 0..matrix.rows() {
                    let at = place.first + place.stride * row;
                    assert!(
                        !std::mem::replace(&mut taken[at], true),
                        "row {row} at {at}"
                    );
                }
            }
            assert!(
                taken.iter().all(|&t| t),
                "rows of these shapes fill their panels"
            );
        }
    }
}

#[test]
fn a_gate_and_what_it_multiplies_take_turns() {
    let plan = plan("qwen3.5-0.8b", "bf16", &h200()).expect("a plan");
    let pair = plan.steps.iter().find_map(|step| match &step.operation {
        Operation::Product(p) if matches!(p.output, Output::Glu(_)) => Some(p),
        _ => None,
    });
    let pair = pair.expect("every layer has one");
    assert_eq!((pair.panels, pair.format), (2 * 3584 / PANEL, Format::Bf16));
    let of_pair: Vec<_> = plan
        .places
        .iter()
        .flatten()
        .filter(|p| p.offset == pair.offset)
        .map(|p| (p.first, p.stride))
        .collect();
    assert_eq!(of_pair, [(0, 2), (1, 2)]);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let small = Properties {
        shared_bytes: 101_376,
        name: "small".to_owned(),
        ..h200()
    };
    let told = plan("qwen3.5-27b", "bf16", &small).expect_err("too little shared memory");
    assert!(
        told.to_string().contains("of the small has 101376"),
        "{told}"
    );

    let fixture = |name: &str| {
        let path = format!(
            "{}/../../fixtures/models/{name}.gguf",
            env!("CARGO_MANIFEST_DIR")
        );
        let gguf = formats::gguf::Gguf::open(path.as_ref()).expect("a fixture");
        Model::describe(Arc::new(gguf)).expect("a model we run")
    };
    for name in [
        "llama",
        "qwen35",
        "qwen35moe",
        "gemma3",
        "granitehybrid",
        "rwkv7",
        "kimi-linear",
    ] {
        let refused = Plan::of(&fixture(name).program, &h200()).expect_err("no kernels for it");
        assert!(
            matches!(refused, CudaError::Unsupported { .. }),
            "{name}: {refused}"
        );
    }
}
