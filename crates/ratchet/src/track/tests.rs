//! Every field that is refused is named; no text panics; the strictest glob wins.

use std::path::Path;

use proptest::prelude::*;

use super::{Part, Track};

const GOOD: &str = r#"
name = "t"
[artefact]
mutable = ["src/**", "train.py"]
sealed = ["judge.py"]
data = ["data/**"]
hidden = ["hidden/"]
program = "program.md"
seeds = [{ file = "train.py", line = "SEED = {}" }]
[build]
command = ["make"]
[run]
command = ["./main"]
time = "5m"
output = ["out/*.json"]
stdin = "data/in"
[judge]
command = ["python3", "judge.py"]
metric = "loss"
better = "lower"
kind = "score"
line = "^loss: ([0-9.]+)"
[judge.second]
command = ["python3", "judge.py", "again"]
within = 0.01
[[constraint]]
metric = "kl"
at_most = 0.01
[[proposer]]
kind = "search"
method = "tpe"
knob = [{ file = "train.py", line = "LR = {}", range = [1e-5, 1.0], log = true }]
[[proposer]]
kind = "command"
command = ["agent"]
[[proposer]]
kind = "human"
"#;

#[test]
fn a_track_of_everything_is_read() {
    let track = Track::parse(GOOD).unwrap();
    assert_eq!(track.name(), "t");
    assert_eq!(track.proposers.len(), 3);
    assert_eq!(track.seeds.len(), 1);
}

#[test]
fn a_budget_in_units_and_joules_is_read() {
    let budget = "joules = 500\n[run.budget]\nunit = \"tokens\"\nmost = 1000\nserver = [\"python3\", \"serve.py\"]";
    let track = Track::parse(&GOOD.replace("stdin = \"data/in\"", budget)).unwrap();
    let run = track.file.run.unwrap();
    assert_eq!(run.joules, Some(500.0));
    assert_eq!(run.budget.unwrap().finish.as_secs(), 60);
    // The server's replies need the standard input.
    let both = GOOD.replace(
        "stdin = \"data/in\"",
        &format!("stdin = \"data/in\"\n{budget}"),
    );
    assert!(
        Track::parse(&both)
            .unwrap_err()
            .to_string()
            .contains("`run.stdin`")
    );
}

/// What is changed in the good track, and the field that the error has to name.
const BAD: &[(&str, &str, &str)] = &[
    ("stdin = \"data/in\"", "joules = 0", "`run.joules`"),
    (
        "[[constraint]]",
        "[sandbox]\nprocesses = 0\n[[constraint]]",
        "`sandbox.processes`",
    ),
    (
        "[[constraint]]",
        "[sandbox]\nmemory = \"1 KiB\"\n[[constraint]]",
        "`sandbox.memory`",
    ),
    (
        "[[constraint]]",
        "[sandbox]\ndisk = 5\n[[constraint]]",
        "`sandbox.disk`",
    ),
    (
        "[[constraint]]",
        "[sandbox]\nprocessors = []\n[[constraint]]",
        "`sandbox.processors`",
    ),
    ("stdin = \"data/in\"", "joules = nan", "`run.joules`"),
    (
        "stdin = \"data/in\"",
        "budget = { unit = \"\", most = 1, server = [\"s\"] }",
        "`run.budget.unit`",
    ),
    (
        "stdin = \"data/in\"",
        "budget = { unit = \"x\", most = 0, server = [\"s\"] }",
        "`run.budget.most`",
    ),
    (
        "stdin = \"data/in\"",
        "budget = { unit = \"x\", most = 1, server = [] }",
        "`run.budget.server`",
    ),
    ("name = \"t\"", "name = \"../t\"", "`name`"),
    ("name = \"t\"", "name = \"\"", "`name`"),
    ("name = \"t\"", "name = \"t\"\nnmae = 1", "nmae"),
    ("[\"src/**\", \"train.py\"]", "[]", "`artefact.mutable`"),
    ("\"src/**\", ", "\"/src\", ", "`artefact.mutable[0]`"),
    ("\"src/**\", ", "\"../src\", ", "`artefact.mutable[0]`"),
    ("\"src/**\", ", "\"src/[\", ", "`artefact.mutable[0]`"),
    (
        "hidden = [\"hidden/\"]",
        "hidden = [\"\"]",
        "`artefact.hidden[0]`",
    ),
    (
        "program = \"program.md\"",
        "program = \"/program.md\"",
        "`artefact.program`",
    ),
    (
        "program = \"program.md\"",
        "program = \"../program.md\"",
        "`artefact.program`",
    ),
    (
        "line = \"SEED = {}\"",
        "line = \"SEED\"",
        "`artefact.seeds[0]`",
    ),
    (
        "seeds = [{ file = \"train.py\"",
        "seeds = [{ file = \"judge.py\"",
        "`artefact.seeds[0]`",
    ),
    ("command = [\"make\"]", "command = []", "`build.command`"),
    (
        "command = [\"./main\"]",
        "command = [\"\"]",
        "`run.command`",
    ),
    ("time = \"5m\"", "time = \"soon\"", "time"),
    ("time = \"5m\"", "time = -1.0", "time"),
    ("time = \"5m\"", "time = nan", "time"),
    ("output = [\"out/*.json\"]", "output = []", "`run.output`"),
    (
        "output = [\"out/*.json\"]",
        "output = [\"/etc/*\"]",
        "`run.output[0]`",
    ),
    (
        "stdin = \"data/in\"",
        "stdin = \"hidden/in\"",
        "`run.stdin`",
    ),
    ("stdin = \"data/in\"", "stdin = \"../in\"", "`run.stdin`"),
    (
        "stdin = \"data/in\"",
        "stdin = \"data/../hidden/in\"",
        "`run.stdin`",
    ),
    (
        "command = [\"python3\", \"judge.py\"]",
        "command = []",
        "`judge.command`",
    ),
    (
        "kind = \"score\"",
        "kind = \"score\"\nclock = \"judge\"",
        "`judge.clock`",
    ),
    (
        "kind = \"score\"",
        "kind = \"score\"\nrepeats = 0",
        "`judge.repeats`",
    ),
    (
        "kind = \"score\"",
        "kind = \"score\"\nrepeats = 101",
        "`judge.repeats`",
    ),
    ("kind = \"score\"", "kind = \"beauty\"", "kind"),
    ("([0-9.]+)\"", "[0-9.]+\"", "`judge.line`"),
    ("([0-9.]+)\"", "([0-9.]+\"", "`judge.line`"),
    ("([0-9.]+)\"", "(a{9999}){9999}\"", "`judge.line`"),
    ("within = 0.01", "within = nan", "`judge.second.within`"),
    ("within = 0.01", "within = -0.01", "`judge.second.within`"),
    (
        "[\"python3\", \"judge.py\", \"again\"]",
        "[]",
        "`judge.second.command`",
    ),
    ("at_most = 0.01", "", "`constraint[0]`"),
    ("at_most = 0.01", "at_most = inf", "`constraint[0]`"),
    ("at_most = 0.01", "at_least = nan", "`constraint[0]`"),
    (
        "file = \"train.py\", line = \"LR",
        "file = \"judge.py\", line = \"LR",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0], log = true",
        "",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0]",
        "range = [1.0, 1e-5]",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0]",
        "range = [0.0, 1.0]",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0]",
        "range = [nan, 1.0]",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0]",
        "range = [\"a\", 1.0]",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0], log = true",
        "range = [-9223372036854775808, 9223372036854775807]",
        "`proposer[0].knob[0]`",
    ),
    (
        "range = [1e-5, 1.0], log = true",
        "range = [1, 4], step = 9",
        "`proposer[0].knob[0]`",
    ),
    (
        "knob = [{ file",
        "name = \"a\\nb\"\nknob = [{ file",
        "`proposer[0].name`",
    ),
    (
        "kind = \"human\"",
        "kind = \"human\"\nname = \"command\"",
        "`proposer[2]`",
    ),
    ("command = [\"agent\"]", "command = [\"\"]", "`proposer[1]`"),
    (
        "range = [1e-5, 1.0], log = true }",
        "range = [1, 2] }, { file = \"train.py\", line = \"LR = {}\", range = [3, 4] }",
        "`proposer[0].knob[1]`",
    ),
];

#[test]
fn every_error_names_its_field() {
    for (old, new, named) in BAD {
        assert!(GOOD.contains(old), "{old}");
        let text = GOOD.replace(old, new);
        match Track::parse(&text) {
            Ok(_) => panic!("{new} was taken"),
            Err(error) => assert!(error.to_string().contains(named), "{new}: {error}"),
        }
    }
}

#[test]
fn gate_settings_are_checked_with_the_rest() {
    let error = Track::parse(&format!("{GOOD}\n[gate]\nq = 2.0\n")).unwrap_err();
    assert!(
        error.to_string().contains("`gate`") && error.to_string().contains("`q`"),
        "{error}"
    );
}

#[test]
fn a_timing_track_needs_something_to_time() {
    let text = "name = \"t\"\n[artefact]\nmutable = [\"a\"]\n[judge]\nmetric = \"s\"\nbetter = \"lower\"\nkind = \"timing\"\n";
    assert!(
        Track::parse(text)
            .unwrap_err()
            .to_string()
            .contains("`run`")
    );
    let text = format!("{text}[run]\ncommand = [\"./a\"]\noutput = [\"o\"]\n");
    assert!(Track::parse(&text).is_ok());
}

#[test]
fn the_strictest_glob_wins() {
    let text = GOOD
        .replace("[\"src/**\", \"train.py\"]", "[\"**\"]")
        .replace("\"judge.py\"]\ndata", "\"judge.py\", \"data/x\"]\ndata");
    let globs = Track::parse(&text).unwrap().globs;
    let part = |path: &str| globs.part(Path::new(path));
    assert_eq!(part("src/a.py"), Part::Mutable);
    assert_eq!(part("judge.py"), Part::Sealed);
    assert_eq!(part("data/x"), Part::Data);
    assert_eq!(part("hidden/deep/x"), Part::Hidden);
    for never in ["track.toml", "program.md"] {
        assert_eq!(part(never), Part::Sealed, "{never}");
    }
    for never in [
        ".git/config",
        ".gitattributes",
        "sub/.gitmodules",
        ".GitIgnore",
        "a/.git",
        "git~1/config",
        ".sprag/HISTORY.md",
    ] {
        assert_eq!(part(never), Part::Fixed, "{never}");
    }
}

#[test]
fn a_star_stays_in_its_folder() {
    let text = GOOD.replace(
        "[\"src/**\", \"train.py\"]",
        "[\"./src/*.py\", \"train.py\"]",
    );
    let globs = Track::parse(&text).unwrap().globs;
    assert_eq!(globs.part(Path::new("src/a.py")), Part::Mutable);
    assert_eq!(globs.part(Path::new("src/deep/a.py")), Part::Fixed);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,400}") {
        let _taken = Track::parse(&text);
    }

    #[test]
    fn no_change_of_a_good_track_panics(at in 0usize..GOOD.len(), length in 0usize..30, new in "[\\PC\n]{0,12}") {
        let bytes = GOOD.as_bytes();
        let end = (at + length).min(bytes.len());
        let mut text = bytes[..at].to_vec();
        text.extend_from_slice(new.as_bytes());
        text.extend_from_slice(&bytes[end..]);
        let _taken = Track::parse(&String::from_utf8_lossy(&text));
    }
}
