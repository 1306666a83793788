//! The judges of trained models: two forward passes that were written apart agree, and what is no model is refused.

use std::path::Path;

use serde_json::Value;
use train::{Batch, Configuration, Mixer, Mlp, Tokenizer, Weights, model_file};

use crate::sprag::Sandbox;

/// A model with weights large enough that each part of it matters, in the artefact's folder.
fn leave(folder: &Path, model: &Configuration) {
    let batch = Batch {
        sequences: 1,
        positions: 1,
    };
    let graph = model.graph(batch).unwrap();
    let mut weights = Weights::initial(graph.parameters(), 11).unwrap();
    weights.all_mut().iter_mut().for_each(|w| *w *= 3.0);
    let path = folder.join("model.safetensors");
    let both = (graph.parameters(), &weights);
    model_file::write(&path, model, 96, &Tokenizer::Bytes, both).unwrap();
}

fn small() -> Configuration {
    Configuration {
        layers: 3,
        width: 48,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        hidden: 64,
        window: 20,
        ..Configuration::default()
    }
}

fn judged(sandbox: &Sandbox, words: &[&str], split: &str) -> Value {
    let all = [&["judge"], words].concat();
    let done = sandbox
        .command(&all)
        .env("SPRAG_ARTEFACT", sandbox.folder.path())
        .env("SPRAG_SPLIT", split)
        .env("SPRAG_SEED", "77")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn two_judges_agree_about_every_kind_of_layer() {
    let sandbox = Sandbox::new();
    let line = |i: usize| format!("Line {i}: {} and \u{e9}.\n\0", i * i % 97);
    let text: String = (0..90).map(line).collect();
    sandbox.file("public.txt", text.as_bytes());
    sandbox.file("hidden.txt", text.to_uppercase().as_bytes());
    let (delta, full, window) = (Mixer::GatedDelta, Mixer::Full, Mixer::Window);
    for model in [
        small(),
        Configuration {
            mixers: vec![delta, window, full],
            head_norms: true,
            output_gate: true,
            tied: true,
            ..small()
        },
        Configuration {
            mixers: vec![window],
            mlp: Mlp::SquaredRelu,
            soft_cap: Some(4.0),
            value_residual: true,
            ..small()
        },
    ] {
        leave(sandbox.folder.path(), &model);
        for split in ["public", "hidden"] {
            let more = [
                "--public",
                "public.txt",
                "--hidden",
                "hidden.txt",
                "--sample",
                "500",
            ];
            let fast = judged(&sandbox, &[&["model"], &more[..]].concat(), split);
            let plain = judged(&sandbox, &[&["plain-model"], &more[..]].concat(), split);
            let number = |value: &Value| value.as_f64().unwrap();
            let (sample, again) = (number(&fast["sample"]), number(&plain["value"]));
            assert!(
                (sample / again - 1.0).abs() < 1e-5,
                "{model:?}: {fast} {plain}"
            );
            let raw = text.bytes().filter(|&byte| byte != 0).count();
            assert_eq!(fast["bytes"], raw, "{fast}");
            assert!((number(&fast["value"]) - sample).abs() > 1e-6);
        }
    }
}

#[test]
fn what_is_no_model_is_refused_by_both() {
    let sandbox = Sandbox::new();
    leave(sandbox.folder.path(), &small());
    let path = sandbox.folder.path().join("model.safetensors");
    let good = std::fs::read(&path).unwrap();
    for bad in [&good[..good.len() - 4], &good[..7], b"nonsense"] {
        std::fs::write(&path, bad).unwrap();
        for judge in ["model", "plain-model"] {
            let answer = judged(&sandbox, &[judge], "hidden");
            assert!(answer["refused"].is_string(), "{answer}");
        }
    }
}

#[test]
fn logits_beyond_all_precision_gain_nothing() {
    let sandbox = Sandbox::new();
    let model = Configuration {
        layers: 1,
        ..small()
    };
    let batch = Batch {
        sequences: 1,
        positions: 1,
    };
    let graph = model.graph(batch).unwrap();
    let mut weights = Weights::zeroed(graph.parameters()).unwrap();
    // Every logit is 1e20: a logarithm of their number that is added to that is lost, and every byte foretold for nothing.
    for (one, place) in graph.parameters().iter().zip(weights.places().to_vec()) {
        let values = &mut weights.all_mut()[place];
        match one.name.as_str() {
            "token_embd.weight" => values.fill(1.0),
            "output_norm.weight" => values[0] = 1e20,
            "output.weight" => values.chunks_mut(one.columns).for_each(|row| row[0] = 1.0),
            _ => {}
        }
    }
    let path = sandbox.folder.path().join("model.safetensors");
    let both = (graph.parameters(), &weights);
    model_file::write(&path, &model, 96, &Tokenizer::Bytes, both).unwrap();
    let plain = judged(&sandbox, &["plain-model"], "hidden")["value"]
        .as_f64()
        .unwrap();
    assert!((plain - 8.0).abs() < 1e-6, "{plain}");
    // Whatever the fast judge makes of it, two that are not within 0.1% are no verdict.
    let fast = judged(&sandbox, &["model"], "hidden")["sample"]
        .as_f64()
        .unwrap();
    assert!(
        fast > 7.99 || (fast - plain).abs() > 0.001 * plain,
        "{fast}"
    );
}

/// Foretells every byte alike.
#[cfg(target_os = "linux")]
const UNIFORM: &str = "\
#!/usr/bin/python3
import math, struct, sys
row = struct.pack('<256f', *[-math.log(256)] * 256)
while head := sys.stdin.buffer.read(4):
    count, = struct.unpack('<I', head)
    sys.stdin.buffer.read(count)
    sys.stdout.buffer.write(row * max(count, 1))
    sys.stdout.buffer.flush()
";

#[cfg(target_os = "linux")]
#[test]
fn a_program_is_judged_where_there_is_no_model() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let path = sandbox.file("predict/run", UNIFORM.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text: String = (0..400).map(|i| format!("{} ", i * i)).collect();
    sandbox.file("text.txt", text.as_bytes());
    let more = [
        "--public",
        "text.txt",
        "--hidden",
        "text.txt",
        "--sample",
        "900",
        "--",
        "./predict/run",
    ];
    let fast = judged(&sandbox, &[&["model"], &more[..]].concat(), "public");
    let again = judged(&sandbox, &[&["plain-model"], &more[..]].concat(), "public");
    for value in [&fast["value"], &fast["sample"], &again["value"]] {
        assert!(
            (value.as_f64().unwrap() - 8.0).abs() < 1e-4,
            "{fast} {again}"
        );
    }
}

#[test]
fn the_server_of_text_gives_as_much_as_is_left() {
    let sandbox = Sandbox::new();
    let done = sandbox.run_with(
        &["judge", "feed"],
        b"5000 windows 2 1000\n3000 windows 9 1000\n",
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.starts_with("2000 2000\n"), "{}", &done.out[..40]);
    assert!(done.out.contains("3000 3000\n"));
    let wrong = sandbox.run_with(&["judge", "feed"], b"5000 pages 2 1000\n");
    assert_ne!(wrong.code, Some(0));
    assert!(wrong.err.contains("windows COUNT BYTES"), "{}", wrong.err);
}

#[test]
fn a_candidates_model_runs_in_every_command() {
    let sandbox = Sandbox::new();
    let model = Configuration {
        width: 64,
        ..small()
    };
    leave(sandbox.folder.path(), &model);
    let text = "A text that fits into one window of a model that was never trained: of fewer than 96 bytes.";
    for name in ["public.txt", "hidden.txt"] {
        sandbox.file(name, text.as_bytes());
    }
    let files = ["--public", "public.txt", "--hidden", "hidden.txt"];
    let words = [&["model"], &files[..], &["--sample", "64"]].concat();
    let bits = judged(&sandbox, &words, "public")["value"]
        .as_f64()
        .unwrap();
    // The separator, which a window of text begins with in training, is a byte of the text here.
    sandbox.file("window.txt", &[&[0], text.as_bytes()].concat());
    let window = (text.len() + 1).to_string();
    let foretells = |model: &str| {
        let words = [
            "perplexity",
            model,
            "window.txt",
            "--kv-type",
            "f32",
            "--json",
        ];
        let done = sandbox.run(&[&words[..], &["--window", &window]].concat());
        done.json()["mean_nll"].as_f64().unwrap() / std::f64::consts::LN_2
    };
    let as_it_is = foretells("model.safetensors");
    assert!(
        (as_it_is / bits - 1.0).abs() < 1e-3,
        "{as_it_is} for {bits}"
    );
    let words = [
        "convert",
        "model.safetensors",
        "--quantize",
        "q8_0",
        "-o",
        "small.gguf",
        "--json",
    ];
    let report = sandbox.run(&words).json();
    assert_eq!(
        (&report["architecture"], &report["quantisation"]),
        (&"llama".into(), &"Q8_0".into())
    );
    let quantised = foretells("small.gguf");
    assert!(
        (quantised / bits - 1.0).abs() < 2e-2 && quantised != as_it_is,
        "{quantised} for {bits}"
    );

    let windowed = Configuration {
        mixers: vec![Mixer::Window],
        ..model
    };
    leave(sandbox.folder.path(), &windowed);
    let done = sandbox.run(&["run", "model.safetensors", "--raw", "-p", "x"]);
    assert_eq!(done.code, Some(4));
    assert!(
        done.err
            .contains("no architecture of GGUF has windowed attention"),
        "{}",
        done.err
    );
}
