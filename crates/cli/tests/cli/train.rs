//! `sprag train` from text to a model that runs, stopped and resumed, and what it refuses.

use std::path::Path;

use serde_json::Value;

use crate::sprag::Sandbox;

const SETTINGS: &str = "\
[model]
layers = 2
width = 32
heads = 2
kv_heads = 1
head_dim = 16
hidden = 64

[steps]
sequences = 4
positions = 256

[optimisation]
rate = 0.005
";

/// Settings, a text to learn from, and one of 200 bytes to be held out.
fn prepared() -> Sandbox {
    let sandbox = Sandbox::new();
    let line = |i: usize| format!("Line {i} says the same thing {} times.\n", i * 7 % 13);
    let text: String = (0..200).map(line).collect();
    sandbox.file("settings.toml", SETTINGS.as_bytes());
    sandbox.file("a.txt", text.as_bytes());
    sandbox.file("b.txt", &text.as_bytes()[1000..1200]);
    sandbox
}

const RUN: [&str; 9] = [
    "train",
    "a.txt",
    "b.txt",
    "--held-out",
    "1",
    "--settings",
    "settings.toml",
    "--threads",
    "2",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], more].concat()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The exported model of a run must need as many bits for the held-out text as training said; that many.
fn foretells_as_in_training(sandbox: &Sandbox, run: &str, report: &Value) -> f64 {
    let bits = report["validation"]["bits_per_byte"].as_f64().unwrap();
    assert!(bits < 6.0, "{bits}");
    // One window holds the held-out text with the separator before it, so that both judge the same 200 bytes.
    let text = std::fs::read(sandbox.folder.path().join("b.txt")).unwrap();
    sandbox.file("window.txt", &[&[0], &text[..]].concat());
    let words = [
        "perplexity",
        &format!("{run}/model.gguf"),
        "window.txt",
        "--window",
        "201",
        "--kv-type",
        "f32",
        "--json",
    ];
    let other = sandbox.run(&words).json();
    let nats = other["mean_nll"].as_f64().unwrap();
    assert!(
        (nats / std::f64::consts::LN_2 / bits - 1.0).abs() < 1e-3,
        "{nats} nats, {bits} bits"
    );
    bits
}

#[test]
fn a_trained_model_runs_and_foretells_as_well_as_in_training() {
    let sandbox = prepared();
    let report = sandbox
        .run(&with(&["--steps", "60", "--out", "run", "--json"]))
        .json();
    assert_eq!(report["schema"], "sprag.train/1");
    assert_eq!(report["progress"]["steps"], 60);
    assert_eq!(report["validation"]["bytes"], 200);
    let bits = foretells_as_in_training(&sandbox, "run", &report);
    let done = sandbox.run(&["run", "run/model.gguf", "--raw", "-p", "Line 7", "-n", "8"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let folder = sandbox.folder.path().join("run");
    let steps = lines(&folder.join("log.jsonl"));
    assert_eq!(
        steps.iter().filter(|line| line["loss"].is_f64()).count(),
        60
    );
    assert_eq!(steps.last().unwrap()["bits_per_byte"].as_f64(), Some(bits));
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(
        page.contains("class=\"held\"") && page.contains("width = 32"),
        "{page}"
    );
}

#[test]
fn hybrids_and_normed_heads_run_as_they_were_trained() {
    let sandbox = prepared();
    for (name, architecture, more) in [
        ("normed", "qwen3", "head_norms = true"),
        (
            "hybrid",
            "qwen35",
            "mixers = [\"gated_delta\", \"full\"]\nhead_norms = true\noutput_gate = true\ntied = true",
        ),
        ("delta", "qwen35", "mixers = [\"gated_delta\"]"),
    ] {
        let settings = SETTINGS.replace("hidden = 64", &format!("hidden = 64\n{more}"));
        sandbox.file("settings.toml", settings.as_bytes());
        let report = sandbox
            .run(&with(&["--steps", "30", "--out", name, "--json"]))
            .json();
        foretells_as_in_training(&sandbox, name, &report);
        let file = format!("{name}/model.gguf");
        let described = sandbox.run(&["inspect", &file, "--json"]).json();
        assert_eq!(
            described["model"]["architecture"], architecture,
            "{described}"
        );
    }
}

#[cfg(feature = "pairs")]
#[test]
fn pairs_of_bytes_are_learned_and_the_model_runs_with_them() {
    let sandbox = prepared();
    let settings = SETTINGS.replace("[model]", "[model]\nvocabulary = 280");
    sandbox.file("settings.toml", settings.as_bytes());
    let report = sandbox
        .run(&with(&["--steps", "60", "--out", "run", "--json"]))
        .json();
    let bits = report["validation"]["bits_per_byte"].as_f64().unwrap();
    assert_eq!(report["validation"]["bytes"], 200);
    let text = std::fs::read(sandbox.folder.path().join("b.txt")).unwrap();
    sandbox.file("window.txt", &[&[0], &text[..]].concat());
    let tokens = sandbox
        .run(&["tokenize", "run/model.gguf", "-f", "window.txt", "--json"])
        .json();
    let count = tokens["count"].as_u64().unwrap();
    assert!(count < 150, "{count} tokens for 200 bytes");
    let window = count.to_string();
    let words = [
        "perplexity",
        "run/model.gguf",
        "window.txt",
        "--window",
        &window,
        "--kv-type",
        "f32",
        "--json",
    ];
    let nats = sandbox.run(&words).json()["mean_nll"].as_f64().unwrap();
    let other = nats * (count - 1) as f64 / 200.0 / std::f64::consts::LN_2;
    assert!((other / bits - 1.0).abs() < 1e-3, "{other}, {bits} bits");
    // The same run over tokens in files; and no pairs can be learned from too little.
    let mapped = sandbox
        .run(&with(&[
            "--steps", "60", "--out", "mapped", "--shards", "--json",
        ]))
        .json();
    assert_eq!(mapped["validation"], report["validation"]);
    assert!(
        sandbox
            .folder
            .path()
            .join("mapped/tokens/index.json")
            .exists()
    );
    let settings = SETTINGS.replace("[model]", "[model]\nvocabulary = 9000");
    sandbox.file("settings.toml", settings.as_bytes());
    for more in [&["--out", "none"][..], &["--out", "none", "--shards"]] {
        let done = sandbox.run(&with(more));
        assert_eq!(done.code, Some(4), "{}", done.err);
        assert!(done.err.contains("ask for"), "{}", done.err);
        assert!(!sandbox.folder.path().join("none").exists());
    }
}

#[test]
fn half_of_what_is_held_out_is_looked_at_once() {
    let sandbox = prepared();
    let text = std::fs::read(sandbox.folder.path().join("a.txt")).unwrap();
    let line = |from: usize| {
        let text = String::from_utf8_lossy(&text[from..from + 2000]).into_owned();
        serde_json::json!({ "body": text }).to_string()
    };
    let lines: Vec<String> = [0, 1000, 2000, 3000, 4000].map(line).into();
    sandbox.file("lines.jsonl", lines.join("\n").as_bytes());
    let words = [
        "train",
        "lines.jsonl",
        "--field",
        "body",
        "--held-out",
        "2",
        "--settings",
        "settings.toml",
        "--steps",
        "5",
    ];
    let report = sandbox.run(&[&words[..], &["--json"]].concat()).json();
    assert_eq!(report["train_bytes"], 6000);
    assert_eq!(report["validation"]["bytes"], 2000);
    assert_eq!(report["hidden"]["bytes"], 2000);
    let done = sandbox.run(&["train", "lines.jsonl", "--out", "other"]);
    assert_eq!(done.code, Some(4), "{}", done.err);
    assert!(done.err.contains("\"text\""), "{}", done.err);
}

#[cfg(unix)]
#[test]
fn a_stopped_run_goes_on_to_the_same_numbers() {
    let sandbox = prepared();
    let whole = sandbox
        .run(&with(&["--steps", "400", "--out", "whole", "--json"]))
        .json();
    let mut child = sandbox
        .command(&with(&["--steps", "400", "--out", "half"]))
        .spawn()
        .unwrap();
    let log = sandbox.folder.path().join("half/log.jsonl");
    let has_begun = || std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() > 20);
    while !has_begun() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ends before it is stopped"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let second = sandbox.run(&[
        "train",
        "a.txt",
        "b.txt",
        "--held-out",
        "1",
        "--resume",
        "--out",
        "half",
    ]);
    assert_eq!(second.code, Some(2), "{}", second.err);
    assert!(second.err.contains("at work in half"), "{}", second.err);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("sprag train --resume --out half"), "{told}");
    let again = sandbox.run(&with(&["--steps", "400", "--out", "half"]));
    assert_eq!(again.code, Some(2), "{}", again.err);
    let words = [
        "train",
        "a.txt",
        "b.txt",
        "--held-out",
        "1",
        "--resume",
        "--out",
        "half",
        "--threads",
        "1",
        "--json",
    ];
    let resumed = sandbox.run(&words).json();
    assert_eq!(resumed["validation"], whole["validation"]);
    let losses = |name: &str| {
        let lines = lines(&sandbox.folder.path().join(name).join("log.jsonl"));
        lines
            .into_iter()
            .filter_map(|line| line["loss"].as_f64())
            .collect::<Vec<_>>()
    };
    assert_eq!(losses("half"), losses("whole"));
    let other = sandbox.run(&[
        "train",
        "a.txt",
        "a.txt",
        "--held-out",
        "1",
        "--resume",
        "--out",
        "half",
    ]);
    assert_eq!(other.code, Some(4), "{}", other.err);
    assert!(other.err.contains("another text"), "{}", other.err);
}

#[cfg(not(feature = "pairs"))]
#[test]
fn a_build_that_learns_no_pairs_says_how_one_does() {
    let sandbox = prepared();
    let settings = SETTINGS.replace("[model]", "[model]\nvocabulary = 280");
    sandbox.file("settings.toml", settings.as_bytes());
    let done = sandbox.run(&with(&["--steps", "5", "--out", "run"]));
    assert_eq!(done.code, Some(4), "{}", done.err);
    assert!(done.err.contains("--features pairs"), "{}", done.err);
}

#[test]
fn what_cannot_be_trained_is_refused_in_words() {
    let sandbox = prepared();
    sandbox.file("empty.txt", b"");
    sandbox.file("latin.txt", b"caf\xe9");
    sandbox.file("unknown.toml", b"[model]\nlayer = 3\n");
    sandbox.file("window.toml", b"[model]\nhead_dim = 20\n");
    sandbox.file("large.toml", b"[steps]\nsequences = 60000\n");
    for (words, code, told) in [
        (vec!["train", "empty.txt"], 4, "has 1 tokens"),
        (vec!["train", "missing.txt"], 3, "missing.txt"),
        (vec!["train", "latin.txt"], 4, "plain UTF-8"),
        (vec!["train", "--settings", "unknown.toml"], 4, "layer"),
        (
            vec!["train", "--settings", "window.toml"],
            2,
            "a multiple of 16",
        ),
        (
            vec!["train", "--settings", "large.toml"],
            6,
            "this run needs",
        ),
        (vec!["train", "--tokens", "10"], 2, "enough for one step"),
        (vec!["train", "--steps", "0"], 2, "enough for one step"),
        (
            vec!["train", "--resume", "--out", "none"],
            2,
            "no run to go on with",
        ),
    ] {
        let done = sandbox.run(&words);
        assert_eq!(done.code, Some(code), "{words:?}: {}", done.err);
        assert!(done.err.contains(told), "{words:?}: {}", done.err);
        assert!(
            !sandbox.folder.path().join("sprag-train").exists(),
            "{words:?} leaves a folder"
        );
    }
}
