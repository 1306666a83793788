//! Each rule on a small tree that breaks it, beside one that does not: a check that cannot fail checks nothing.

use super::tree::Tree;
use super::workspace::{Dependency, Member};
use super::*;

const ARCHITECTURE: &str = "\
# Architecture

Text.

    ops        operations.
               more about them
    kernels    fast versions
    formats    model files
    cli        commands

    not a list any more, but still indented
Arrows.

    example    of something else
";

/// `file:line` of every finding.
fn places(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{}:{}", finding.file, finding.line))
        .collect()
}

fn member(name: &str, depends_on: &[&str]) -> Member {
    let arrow = |key: &&str| Dependency {
        name: (*key).to_owned(),
        key: (*key).to_owned(),
    };
    let depends_on = depends_on.iter().map(arrow).collect();
    Member {
        name: name.to_owned(),
        manifest: format!("crates/{name}/Cargo.toml"),
        depends_on,
    }
}

fn layers(document: &str) -> Vec<layers::Layer> {
    layers::parse(document)
}

#[test]
fn the_list_ends_at_the_margin() {
    let document = ARCHITECTURE.replace("    not a list any more, but still indented\n", "");
    let names: Vec<_> = layers(&document)
        .into_iter()
        .map(|layer| (layer.name, layer.line))
        .collect();
    let expected = [("ops", 5), ("kernels", 7), ("formats", 8), ("cli", 9)];
    assert_eq!(names, expected.map(|(name, line)| (name.to_owned(), line)));
}

#[test]
fn crates_and_the_list_agree_both_ways() {
    let list = layers("    ops  operations\n    cli\n    ops  twice\n    ghost  nothing\n");
    let members = [member("ops", &[]), member("cli", &[]), member("lens", &[])];
    let expected = [
        "crates/lens/Cargo.toml:1",
        "ARCHITECTURE.md:2", // no purpose
        "ARCHITECTURE.md:3", // twice
        "ARCHITECTURE.md:4", // no such crate
    ];
    assert_eq!(places(&layers::check(&list, &members)), expected);
    assert_eq!(places(&layers::check(&[], &members)), ["ARCHITECTURE.md:1"]);
}

#[test]
fn arrows_point_upwards_only() {
    let list = layers(ARCHITECTURE);
    let tree = Tree::of(&[(
        "crates/ops/Cargo.toml",
        "[package]\n\n[dev-dependencies]\nkernels-x = 1\nkernels.workspace = true\n",
    )]);
    let check = |members: &[Member]| arrows::check(&list, members, &tree);
    assert_eq!(
        places(&check(&[member("ops", &["kernels"])])),
        ["crates/ops/Cargo.toml:5"]
    );
    assert_eq!(check(&[member("ops", &["ops"])]).len(), 1);
    assert_eq!(
        check(&[
            member("kernels", &["ops"]),
            member("cli", &["ops", "kernels", "formats"])
        ]),
        []
    );
}

#[test]
fn some_crates_know_less_than_their_place_allows() {
    let list = layers(ARCHITECTURE);
    let found = arrows::check(
        &list,
        &[member("formats", &["ops", "kernels"])],
        &Tree::of(&[]),
    );
    assert_eq!(found.len(), 1);
    assert!(found[0].what.contains("`kernels`"), "{}", found[0]);
    assert_eq!(
        arrows::check(&list, &[member("xtask", &["ops"])], &Tree::of(&[])).len(),
        1
    );
}

#[test]
fn every_crate_takes_the_lints() {
    let tree = Tree::of(&[
        (
            "crates/ops/Cargo.toml",
            "[package]\n[lints]\n# why\nworkspace = true\n",
        ),
        (
            "crates/cli/Cargo.toml",
            "[package]\nworkspace = true\n[lints]\n[dependencies]\n",
        ),
    ]);
    let found = manifests::check(&[member("ops", &[]), member("cli", &[])], &tree);
    assert_eq!(places(&found), ["crates/cli/Cargo.toml:1"]);
}

#[test]
fn rust_files_have_heads() {
    let tree = Tree::of(&[
        ("crates/a/src/good.rs", "//! Why.\n"),
        ("crates/a/src/empty.rs", ""),
        ("crates/a/src/blank.rs", "//!\n//! Late.\n"),
        ("crates/a/tests/late.rs", "use x;\n//! Late.\n"),
        ("script.py", "no head\n"),
    ]);
    let expected = [
        "crates/a/src/empty.rs:1",
        "crates/a/src/blank.rs:1",
        "crates/a/tests/late.rs:1",
    ];
    assert_eq!(places(&heads::check(&tree)), expected);
}

#[test]
fn banned_constructs_are_found_in_code_only() {
    for bad in [
        "#[allow(dead_code)]",
        "#![allow(dead_code)]",
        "    todo!()",
        "unimplemented!(\"later\")",
        "dbg!(x);",
        "fn f(x: Box<dyn Any>) {}",
        "fn f(x: Box<dyn std::any::Any + Send>) {}",
        "static mut COUNT: u32 = 0;",
    ] {
        let text = format!("//! Head.\n{bad}\n");
        assert_eq!(
            places(&bans::check(&Tree::of(&[("a.rs", &text)]))),
            ["a.rs:2"],
            "{bad}"
        );
        let hidden = format!("// {bad}\nconst S: &str = r#\"{bad}\"#;\n");
        assert_eq!(bans::check(&Tree::of(&[("a.rs", &hidden)])), [], "{bad}");
    }
    let payload = "fn f(x: Box<dyn Any + Send>) {}\n";
    assert_eq!(
        bans::check(&Tree::of(&[("crates/kernels/src/pool.rs", payload)])),
        []
    );
    let good = "#[expect(dead_code, reason = \"r\")]\nstatic N: u32 = 0;\nfn f(x: &'static mut u32, b: Box<dyn Read>) {}\n";
    assert_eq!(bans::check(&Tree::of(&[("a.rs", good)])), []);
}

#[test]
fn markers_are_found_in_comments_and_texts() {
    for marker in ["TODO", "FIXME", "XXX"] {
        let comment = format!("let x = 1;\n// {marker}: later\n");
        assert_eq!(
            places(&markers::check(&Tree::of(&[("a.rs", &comment)]))),
            ["a.rs:2"]
        );
        assert_eq!(
            markers::check(&Tree::of(&[("a.md", &format!("({marker})"))])).len(),
            1
        );
        let innocent = format!("const S: &str = \"{marker}\"; // no {marker}s, a {marker}_LIST\n");
        assert_eq!(markers::check(&Tree::of(&[("a.rs", &innocent)])), []);
    }
}

#[test]
fn names_say_something() {
    for bad in [
        "crates/core/src/lib.rs",
        "crates/a/src/utils.rs",
        "crates/a/tests/common/mod.rs",
        "scripts/helpers.sh",
    ] {
        assert_eq!(names::check(&Tree::of(&[(bad, "")])).len(), 1, "{bad}");
    }
    let inline = "pub mod misc {\n}\nuse core::fmt;\nmod helper;\nmod tests {}\n";
    assert_eq!(
        places(&names::check(&Tree::of(&[("a.rs", inline)]))),
        ["a.rs:1", "a.rs:4"]
    );
    assert_eq!(
        names::check(&Tree::of(&[
            ("crates/a/src/score.rs", ""),
            ("data/core/x.txt", "")
        ])),
        []
    );
}

#[test]
fn unsafe_stays_in_its_places() {
    let text = "#![deny(unsafe_code)]\n// unsafe\nunsafe { f() }\n";
    let tree = Tree::of(&[
        ("crates/models/src/a.rs", text),
        ("crates/kernels/src/a.rs", text),
    ]);
    assert_eq!(
        places(&unsafe_code::check(&tree)),
        ["crates/models/src/a.rs:3"]
    );
}

#[test]
fn libraries_do_not_print() {
    let text = "// println!\nprintln!(\"x\");\neprint!(\"y\");\nwriteln!(out, \"z\")?;\n";
    let tree = Tree::of(&[
        ("crates/lens/src/a.rs", text),
        ("crates/lens/src/a/tests.rs", text),
        ("crates/lens/tests/a.rs", text),
        ("crates/lens/build.rs", text),
        ("crates/cli/src/a.rs", text),
    ]);
    assert_eq!(
        places(&prints::check(&tree)),
        ["crates/lens/src/a.rs:2", "crates/lens/src/a.rs:3"]
    );
}

#[test]
fn no_path_of_one_machine() {
    for root in ["root", "work", "home", "Users"] {
        for bad in [
            format!("see /{root}/x"),
            format!("\"/{root}\""),
            format!("X=/{root}/y"),
            format!("file:///{root}: at /{root}"),
        ] {
            assert_eq!(
                paths::check(&Tree::of(&[("README.md", &bad)])).len(),
                1,
                "{bad}"
            );
        }
        let relative = format!(
            "a/{root}/b https://host/{root}/ </{root}> $X/{root} ./{root} /{root}er /proc/{root}"
        );
        assert_eq!(
            paths::check(&Tree::of(&[("README.md", &relative)])),
            [],
            "{relative}"
        );
    }
}

#[test]
fn long_files_warn_then_fail() {
    let of = |path: &str, lines: usize| {
        let found = lengths::check(&Tree::of(&[(path, &"x\n".repeat(lines))]));
        found.first().map(|finding| finding.severity)
    };
    assert_eq!(of("a.rs", 500), None);
    assert_eq!(of("a.rs", 501), Some(Severity::Warning));
    assert_eq!(of("a.rs", 801), Some(Severity::Failure));
    assert_eq!(of("a/tests.rs", 1000), None);
    assert_eq!(of("tests/a.rs", 1001), Some(Severity::Failure));
    assert_eq!(of("README.md", 5000), None);
}

#[test]
fn big_files_live_with_the_data_and_have_a_bound() {
    let sized = |sizes: &[(&str, u64)]| {
        let mut tree = Tree::of(
            &sizes
                .iter()
                .map(|&(path, _)| (path, ""))
                .collect::<Vec<_>>(),
        );
        tree.files
            .iter_mut()
            .zip(sizes)
            .for_each(|(file, &(_, bytes))| file.bytes = bytes);
        places(&sizes::check(&tree))
    };
    assert_eq!(
        sized(&[("docs/a.png", 1 << 20), ("data/a.bin", 2 << 20)]),
        [""; 0]
    );
    assert_eq!(sized(&[("docs/a.png", (1 << 20) + 1)]), ["docs/a.png:1"]);
    assert_eq!(
        sized(&[
            ("data/a", 22 << 20),
            ("crates/a/tests/fixtures/b", 19 << 20)
        ]),
        ["data/a:1"]
    );
}

#[test]
fn a_finding_says_where_what_and_what_to_do() {
    let failure = Finding::failure("a.rs", 3, "wrong", "repair");
    assert_eq!(failure.to_string(), "a.rs:3: wrong: repair");
    let warning = Finding::warning("a.rs", 3, "long", "split");
    assert_eq!(warning.to_string(), "a.rs:3: warning: long: split");
    let report = Report {
        files: 1,
        findings: vec![failure, warning],
    };
    assert_eq!((report.failures(), report.warnings()), (1, 1));
}
