//! The JSON reports: schema, and figures that can be checked.

use serde_json::Value;

use crate::sprag::{Sandbox, fixture, sprag};

#[test]
fn bench_reports_raw_samples_and_medians() {
    let all = [
        "bench",
        &fixture("llama"),
        "--prefill",
        "32",
        "--decode",
        "4",
        "--depth",
        "0,64",
        "--repeat",
        "3",
        "--threads",
        "2",
    ];
    let json = sprag(&[&all[..], &["--json"]].concat()).json();
    assert_eq!(json["schema"], "sprag.bench/1");
    assert_eq!(json["profile"]["threads"], 2);
    assert_eq!(json["profile"]["kv_type"], "i16");
    assert!(json["machine"]["cores"]["usable"].as_u64().unwrap() >= 1);
    let depths = json["depths"].as_array().unwrap();
    assert_eq!(
        depths
            .iter()
            .map(|d| d["depth"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [0, 64]
    );
    for phase in ["prefill", "decode"] {
        assert_eq!(json[phase], depths[0][phase]);
        let samples: Vec<f64> = json[phase]["tokens_per_second"]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect();
        assert_eq!(samples.len(), 3);
        assert!(samples.iter().all(|s| *s > 0.0));
        let mut sorted = samples;
        sorted.sort_by(f64::total_cmp);
        assert_eq!(json[phase]["median"].as_f64().unwrap(), sorted[1]);
    }
    let text = sprag(&all);
    assert_eq!(text.out.lines().count(), 5, "{}", text.out);
}

#[test]
fn perplexity_of_random_weights_is_about_the_vocabulary() {
    let sandbox = Sandbox::new();
    let text = "In the beginning the weights were random, and the text meant nothing. ".repeat(12);
    sandbox.file("text.txt", text.as_bytes());
    let run = |model: &str, extra: &[&str]| {
        let model = fixture(model);
        let all = [
            &["perplexity", &model, "text.txt", "--window", "64", "--json"],
            extra,
        ]
        .concat();
        sandbox.run(&all).json()
    };
    for model in ["llama", "gemma3", "qwen3next"] {
        let json = run(model, &[]);
        assert_eq!(json["schema"], "sprag.perplexity/1");
        let perplexity = json["perplexity"].as_f64().unwrap();
        assert!(
            perplexity > 50.0 && perplexity.is_finite(),
            "{model}: {perplexity}"
        );
        let windows = json["windows"].as_u64().unwrap();
        assert_eq!(json["scored_tokens"].as_u64().unwrap(), windows * 63);
    }
    assert_eq!(run("llama", &["--windows", "2"])["windows"], 2);
    let two = run("llama", &["--threads", "2", "--windows", "2"]);
    assert_eq!(
        two["perplexity"],
        run("llama", &["--threads", "1", "--windows", "2"])["perplexity"]
    );
}

#[test]
fn inspect_sums_what_the_file_holds() {
    let json = sprag(&[
        "inspect",
        &fixture("qwen3next"),
        "--context",
        "1",
        "--tensors",
        "--json",
    ])
    .json();
    assert_eq!(json["schema"], "sprag.inspect/1");
    assert_eq!(json["model"]["architecture"], "qwen3next");
    assert_eq!(json["unsupported"], Value::Null);
    let tensors = json["tensors"].as_array().unwrap();
    let elements: u64 = tensors
        .iter()
        .map(|t| {
            t["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d.as_u64().unwrap())
                .product::<u64>()
        })
        .sum();
    assert_eq!(json["model"]["parameters"].as_u64().unwrap(), elements);
    let grouped: u64 = json["formats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["tensors"].as_u64().unwrap())
        .sum();
    assert_eq!(grouped, tensors.len() as u64);
    let at = &json["at_context"];
    assert!(
        at["state_bytes"].as_u64().unwrap() > 0,
        "a hybrid has state"
    );
    assert_eq!(
        at["decode_at_0"], at["decode_at_context"],
        "in a context of one token"
    );
    let deep = sprag(&[
        "inspect",
        &fixture("qwen3next"),
        "--context",
        "256",
        "--json",
    ])
    .json();
    assert!(deep["at_context"]["kv_bytes"].as_u64() > at["kv_bytes"].as_u64());
    assert_eq!(deep["at_context"]["state_bytes"], at["state_bytes"]);
    assert!(
        deep["at_context"]["decode_at_context"]["read_bytes"].as_u64()
            > at["decode_at_0"]["read_bytes"].as_u64()
    );
}

#[test]
fn tokenize_reads_text_files_and_pipes() {
    let sandbox = Sandbox::new();
    sandbox.file("t.txt", "the tiny thé\n".as_bytes());
    let model = fixture("llama");
    let ids = |all: &[&str], input: &str| {
        let json = sandbox
            .run_with(
                &[&["tokenize", &model, "--json"], all].concat(),
                input.as_bytes(),
            )
            .json();
        assert_eq!(
            json["count"].as_u64().unwrap(),
            json["ids"].as_array().unwrap().len() as u64
        );
        json["ids"].clone()
    };
    let from_file = ids(&["--file", "t.txt"], "");
    assert_eq!(ids(&["the tiny thé\n"], ""), from_file);
    assert_eq!(ids(&[], "the tiny thé\n"), from_file);
    assert_eq!(
        ids(&["--bare"], "the tiny thé\n"),
        from_file,
        "this model adds no begin token"
    );
    assert_eq!(ids(&[""], ""), serde_json::json!([]));
}

#[test]
fn pull_takes_a_file_and_models_lists_it() {
    let sandbox = Sandbox::new();
    let pulled = sandbox.run(&["pull", &fixture("gemma3"), "--json"]).json();
    assert_eq!(
        (&pulled["schema"], &pulled["name"]),
        (&"sprag.pull/1".into(), &"gemma3".into())
    );
    sandbox.file("home/models/broken.gguf", b"no model");
    let listed = sandbox.run(&["models", "--json"]).json();
    assert_eq!(listed["schema"], "sprag.models/1");
    let models = listed["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    assert!(
        models[0]["error"].as_str().unwrap().contains("GGUF"),
        "{models:?}"
    );
    assert_eq!(models[1]["architecture"], "gemma3");
    assert!(
        listed["available"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["default"] == true && a["here"] == false)
    );
    let answer = sandbox
        .run(&["run", "gem", "-p", "a", "-n", "1", "--json"])
        .json();
    assert_eq!(answer["model"]["name"], "gemma3");
}

#[test]
fn lens_reports_both_regimes() {
    let sandbox = Sandbox::new();
    let all = [
        "lens",
        &fixture("llama"),
        "--prefill",
        "32",
        "--depth",
        "32",
        "--threads",
        "2",
        "--html",
        "r.html",
        "--trace",
        "steps.json",
        "--json",
    ];
    let json = sandbox.run(&all).json();
    assert_eq!(json["schema"], "sprag.lens/1");
    let steps = std::fs::read(sandbox.folder.path().join("steps.json")).unwrap();
    let steps: serde_json::Value = serde_json::from_slice(&steps).unwrap();
    assert!(!steps["traceEvents"].as_array().unwrap().is_empty());
    let html = std::fs::read_to_string(sandbox.folder.path().join("r.html")).unwrap();
    assert!(html.contains("<svg") && html.trim_end().ends_with("</html>"));
    assert_eq!(
        std::fs::read_dir(sandbox.folder.path())
            .unwrap()
            .filter(|f| f.as_ref().unwrap().path().is_file())
            .count(),
        2
    );
}

#[test]
fn runs_are_kept_listed_and_compared() {
    let sandbox = Sandbox::new();
    let model = fixture("llama");
    let lens = |depth: &str| {
        let all = [
            "lens",
            &model,
            "--prefill",
            "32",
            "--depth",
            depth,
            "--threads",
            "2",
        ];
        let done = sandbox.run(&all);
        assert_eq!(done.code, Some(0), "{}", done.err);
        done.err
    };
    assert!(!lens("32").contains("earlier run"));
    assert!(lens("32").contains("one earlier run of this: "));
    lens("16");
    let log = sandbox.run(&["lens", "log", "--json"]).json();
    assert_eq!(log["schema"], "sprag.lens-log/1");
    let ids: Vec<String> = log["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(sandbox.run(&["lens", "log"]).out.contains(&ids[2]));

    let diff = sandbox
        .run(&["lens", "diff", &ids[0], &ids[1], "--json"])
        .json();
    assert_eq!(diff["schema"], "sprag.lens-diff/1");
    assert_eq!(diff["differences"], serde_json::json!([]));
    let step = &diff["decode"]["levels"][3];
    assert_eq!(step["layer"], "step");
    assert!(step["speed_up"].as_f64().unwrap() > 0.0 && step["interval"].is_object());
    let same = sandbox.run(&["lens", "diff", "last", "last"]);
    assert!(
        same.out.contains("DECODE") && same.out.contains("no difference"),
        "{}",
        same.out
    );

    let refused = |arguments: &[&str], code: i32, told: &str| {
        let done = sandbox.run(arguments);
        assert_eq!(done.code, Some(code), "{}", done.err);
        assert!(
            done.err.contains(told) && !done.err.contains("panicked"),
            "{}",
            done.err
        );
    };
    refused(
        &["lens", "diff", &ids[0], "last"],
        2,
        "other work: decode at depth 32",
    );
    refused(&["lens", "diff", "nothing", "last"], 3, "nothing");
    refused(&["lens", "diff", "2", "last"], 2, "3 runs begin with");
    let folder = sandbox.folder.path().join("home/lens");
    std::fs::write(folder.join("zzz.json"), "{}").unwrap();
    let done = sandbox.run(&["lens", "log"]);
    assert_eq!(done.code, Some(0));
    assert!(done.err.contains("zzz.json is left out"), "{}", done.err);
    let broken = folder.join("zzz.json").display().to_string();
    refused(&["lens", "diff", &broken, "last"], 4, "sprag.lens/1");
}
