//! Checkpoints in safetensors: converted, run as they are, and refused in words that help.

use std::path::{Path, PathBuf};

use formats::gguf::Gguf;

use crate::sprag::{Sandbox, fixture};

fn checkpoint(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/checkpoints");
    folder.join(name).display().to_string()
}

/// A copy that a test may damage.
fn copied(sandbox: &Sandbox, name: &str) -> PathBuf {
    for entry in std::fs::read_dir(checkpoint(name)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        sandbox.file(&format!("model/{file}"), &std::fs::read(&path).unwrap());
    }
    sandbox.folder.path().join("model")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_converted_file_holds_the_fixtures_tensors() {
    let sandbox = Sandbox::new();
    for name in ["llama", "gemma3"] {
        let done = sandbox.run(&["convert", &checkpoint(name), "-o", "out.gguf", "--json"]);
        assert_eq!(done.code, Some(0), "{}", done.err);
        let report = json(&done.out);
        assert_eq!(report["schema"], "sprag.convert/1");
        assert_eq!(
            (&report["quantisation"], &report["unsupported"]),
            (&"F32".into(), &().into())
        );
        let ours = Gguf::open(&sandbox.folder.path().join("out.gguf")).unwrap();
        let theirs = Gguf::open(Path::new(&fixture(name))).unwrap();
        assert_eq!(report["bytes"].as_u64(), Some(ours.file_len() as u64));
        assert_eq!(ours.tensors().len(), theirs.tensors().len());
        for tensor in theirs.tensors() {
            let own = ours.tensor(tensor.name()).unwrap();
            assert!(
                ours.bytes(own) == theirs.bytes(tensor),
                "{name}: {}",
                tensor.name()
            );
        }
    }
}

#[test]
fn what_llama_cpp_would_not_read_is_told() {
    let sandbox = Sandbox::new();
    let folder = copied(&sandbox, "qwen3-yarn");
    let convert = || sandbox.run(&["convert", folder.to_str().unwrap(), "-o", "out.gguf"]);
    let done = convert();
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(!done.err.contains("YaRN"), "{}", done.err);
    let config = folder.join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let changed = text.replace(r#""factor": 4.0,"#, r#""factor": 4.0, "beta_fast": 16.0,"#);
    assert_ne!(changed, text);
    std::fs::write(&config, changed).unwrap();
    let done = convert();
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(
        done.err.contains("llama.cpp does not: its results"),
        "{}",
        done.err
    );
    let folder = checkpoint("recurrentgemma");
    let done = sandbox.run(&["convert", &folder, "-o", "griffin.gguf"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("for Sprag alone"), "{}", done.err);
}

#[test]
fn a_checkpoint_answers_as_its_gguf_file_does() {
    let sandbox = Sandbox::new();
    for name in ["llama", "gemma3", "qwen35"] {
        let answer = |model: &str, more: &[&str]| {
            let fixed = [
                "run", model, "-p", "tell me", "--raw", "--greedy", "-n", "8", "--json",
            ];
            let done = sandbox.run(&[&fixed[..], more].concat());
            assert_eq!(done.code, Some(0), "{}", done.err);
            json(&done.out)["tokens"].clone()
        };
        assert_eq!(
            answer(&checkpoint(name), &[]),
            answer(&fixture(name), &[]),
            "{name}"
        );
        let done = sandbox.run(&[
            "convert",
            &checkpoint(name),
            "--quantize",
            "q5_0",
            "-o",
            "q.gguf",
        ]);
        assert_eq!(done.code, Some(0), "{}", done.err);
        let quantised = answer(&checkpoint(name), &["--quantize", "q5_0"]);
        assert_eq!(quantised, answer("./q.gguf", &[]), "{name}");
    }
}

#[test]
fn the_usual_name_never_replaces_a_file() {
    let sandbox = Sandbox::new();
    let convert = || sandbox.run(&["convert", &checkpoint("llama"), "--quantize", "Q8_0"]);
    let done = convert();
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("llama-q8_0.gguf"), "{}", done.out);
    assert!(done.err.contains("instead of Q8_0"), "{}", done.err);
    let done = convert();
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("is there already"), "{}", done.err);
}

#[test]
fn a_mixture_of_experts_is_converted_with_its_keys() {
    let sandbox = Sandbox::new();
    let done = sandbox.run(&[
        "convert",
        &checkpoint("qwen3next-moe"),
        "-o",
        "out.gguf",
        "--json",
    ]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let gguf = Gguf::open(&sandbox.folder.path().join("out.gguf")).unwrap();
    assert_eq!(gguf.metadata().u32("qwen3next.expert_count").unwrap(), 4);
    assert_eq!(
        gguf.tensor("blk.0.ffn_gate_exps.weight").unwrap().shape(),
        [64, 32, 4]
    );
}

#[test]
fn bad_checkpoints_are_refused_with_the_next_step() {
    let refuses = |sandbox: &Sandbox, arguments: &[&str], code: i32, told: &[&str]| {
        let done = sandbox.run(arguments);
        assert_eq!(done.code, Some(code), "{}", done.err);
        assert!(!done.err.contains("internal"), "{}", done.err);
        for text in told {
            assert!(
                done.err.contains(text),
                "expected {text:?} in:\n{}",
                done.err
            );
        }
    };
    let sandbox = Sandbox::new();
    refuses(
        &sandbox,
        &["convert", "nowhere"],
        3,
        &["there is no file nowhere"],
    );
    refuses(
        &sandbox,
        &["convert", &fixture("llama")],
        2,
        &["is no checkpoint"],
    );
    refuses(
        &sandbox,
        &["convert", "x", "--quantize", "q9"],
        2,
        &["expected one of f32, f16"],
    );
    let quantised = ["run", &fixture("llama"), "-p", "a", "--quantize", "q8_0"];
    refuses(
        &sandbox,
        &quantised,
        2,
        &["is a GGUF file", "hint: sprag run"],
    );

    let damage: [(&str, &[u8], i32, &str); 6] = [
        ("config.json", b"{", 4, "config.json: not the JSON"),
        (
            "config.json",
            b"{\"model_type\":\"mamba\"}",
            4,
            "`model_type` is \"mamba\"",
        ),
        ("tokenizer.json", b"{}", 4, "missing field `model`"),
        (
            "tokenizer_config.json",
            b"{\"bos_token\":7}",
            4,
            "\"bos_token\" is 7",
        ),
        (
            "model.safetensors.index.json",
            b"{}",
            4,
            "\"weight_map\" is missing",
        ),
        ("model-00002-of-00002.safetensors", b"", 4, "is empty"),
    ];
    for (file, bytes, code, told) in damage {
        let sandbox = Sandbox::new();
        copied(&sandbox, "llama");
        sandbox.file(&format!("model/{file}"), bytes);
        for command in ["convert", "inspect", "bench"] {
            refuses(&sandbox, &[command, "./model"], code, &[told]);
        }
    }
    for (file, code, told) in [
        ("config.json", 3, "config.json: can't read the file"),
        ("tokenizer.json", 3, "there is no tokenizer.json"),
        ("model-00001-of-00002.safetensors", 3, "is missing"),
        ("model.safetensors.index.json", 4, "is a directory without"),
    ] {
        let sandbox = Sandbox::new();
        let folder = copied(&sandbox, "llama");
        std::fs::remove_file(folder.join(file)).unwrap();
        refuses(
            &sandbox,
            &["convert", "model", "-o", "x.gguf"],
            code,
            &[told],
        );
        assert!(!sandbox.folder.path().join("x.gguf").exists());
    }
}

#[test]
fn weights_that_are_no_numbers_leave_no_file() {
    let sandbox = Sandbox::new();
    let folder = copied(&sandbox, "gemma3");
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    for more in [&[][..], &["--quantize", "q8_0"]] {
        let done = sandbox.run(&[&["convert", "model", "-o", "x.gguf"], more].concat());
        assert_eq!(done.code, Some(4), "{}", done.err);
        assert!(done.err.contains("not finite"), "{}", done.err);
    }
    let left: Vec<_> = std::fs::read_dir(sandbox.folder.path())
        .unwrap()
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|e| !e.file_name().to_string_lossy().contains("x.gguf")),
        "{left:?}"
    );
}

/// As the engine's own test does it from GGUF: all logits, in one step, against those that transformers computed.
#[test]
fn logits_equal_transformers() {
    for name in [
        "llama",
        "gemma3",
        "qwen35",
        "llama-llama3",
        "qwen3-yarn",
        "qwen35-yarn",
        "granite",
        "granite-attentive",
        "granitehybrid",
        "granitehybrid-moe",
        "kimi-linear",
        "recurrentgemma",
    ] {
        let opened = models::checkpoint::open(Path::new(&checkpoint(name)), None, 2).unwrap();
        let profile = kernels::RuntimeProfile {
            kv_type: kernels::KvType::F32,
            threads: 2,
            ..kernels::RuntimeProfile::default()
        };
        let engine =
            runtime::Engine::from_gguf(opened.gguf.into(), profile, &mut |_, _| {}).unwrap();
        let beside =
            |ending: &str| std::fs::read(Path::new(&fixture(name)).with_extension(ending)).unwrap();
        let about: serde_json::Value = serde_json::from_slice(&beside("json")).unwrap();
        let numbers = |key: &str| -> Vec<u64> {
            about[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_u64().unwrap())
                .collect()
        };
        let tokens: Vec<u32> = numbers("tokens").iter().map(|&t| t as u32).collect();
        let mut session = engine.session_with_outputs(256, 256).unwrap();
        session
            .step(&tokens, kernels::cpu::Outputs::All, None)
            .unwrap();
        let got = numbers("positions")
            .into_iter()
            .flat_map(|p| session.logits(p as usize).unwrap().to_vec());
        let logits = beside("logits");
        let (mut difference, mut norm) = (0.0, 0.0);
        for (got, want) in got.zip(logits.as_chunks().0) {
            let want = f64::from(f32::from_le_bytes(*want));
            difference += (f64::from(got) - want).powi(2);
            norm += want.powi(2);
        }
        let error = (difference / norm).sqrt();
        assert!(error <= 1e-4, "{name}: relative error {error:e}");
    }
}
