//! The ratchet as a user meets it: the track of `init`, run, looked at, checked, exported; and what it refuses.
//!
//! The track runs Python in a sealed folder; a machine that can seal nothing says so, and these tests then fail with its words.

use std::process::Command;

use crate::sprag::{Done, Sandbox};

fn git(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(sandbox.folder.path().join("demo"))
        .args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The track of `init`, committed, with a judge whose noise is small.
fn demo() -> Sandbox {
    let sandbox = Sandbox::new();
    let done = sandbox.run(&["ratchet", "init", "demo"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    git(&sandbox, &["init", "-q"]);
    git(&sandbox, &["add", "-A"]);
    git(&sandbox, &["commit", "-qm", "start"]);
    sandbox
}

fn ratchet(sandbox: &Sandbox, arguments: &[&str]) -> Done {
    let mut words = vec!["ratchet"];
    words.extend(arguments);
    sandbox.run(&words)
}

#[test]
fn a_track_is_run_looked_at_checked_and_exported() {
    let sandbox = demo();
    let before = git(&sandbox, &["status", "--porcelain"]) + &git(&sandbox, &["rev-parse", "HEAD"]);
    let done = ratchet(&sandbox, &["run", "demo", "--experiments", "3"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(
        done.err.contains("candidates are sealed by"),
        "{}",
        done.err
    );
    assert!(done.out.contains("3 experiments"), "{}", done.out);
    // Nothing of the user's was touched.
    let after = git(&sandbox, &["status", "--porcelain"]) + &git(&sandbox, &["rev-parse", "HEAD"]);
    assert_eq!(before, after);

    let status = ratchet(&sandbox, &["status", "demo", "--json"]).json();
    assert_eq!(status["schema"], "sprag.ratchet-status/1");
    assert_eq!(status["experiments"], 3);
    assert_eq!(status["running"], false);
    let log = ratchet(&sandbox, &["log", "demo", "--json"]).json();
    assert_eq!(log["experiments"].as_array().unwrap().len(), 3);
    let commit = log["experiments"][0]["proposal"]["commit"]
        .as_str()
        .unwrap();
    let candidate = git(&sandbox, &["rev-parse", "refs/sprag/demo/candidates/1"]);
    assert_eq!(candidate.trim(), commit);
    let shown = ratchet(&sandbox, &["show", "1", "demo"]);
    assert!(shown.out.contains("--- a/solve.py"), "{}", shown.out);
    // What is no better on public data is not asked about on hidden data.
    assert!(shown.out.contains("judge (public)"), "{}", shown.out);

    let verified = ratchet(&sandbox, &["verify", "demo"]);
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    assert!(verified.out.contains("one chain"), "{}", verified.out);
    let rows = ratchet(
        &sandbox,
        &[
            "query",
            "select count(*) from experiments",
            "demo",
            "--json",
        ],
    )
    .json();
    assert_eq!(rows["rows"][0][0], 3);
    let refused = ratchet(&sandbox, &["query", "delete from entries", "demo"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);

    let table = ratchet(&sandbox, &["export", "-", "demo"]);
    assert!(
        table
            .out
            .starts_with("commit\terror\tmemory_gb\tstatus\tdescription\n"),
        "{}",
        table.out
    );
    assert_eq!(table.out.lines().count(), 4);
    assert_eq!(
        ratchet(&sandbox, &["report", "demo", "--html", "story.html"]).code,
        Some(0)
    );
    let story = std::fs::read_to_string(sandbox.folder.path().join("story.html")).unwrap();
    assert!(
        story.contains("Score over experiments") && !story.contains("http://"),
        "{story}"
    );

    let made = ratchet(&sandbox, &["make", "demo", "-o", "kept", "--json"]).json();
    assert_eq!(made["schema"], "sprag.ratchet-make/1");
    assert_eq!(made["commit"], status["champion"]);
    let kept = sandbox.folder.path().join("kept/answer.json");
    assert!(kept.is_file());
    let again = ratchet(&sandbox, &["make", "demo", "-o", "kept"]);
    assert_eq!(again.code, Some(2), "{}", again.err);
    assert!(again.err.contains("kept is there already"), "{}", again.err);
    let nobody = ratchet(
        &sandbox,
        &["make", "demo", "-o", "other", "--experiment", "9"],
    );
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);

    // It goes on where it was, and a person's change is next.
    let solve = sandbox.folder.path().join("demo/solve.py");
    let text = std::fs::read_to_string(&solve).unwrap();
    std::fs::write(
        &solve,
        format!("{text}\n# A person was here.\nPERSON = 1\n"),
    )
    .unwrap();
    assert_eq!(
        ratchet(&sandbox, &["propose", "demo", "-m", "a person's change"]).code,
        Some(0)
    );
    let more = ratchet(&sandbox, &["resume", "demo", "--experiments", "1"]);
    assert_eq!(more.code, Some(0), "{}", more.err);
    let fourth = ratchet(&sandbox, &["show", "4", "demo", "--json"]).json();
    assert_eq!(fourth["proposal"]["proposer"], "human");
    assert_eq!(fourth["proposal"]["title"], "a person's change");
    assert_eq!(ratchet(&sandbox, &["finalize", "demo"]).code, Some(0));
}

#[test]
fn what_cannot_be_run_says_why_and_what_to_do() {
    let sandbox = Sandbox::new();
    let (code, words) = told(&ratchet(&sandbox, &["run", "nowhere"]));
    assert!(
        code == Some(3) && words.contains("nowhere"),
        "{code:?} {words}"
    );

    sandbox.file(
        "broken/track.toml",
        b"name = \"broken\"\n[artefact]\nmutabel = []\n",
    );
    let (code, words) = told(&ratchet(&sandbox, &["run", "broken"]));
    assert!(
        code == Some(4) && words.contains("mutabel"),
        "{code:?} {words}"
    );

    assert_eq!(ratchet(&sandbox, &["init", "demo"]).code, Some(0));
    let (code, words) = told(&ratchet(&sandbox, &["init", "demo"]));
    assert!(
        code != Some(0) && words.contains("there already"),
        "{code:?} {words}"
    );
    let (code, words) = told(&ratchet(&sandbox, &["run", "demo"]));
    assert!(code == Some(3) && words.contains("git"), "{code:?} {words}");
    git(&sandbox, &["init", "-q"]);
    let (code, words) = told(&ratchet(&sandbox, &["run", "demo"]));
    assert!(
        code == Some(3) && words.contains("no commit yet"),
        "{code:?} {words}"
    );
    let (code, words) = told(&ratchet(&sandbox, &["status", "demo"]));
    assert!(
        code == Some(3) && words.contains("not been run"),
        "{code:?} {words}"
    );
}

#[test]
fn a_sealed_file_that_changed_ends_the_epoch() {
    let sandbox = demo();
    assert_eq!(
        ratchet(&sandbox, &["run", "demo", "--experiments", "0"]).code,
        Some(0)
    );
    let judge = sandbox.folder.path().join("demo/judge.py");
    let text = std::fs::read_to_string(&judge).unwrap();
    std::fs::write(&judge, format!("{text}\n# softer\n")).unwrap();
    let (code, words) = told(&ratchet(&sandbox, &["run", "demo", "--experiments", "1"]));
    assert!(
        code == Some(4) && words.contains("judge.py"),
        "{code:?} {words}"
    );
    let done = ratchet(&sandbox, &["reseal", "demo", "--why", "a softer judge"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("epoch 2"), "{}", done.out);
    let status = ratchet(&sandbox, &["status", "demo", "--json"]).json();
    assert_eq!(status["epoch"], 2);
}

#[test]
fn the_gate_is_simulated_beside_the_naive_rule() {
    let sandbox = Sandbox::new();
    let done = ratchet(
        &sandbox,
        &[
            "gate",
            "simulate",
            "--runs",
            "20",
            "--experiments",
            "50",
            "--effect",
            "0",
            "--json",
        ],
    );
    let report = done.json();
    let table = &report["tables"][0];
    let false_merges = |rule: &str| table[rule]["false_merges"].as_f64().unwrap();
    assert!(
        false_merges("naive") > 1.0 && false_merges("ours") < 0.3,
        "{table}"
    );
}

fn told(done: &Done) -> (Option<i32>, String) {
    (done.code, done.err.clone())
}
