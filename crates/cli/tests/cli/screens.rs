//! What a person reads, word by word: compared with the files beside this one. `SPRAG_WRITE_SCREENS=1` writes them anew, for a
//! reviewer to read in the difference.

use std::path::Path;

use crate::sprag::{Sandbox, fixture};

fn compare(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/screens")
        .join(format!("{name}.txt"));
    if std::env::var_os("SPRAG_WRITE_SCREENS").is_some() {
        std::fs::write(&path, got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, want, "{name} differs from {}", path.display());
}

/// Runs in a sandbox; the screen is what both streams show, with this machine's paths taken out.
fn screen(arguments: &[&str]) -> String {
    let sandbox = Sandbox::new();
    std::fs::copy(fixture("llama"), sandbox.folder.path().join("tiny.gguf")).unwrap();
    let done = sandbox.run(arguments);
    let home = sandbox.folder.path().join("home").display().to_string();
    let shown = format!("{}{}", done.out, done.err).replace(&home, "HOME");
    format!(
        "$ sprag {}\n{shown}(exit code {})\n",
        arguments.join(" "),
        done.code.unwrap()
    )
}

#[test]
fn help() {
    compare("help", &screen(&["--help"]));
    for command in [
        "run",
        "chat",
        "models",
        "pull",
        "convert",
        "inspect",
        "bench",
        "perplexity",
        "lens",
        "ratchet",
        "judge",
        "tokenize",
    ] {
        let text = screen(&[command, "--help"]);
        assert_eq!(
            text.matches("Example: sprag ").count(),
            1,
            "one example in:\n{text}"
        );
    }
    compare("help-run", &screen(&["run", "--help"]));
    compare("help-convert", &screen(&["convert", "--help"]));
}

#[test]
fn reports() {
    compare(
        "inspect",
        &screen(&["inspect", "tiny.gguf", "--context", "256"]),
    );
    compare(
        "tokenize",
        &screen(&["tokenize", "tiny.gguf", "the tiny thé <|im_start|>"]),
    );
    compare("models", &screen(&["models"]));
}

#[test]
fn errors() {
    compare("unknown-model", &screen(&["run", "smolm2", "-p", "hi"]));
    compare("not-pulled", &screen(&["chat", "default"]));
    compare(
        "context",
        &screen(&["run", "tiny.gguf", "-p", "hi", "--context", "100000"]),
    );
    compare(
        "option",
        &screen(&["run", "tiny.gguf", "-p", "hi", "--top-p", "7"]),
    );
}
