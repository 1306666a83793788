//! `run` and `chat`: what comes out for what goes in.

use formats::gguf::Value;

use crate::sprag::{Sandbox, changed, fixture, sprag};

const ALL: [&str; 10] = [
    "llama",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "gemma3",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "qwen3next-moe",
    "rwkv7",
];

#[test]
fn every_architecture_answers_and_repeats_itself() {
    for name in ALL {
        let run = || {
            sprag(&[
                "run",
                &fixture(name),
                "--raw",
                "-p",
                "the in",
                "--greedy",
                "-n",
                "6",
                "--json",
            ])
            .json()
        };
        let (first, second) = (run(), run());
        assert_eq!(first["schema"], "sprag.run/1");
        assert_eq!(first["tokens"], second["tokens"], "{name}");
        assert_eq!(first["model"]["name"], name);
    }
}

/// The tiny models write nonsense, but within the schema; a limit that cuts the document off is a failure of its own.
#[test]
fn a_schema_is_kept_to() {
    let sandbox = Sandbox::new();
    let schema = r#"{"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "n": {"type": "integer", "minimum": 0,
        "maximum": 99}}, "required": ["a", "n"], "additionalProperties": false}"#;
    sandbox.file("schema.json", schema.as_bytes());
    for seed in ["1", "2", "3"] {
        let model = fixture("llama");
        let arguments = [
            "run",
            &model,
            "-p",
            "the in",
            "--seed",
            seed,
            "--json-schema",
        ];
        let done = sandbox.run(&[&arguments[..], &["schema.json"]].concat());
        assert_eq!(done.code, Some(0), "{}", done.err);
        let document: serde_json::Value = serde_json::from_str(&done.out).expect("a document");
        assert!(document["a"] == "x" || document["a"] == "y", "{document}");
        assert!(
            document["n"].as_u64().expect("a number") < 100,
            "{document}"
        );
    }
    let model = fixture("llama");
    let run = |more: &[&str]| {
        let arguments = ["run", &model, "-p", "the in", "--greedy"];
        sandbox.run(&[&arguments[..], more].concat())
    };
    let cut = run(&["--json-schema", "schema.json", "-n", "2"]);
    assert_eq!(cut.code, Some(6));
    assert!(cut.err.contains("raise --max-tokens"), "{}", cut.err);
    let json = run(&["--json-schema", "schema.json", "--json"]).json();
    assert_eq!(json["document"], "complete");
    assert!(run(&["-n", "2", "--json"]).json()["document"].is_null());
    sandbox.file("bad.json", b"{\"type\": ");
    let bad = run(&["--json-schema", "bad.json"]);
    assert_eq!(bad.code, Some(4));
    assert!(bad.err.contains("the schema is not JSON"), "{}", bad.err);
    assert_eq!(run(&["--json-schema", "none.json"]).code, Some(3));
    assert_eq!(run(&["--json-schema", "a", "--json-object"]).code, Some(2));
}

#[test]
fn text_goes_out_and_speeds_to_standard_error() {
    let json = sprag(&[
        "run",
        &fixture("llama"),
        "-p",
        "the in",
        "--greedy",
        "-n",
        "8",
        "--json",
    ])
    .json();
    let plain = sprag(&[
        "run",
        &fixture("llama"),
        "-p",
        "the in",
        "--greedy",
        "-n",
        "8",
    ]);
    assert_eq!(
        plain.out.trim_end_matches('\n'),
        json["text"].as_str().unwrap().trim_end_matches('\n')
    );
    assert!(
        plain.err.contains("prefill") && plain.err.contains("tokens/s"),
        "{}",
        plain.err
    );
    assert_eq!(plain.err.lines().count(), 1, "{}", plain.err);
}

#[test]
fn a_prompt_comes_from_anywhere() {
    let sandbox = Sandbox::new();
    sandbox.file("prompt.txt", b"the in\n");
    let model = fixture("llama");
    let end = ["--greedy", "-n", "4", "--json"];
    let with = |extra: &[&str], input: &[u8]| {
        sandbox
            .run_with(&[&["run", &model], extra, &end].concat(), input)
            .json()["tokens"]
            .clone()
    };
    let given = with(&["-p", "the in"], b"");
    assert_eq!(with(&["-f", "prompt.txt"], b""), given);
    assert_eq!(with(&["-f", "-"], b"the in\r\n"), given);
    assert_eq!(with(&[], b"the in\n"), given);
}

#[test]
fn a_seed_decides() {
    let run = |seed| {
        let json = sprag(&[
            "run",
            &fixture("qwen3"),
            "-p",
            "a",
            "--temperature",
            "2",
            "--seed",
            seed,
            "-n",
            "12",
            "--json",
        ]);
        json.json()["tokens"].clone()
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn limits_and_stops_end_an_answer() {
    let model = fixture("llama");
    let run = |extra: &[&str]| {
        sprag(
            &[
                &["run", &model, "-p", "the in", "--greedy", "--json"],
                extra,
            ]
            .concat(),
        )
        .json()
    };
    let free = run(&["-n", "12"]);
    assert_eq!(free["finish"], "length");
    let text = free["text"].as_str().unwrap();
    let stop: String = text
        .chars()
        .filter(|c| c.is_ascii_graphic())
        .take(1)
        .collect();
    if !stop.is_empty() {
        let stopped = run(&["-n", "12", "--stop", &stop]);
        assert_eq!(
            (&stopped["finish"], &stopped["stop"]),
            (&"stop".into(), &stop.as_str().into())
        );
        assert!(!stopped["text"].as_str().unwrap().contains(&stop));
    }
    assert_eq!(run(&["--context", "16"])["finish"], "context_full");
}

/// A fixture with a chat template.
fn instructed(sandbox: &Sandbox) {
    let template = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}<|im_start|>";
    let file = changed(
        |pairs| {
            pairs.push((
                "tokenizer.chat_template".to_owned(),
                Value::Str(template.into()),
            ))
        },
        |_, _| {},
    );
    sandbox.file("instructed.gguf", &file);
}

#[test]
fn a_user_cannot_write_control_tokens() {
    let sandbox = Sandbox::new();
    instructed(&sandbox);
    let prompt = |extra: &[&str]| {
        let all = [
            &[
                "run",
                "instructed.gguf",
                "-p",
                "<|im_start|>",
                "-n",
                "1",
                "--json",
            ],
            extra,
        ]
        .concat();
        sandbox.run(&all).json()["prompt_tokens"].as_u64().unwrap()
    };
    let plain = prompt(&["--raw"]);
    assert!(plain > 5, "raw text is text");
    assert_eq!(
        prompt(&["--raw", "--control-tokens"]),
        1,
        "unless its writer says otherwise"
    );
    assert_eq!(
        prompt(&[]),
        plain + 2,
        "the template's own two, and the text"
    );
    assert_eq!(prompt(&["--system", "<|im_start|>"]), 2 * plain + 3);
    let count = |extra: &[&str]| {
        let all = [
            &["tokenize", "instructed.gguf", "<|im_start|>", "--json"],
            extra,
        ]
        .concat();
        sandbox.run(&all).json()["count"].as_u64().unwrap()
    };
    assert_eq!(count(&[]), plain);
    assert_eq!(count(&["--control-tokens"]), 1);
    let empty = sandbox.run(&["run", "instructed.gguf", "-p", ""]);
    assert_eq!(empty.code, Some(2), "{}", empty.err);
}

#[test]
fn a_piped_chat_takes_a_turn_per_line() {
    let sandbox = Sandbox::new();
    let chat = |input: &str| {
        sandbox.run_with(
            &[
                "chat",
                &fixture("llama"),
                "--greedy",
                "-n",
                "4",
                "--context",
                "400",
            ],
            input.as_bytes(),
        )
    };
    let done = chat(
        "hi\n\n/system be brief\nthe in\n/regen\n/stats\n/set temperature 0.5\n/save talk.json\n/exit\nunread\n",
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("no chat template"), "{}", done.err);
    assert!(done.err.contains("5 turns"), "{}", done.err);
    let saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.folder.path().join("talk.json")).unwrap())
            .unwrap();
    assert_eq!(saved["schema"], "sprag.chat/1");
    let roles: Vec<&str> = saved["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    let again = chat("/load talk.json\n/regen\n");
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("loaded 5 turns"), "{}", again.err);
}

#[test]
fn a_full_context_drops_the_oldest_turns() {
    let sandbox = Sandbox::new();
    let turn = "in the in the in the in the in the\n".repeat(6);
    let done = sandbox.run_with(
        &[
            "chat",
            &fixture("qwen2"),
            "--greedy",
            "-n",
            "4",
            "--context",
            "160",
        ],
        turn.as_bytes(),
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(
        done.err.contains("of the oldest turns dropped"),
        "{}",
        done.err
    );
    let long = "the in ".repeat(300);
    let done = sandbox.run_with(
        &["chat", &fixture("qwen2"), "--context", "160"],
        long.as_bytes(),
    );
    assert_eq!(done.code, Some(6), "{}", done.err);
}
