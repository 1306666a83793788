//! How the command refuses: the exit code of the cause, what is told, and the next step. Never a panic.

use std::{io::Read as _, process::Stdio};

use formats::gguf::Value;

use crate::sprag::{Done, Sandbox, changed, fixture, sprag};

/// The code is `code`, and everything of `told` is told in an error that is not a panic.
fn refuses(done: &Done, code: i32, told: &[&str]) {
    assert_eq!(done.code, Some(code), "{}", done.err);
    assert!(
        done.out.is_empty(),
        "standard output stays empty: {}",
        done.out
    );
    assert!(
        !done.err.contains("panicked") && !done.err.contains("internal"),
        "{}",
        done.err
    );
    for text in told {
        assert!(
            done.err.contains(text),
            "expected {text:?} in:\n{}",
            done.err
        );
    }
}

#[test]
fn models_that_are_not_there() {
    refuses(
        &sprag(&["run", "nowhere/x.gguf", "-p", "a"]),
        3,
        &["nowhere/x.gguf", "hint: sprag models"],
    );
    refuses(
        &sprag(&["run", "smolm2", "-p", "a"]),
        3,
        &["did you mean smollm2", "hint: sprag run smollm2"],
    );
    refuses(
        &sprag(&["bench", "qqqq"]),
        3,
        &["no model is called `qqqq`", "hint: sprag models"],
    );
    refuses(
        &sprag(&["inspect", "default"]),
        3,
        &["is not here yet", "hint: sprag pull smollm2"],
    );
    refuses(&sprag(&["pull", "qqqq"]), 3, &["qqqq"]);
    refuses(&sprag(&["pull", "missing.gguf"]), 3, &["missing.gguf"]);
    refuses(
        &sprag(&["pull", "hf:owner"]),
        2,
        &["hf:owner/repo/file.gguf"],
    );
}

#[test]
fn files_that_are_no_models() {
    let sandbox = Sandbox::new();
    let whole = std::fs::read(fixture("llama")).unwrap();
    sandbox.file("short.gguf", &whole[..whole.len() / 2]);
    sandbox.file("head.gguf", &whole[..100]);
    sandbox.file("empty.gguf", b"");
    sandbox.file("page.gguf", b"<!DOCTYPE html><html>");
    std::fs::create_dir(sandbox.folder.path().join("folder")).unwrap();
    for command in ["run", "chat", "inspect", "bench", "tokenize", "lens"] {
        let refused = |model: &str, told: &[&str]| {
            let text: &[&str] = if command == "run" { &["-p", "a"] } else { &[] };
            refuses(&sandbox.run(&[&[command, model], text].concat()), 4, told);
        };
        refused("short.gguf", &["short.gguf", "the download is incomplete"]);
        refused("head.gguf", &["head.gguf", "hint: "]);
        refused("empty.gguf", &["is empty"]);
        refused("page.gguf", &["not a GGUF file"]);
        refused("./folder", &["is a directory"]);
    }
}

#[test]
fn an_unknown_architecture_is_refused_but_shown() {
    let sandbox = Sandbox::new();
    let strange = changed(
        |pairs| {
            for (_, value) in pairs
                .iter_mut()
                .filter(|(key, _)| key == "general.architecture")
            {
                *value = Value::Str("mamba9\u{1b}[2J".into());
            }
        },
        |_, _| {},
    );
    sandbox.file("strange.gguf", &strange);
    let refused = sandbox.run(&["run", "strange.gguf", "-p", "a"]);
    refuses(
        &refused,
        4,
        &[
            "mamba9",
            "is not supported",
            "hint: sprag inspect strange.gguf",
        ],
    );
    let shown = sandbox.run(&["inspect", "strange.gguf", "--tensors"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(
        shown.out.contains("cannot be run") && shown.out.contains("token_embd.weight"),
        "{}",
        shown.out
    );
    assert!(
        !shown.out.contains('\u{1b}'),
        "a name cannot steer the terminal"
    );
    let json = sandbox.run(&["inspect", "strange.gguf", "--json"]).json();
    assert!(
        json["unsupported"]
            .as_str()
            .unwrap()
            .contains("not supported")
    );
}

/// The llama fixture with the first `count` weights of a tensor not a number.
fn with_nan(tensor: &str, count: usize) -> Vec<u8> {
    changed(
        |_| {},
        |name, bytes| {
            if name == tensor {
                bytes
                    .chunks_exact_mut(4)
                    .take(count)
                    .for_each(|w| w.copy_from_slice(&f32::NAN.to_le_bytes()));
            }
        },
    )
}

#[test]
fn weights_that_are_no_numbers() {
    let sandbox = Sandbox::new();
    for tensor in ["blk.0.attn_q.weight", "blk.1.attn_norm.weight"] {
        sandbox.file("nan.gguf", &with_nan(tensor, 1));
        let done = sandbox.run(&["run", "nan.gguf", "-p", "a", "-n", "2"]);
        refuses(&done, 4, &["nan.gguf", tensor, "hint: "]);
    }
    // Embeddings are read row by row, as tokens ask for them.
    sandbox.file("nan.gguf", &with_nan("token_embd.weight", usize::MAX));
    refuses(
        &sandbox.run(&["run", "nan.gguf", "-p", "a"]),
        4,
        &["not finite"],
    );
}

#[test]
fn a_variant_that_is_not_run_yet() {
    let sandbox = Sandbox::new();
    let mut bytes = std::fs::read(fixture("llama")).expect("the fixture");
    let value = bytes.windows(5).position(|w| w == b"llama");
    let at = value.expect("its architecture is the first to say so");
    bytes[at..at + 5].copy_from_slice(b"mamba");
    sandbox.file("mamba.gguf", &bytes);
    refuses(
        &sandbox.run(&["run", "mamba.gguf", "-p", "a"]),
        4,
        &["mamba", "qwen3moe", "hint: sprag inspect"],
    );
}

#[test]
fn prompts_that_do_not_fit() {
    let model = fixture("llama");
    let long = "the in ".repeat(400);
    refuses(
        &sprag(&["run", &model, "-p", ""]),
        2,
        &["empty", "hint: sprag run"],
    );
    refuses(
        &sprag(&["run", &model, "-p", &long]),
        6,
        &["the context has room for"],
    );
    refuses(
        &sprag(&["run", &model, "-p", "the in the in", "--context", "2"]),
        6,
        &["hint: sprag run", "--context 5"],
    );
    refuses(
        &sprag(&["run", &model, "-p", "a", "--context", "100000"]),
        6,
        &["512", "hint: sprag run", "--context 512"],
    );
    refuses(&sprag(&["bench", &model, "--depth", "4096"]), 6, &["512"]);
    let sandbox = Sandbox::new();
    sandbox.file("t.txt", b"too short");
    refuses(
        &sandbox.run(&["perplexity", &model, "t.txt"]),
        2,
        &["--window"],
    );
    refuses(
        &sandbox.run(&["perplexity", &model, "t.txt", "--window", "1024"]),
        6,
        &["512"],
    );
    refuses(
        &sandbox.run(&["perplexity", &model, "gone.txt"]),
        3,
        &["gone.txt"],
    );
    sandbox.file("b.txt", b"good \xff bad");
    refuses(
        &sandbox.run(&["perplexity", &model, "b.txt"]),
        4,
        &["b.txt", "UTF-8", "offset 5"],
    );
    refuses(&sandbox.run_with(&["run", &model], b"\xff"), 4, &["UTF-8"]);
    refuses(
        &sandbox.run_with(&["chat", &model], b"\xff\n"),
        4,
        &["UTF-8"],
    );
}

#[test]
fn values_that_make_no_sense() {
    let model = fixture("llama");
    let run = |extra: &[&str]| sprag(&[&["run", &model, "-p", "a"], extra].concat());
    refuses(&run(&["--temperature", "-1"]), 2, &["--temperature"]);
    refuses(&run(&["--temperature", "nan"]), 2, &["--temperature"]);
    refuses(&run(&["--top-p", "0"]), 2, &["--top-p"]);
    refuses(&run(&["--min-p", "1.5"]), 2, &["--min-p"]);
    refuses(&run(&["--repeat-penalty", "0"]), 2, &["--repeat-penalty"]);
    refuses(&run(&["--threads", "0"]), 2, &["--threads", "1 to 1024"]);
    refuses(&run(&["--context", "0"]), 2, &["--context"]);
    refuses(&run(&["--kv-type", "q8"]), 2, &["i16, f16, q8_0 or f32"]);
    refuses(&run(&["--greedy", "--temperature", "1"]), 2, &["--greedy"]);
    refuses(&run(&["-n", "many"]), 2, &["--max-tokens"]);
    refuses(&sprag(&["bench", &model, "--depth", "x"]), 2, &["--depth"]);
    refuses(
        &sprag(&["bench", &model, "--repeat", "0"]),
        2,
        &["--repeat"],
    );
    refuses(
        &sprag(&["perplexity", &model, "-", "--window", "1"]),
        2,
        &["--window"],
    );
    refuses(
        &sprag(&["lens", &model, "--spec-bandwidth", "-3"]),
        2,
        &["--spec-bandwidth"],
    );
    refuses(&sprag(&["rum"]), 2, &["run"]);
}

/// The sandbox's proxy refuses connections.
#[test]
fn without_a_network_the_main_job_takes_the_model_that_comes_with_it() {
    let sandbox = Sandbox::new();
    let done = sandbox.run(&[]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    for words in [
        "could not be fetched",
        "check the connection",
        "fits the processor's caches",
        "the experiments are left out",
    ] {
        assert!(done.err.contains(words), "{words:?} in {}", done.err);
    }
    assert!(sandbox.folder.path().join("sprag-report.html").exists());
    refuses(
        &sandbox.run(&["pull", "default"]),
        5,
        &["failed", "check the connection"],
    );
}

#[test]
fn an_unknown_chat_command_is_told() {
    let done = Sandbox::new().run_with(&["chat", &fixture("llama")], b"/frob\n");
    refuses(&done, 2, &["/help"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let sandbox = Sandbox::new();
    for arguments in [
        vec!["inspect", "M", "--tensors"],
        vec!["inspect", "M", "--json", "--tensors"],
        vec!["run", "M", "-p", "a", "-n", "400"],
        vec!["models"],
    ] {
        let model = fixture("llama");
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|a| if *a == "M" { model.as_str() } else { a })
            .collect();
        let mut child = sandbox
            .command(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(0),
            "{arguments:?}: {err}"
        );
        assert!(!err.contains("error"), "{arguments:?}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["chat", &fixture("llama"), "-n", "2"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"hi\n").unwrap();
    // After its first answer the command is certainly under way, and waits for the next turn.
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut String::new())
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
}

#[test]
fn a_report_that_cannot_be_written_leaves_nothing() {
    let sandbox = Sandbox::new();
    let done = sandbox.run_with(
        &["chat", &fixture("llama"), "-n", "1"],
        b"hi\n/save nowhere/talk.json\n",
    );
    assert_eq!(done.told().0, Some(1), "{}", done.err);
    assert!(
        done.err.contains("cannot write nowhere/talk.json"),
        "{}",
        done.err
    );
}

#[test]
fn servers_that_are_not_there() {
    let endpoint = |address: &str| sprag(&["lens", "endpoint", address]);
    refuses(
        &endpoint("127.0.0.1:1"),
        5,
        &["http://127.0.0.1:1/v1", "no connection"],
    );
    refuses(
        &endpoint("ftp://host"),
        2,
        &["neither http nor https", "http://127.0.0.1:8080"],
    );
    refuses(
        &sprag(&[
            "lens",
            "endpoint",
            "x",
            "--api-key-env",
            "SPRAG_NO_SUCH_KEY",
        ]),
        2,
        &["SPRAG_NO_SUCH_KEY"],
    );
}
