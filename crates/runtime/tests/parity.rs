//! Logits against `transformers`, for a tiny random model of every architecture, however the text is cut into steps.

use std::{path::PathBuf, sync::Arc};

use formats::gguf::Gguf;
use kernels::{KvType, RuntimeProfile, cpu::Outputs};
use runtime::Engine;

/// Of the norm of the difference over the norm, per text.
const TOLERANCE: f64 = 1e-4;
const ARCHITECTURES: [&str; 19] = [
    "llama",
    "llama-llama3",
    "qwen2",
    "qwen3",
    "qwen3-yarn",
    "qwen3moe",
    "gemma3",
    "qwen35",
    "qwen35-yarn",
    "qwen35moe",
    "qwen3next",
    "qwen3next-moe",
    "granite",
    "granite-attentive",
    "granitehybrid",
    "granitehybrid-moe",
    "rwkv7",
    "kimi-linear",
    "recurrentgemma",
];

struct Fixture {
    engine: Engine,
    tokens: Vec<u32>,
    positions: Vec<usize>,
    logits: Vec<f64>,
}

fn fixture(name: &str, profile: RuntimeProfile) -> Fixture {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    let json = std::fs::read_to_string(folder.join(format!("{name}.json")))
        .expect("the fixture's description");
    let json: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    let numbers = |key: &str| -> Vec<u64> {
        json[key]
            .as_array()
            .expect("an array")
            .iter()
            .map(|n| n.as_u64().expect("a number"))
            .collect()
    };
    let bytes = std::fs::read(folder.join(format!("{name}.logits"))).expect("the fixture's logits");
    let logits = bytes
        .as_chunks()
        .0
        .iter()
        .map(|&b| f64::from(f32::from_le_bytes(b)))
        .collect();
    let gguf = Gguf::open(&folder.join(format!("{name}.gguf"))).expect("the fixture's model");
    Fixture {
        engine: Engine::from_gguf(Arc::new(gguf), profile, &mut |_, _| {}).expect("a model we run"),
        tokens: numbers("tokens").iter().map(|&t| t as u32).collect(),
        positions: numbers("positions").iter().map(|&p| p as usize).collect(),
        logits,
    }
}

/// Logits of all positions, computed in steps of `chunk` tokens.
fn logits(fixture: &Fixture, chunk: usize) -> Vec<Vec<f32>> {
    let mut session = fixture
        .engine
        .session_with_outputs(256, 256)
        .expect("memory");
    let mut out = Vec::new();
    for tokens in fixture.tokens.chunks(chunk) {
        session
            .step(tokens, Outputs::All, None)
            .expect("a step that fits");
        out.extend((0..tokens.len()).map(|i| session.logits(i).expect("logits").to_vec()));
    }
    out
}

fn exact() -> RuntimeProfile {
    RuntimeProfile {
        kv_type: KvType::F32,
        threads: 2,
        ..RuntimeProfile::default()
    }
}

#[test]
fn logits_equal_transformers_for_every_architecture_and_chunking() {
    for name in ARCHITECTURES {
        let fixture = fixture(name, exact());
        for chunk in [fixture.tokens.len(), 1, 7, 64] {
            let got = logits(&fixture, chunk);
            let got: Vec<f32> = fixture
                .positions
                .iter()
                .flat_map(|&p| got[p].iter().copied())
                .collect();
            let error = ops::relative_error(&got, &fixture.logits);
            println!("{name}, chunks of {chunk}: {error:.2e}");
            assert!(
                error <= TOLERANCE,
                "{name} in chunks of {chunk}: relative error {error:e}"
            );
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads_chunks_or_instruction_sets() {
    for name in ARCHITECTURES {
        let base = fixture(
            name,
            RuntimeProfile {
                threads: 1,
                ..RuntimeProfile::default()
            },
        );
        let want = logits(&base, base.tokens.len());
        for isa in kernels::Isa::available() {
            // Three threads share two cores badly: once is enough for an uneven split.
            for (threads, chunks) in [(1, &[7, 64][..]), (2, &[1, 128][..]), (3, &[150][..])] {
                let other = fixture(
                    name,
                    RuntimeProfile {
                        threads,
                        isa,
                        ..RuntimeProfile::default()
                    },
                );
                for &chunk in chunks {
                    let got = logits(&other, chunk);
                    let same = got
                        .iter()
                        .flatten()
                        .zip(want.iter().flatten())
                        .all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(
                        same,
                        "{name}: {} with {threads} threads in chunks of {chunk} differs",
                        isa.name()
                    );
                }
            }
        }
    }
}

/// Bytes for keys and values cost what rounding to 127 steps costs; whole numbers of 16 bits less than binary16. Not for mixtures: random experts differ so much that one token
/// that goes to another one is an error of its own size; RWKV has no cache.
#[test]
fn a_rounded_cache_stays_near_the_exact_one() {
    let has_one = |name: &&&str| !name.contains("moe") && !["rwkv7", "kimi-linear"].contains(*name);
    for name in ARCHITECTURES.iter().filter(has_one) {
        let kept_as = |kv_type| {
            let profile = RuntimeProfile { kv_type, ..exact() };
            logits(&fixture(name, profile), 64).concat()
        };
        let want: Vec<f64> = kept_as(KvType::F32).into_iter().map(f64::from).collect();
        let error = |kv_type| ops::relative_error(&kept_as(kv_type), &want);
        let (bytes, half, whole) = (error(KvType::Q8_0), error(KvType::F16), error(KvType::I16));
        println!("{name}: q8_0 {bytes:.2e}, f16 {half:.2e}, i16 {whole:.2e}");
        assert!((1e-5..3e-2).contains(&bytes), "{name}: {bytes:e}");
        assert!(whole > 0.0 && whole <= half, "{name}: {whole:e}");
    }
}
