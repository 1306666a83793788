//! Checkpoints of the tiny models, against the GGUF files that a Python script made from the same weights: the same tensors,
//! bit for bit, and metadata that mean the same.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use formats::gguf::{Gguf, Quantisation, Text, Value};
use kernels::RuntimeProfile;
use models::checkpoint::{Opened, open};
use models::{Model, Placement};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn checkpoints() -> Vec<String> {
    let folders = std::fs::read_dir(fixtures().join("checkpoints")).expect("the folder is there");
    let mut names: Vec<String> = folders
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("plain")
        })
        .collect();
    names.sort();
    assert!(names.len() >= 4, "{names:?}");
    names
}

fn opened(name: &str, quantisation: Option<&str>) -> Opened {
    let quantisation = quantisation.map(|name| Quantisation::named(name).expect("a known format"));
    open(&fixtures().join("checkpoints").join(name), quantisation, 2).expect("a good checkpoint")
}

fn reference(name: &str) -> Gguf {
    Gguf::open(&fixtures().join(format!("models/{name}.gguf"))).expect("the fixture's model")
}

#[test]
fn tensors_equal_the_python_converters_bit_for_bit() {
    for name in checkpoints() {
        let (ours, theirs) = (opened(&name, None).gguf, reference(&name));
        let names = |gguf: &Gguf| -> HashSet<String> {
            gguf.tensors().iter().map(|t| t.name().to_owned()).collect()
        };
        assert_eq!(names(&ours), names(&theirs), "{name}");
        for tensor in ours.tensors() {
            let other = theirs.tensor(tensor.name()).expect("the names are equal");
            assert_eq!(tensor.shape(), other.shape(), "{name} {}", tensor.name());
            assert_eq!(tensor.tensor_type(), other.tensor_type());
            let bytes = ours.weights(tensor).expect("made");
            if tensor.name().ends_with("ssm_a") {
                // Exponentials of logarithms, taken on different machines: torch's last bits depend on the processor.
                let floats = |bytes: &[u8]| -> Vec<i64> {
                    let (chunks, _) = bytes.as_chunks();
                    chunks
                        .iter()
                        .map(|&b| i64::from(i32::from_le_bytes(b)))
                        .collect()
                };
                let pairs = floats(&bytes).into_iter().zip(floats(theirs.bytes(other)));
                for (a, b) in pairs {
                    assert!((a - b).abs() <= 4, "{name} {}: {a} {b}", tensor.name());
                }
            } else {
                assert!(*bytes == *theirs.bytes(other), "{name}: {}", tensor.name());
            }
        }
    }
}

#[test]
fn metadata_mean_the_same() {
    // What a run does not depend on, or what is the default.
    const FREE: [&str; 4] = [
        "general.name",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.add_eos_token",
    ];
    for name in checkpoints() {
        let (ours, theirs) = (opened(&name, None).gguf, reference(&name));
        for (key, value) in theirs
            .metadata()
            .iter()
            .filter(|(key, _)| !FREE.contains(key))
        {
            let found = ours.metadata().get(key);
            let same = match (found, value) {
                // Two names of the same pre-tokenizer.
                (Some(Value::Str(found)), Value::Str(value)) if key.ends_with(".pre") => {
                    let name = |text: &Text| match text.bytes() {
                        b"smaug-bpe" => b"dbrx".to_vec(),
                        other => other.to_vec(),
                    };
                    name(found) == name(value)
                }
                (Some(found), Value::Array(_)) if key.ends_with("rope.dimension_sections") => {
                    found.as_array().and_then(|a| a.as_i32s())
                        == value.as_array().and_then(|a| a.as_i32s())
                }
                (found, value) => found == Some(value),
            };
            assert!(same, "{name}: {key} is {found:?}, expected {value:?}");
        }
        // The reference spells its unused tokens out; here they are what lies behind the vocabulary.
        let tokens = |gguf: &Gguf| {
            gguf.metadata()
                .strs("tokenizer.ggml.tokens")
                .expect("there")
                .clone()
        };
        let (ours, theirs) = (tokens(&ours), tokens(&theirs));
        assert_eq!(ours.len(), theirs.len());
        assert!(
            (0..268).all(|id| ours.bytes(id) == theirs.bytes(id)),
            "{name}"
        );
        assert_eq!(ours.str(268), Some(Ok("[PAD268]")));
    }
}

#[test]
fn a_checkpoint_gives_the_program_of_its_gguf_file() {
    for name in checkpoints() {
        let ours = Model::describe(Arc::new(opened(&name, None).gguf));
        let theirs = Model::describe(Arc::new(reference(&name)));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let nodes = |model: &Model| format!("{:?}", model.program.nodes());
                assert_eq!(nodes(&ours), nodes(&theirs), "{name}");
            }
            // Whatever this engine does not run yet, it does not run in either form.
            (Err(ours), Err(theirs)) => {
                let reason = |text: String| text.split_once(": ").map(|(_, why)| why.to_owned());
                assert_eq!(reason(ours.to_string()), reason(theirs.to_string()));
            }
            (ours, theirs) => panic!("{name}: {:?} and {:?}", ours.err(), theirs.err()),
        }
    }
}

#[test]
fn every_quantisation_gives_whole_tensors_that_load() {
    for quantisation in Quantisation::names() {
        for name in [
            "llama",
            "llama-llama3",
            "qwen35",
            "granitehybrid-moe",
            "kimi-linear",
            "recurrentgemma",
        ] {
            let Opened { gguf, fallbacks } = opened(name, Some(quantisation));
            for tensor in gguf.tensors() {
                gguf.check_finite(tensor).expect("finite");
            }
            // Rows of 64 and 80 weights are no whole blocks of 256; 80 is no multiple of 32 either.
            let blocked = !matches!(quantisation, "f32" | "f16" | "bf16");
            assert_eq!(!fallbacks.is_empty(), blocked, "{name} {quantisation}");
            let norm = gguf.tensor("output_norm.weight").expect("there");
            assert_eq!(norm.tensor_type().name(), "F32");
            Model::from_gguf(
                Arc::new(gguf),
                &RuntimeProfile::default(),
                &Placement::Memory,
                &mut |_| {},
            )
            .expect("a model we run");
        }
    }
}
