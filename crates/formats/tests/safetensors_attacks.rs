//! Opens every hostile checkpoint of `attacks/safetensors/` (files) and `attacks/folders/` (indices with their shards); each must
//! end in its one expected error.
//!
//! As with GGUF, the files are made here and kept in the repository: `BLESS_ATTACKS=1 cargo test -p formats --test
//! safetensors_attacks` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use formats::gguf::Foreign;
use formats::safetensors::{Checkpoint, Fault, SafetensorsError};

/// A hostile file, or a folder of them.
struct Attack {
    name: &'static str,
    files: BTreeMap<String, Vec<u8>>,
    expected: fn(&Fault) -> bool,
}

macro_rules! attack {
    ($name:literal, $bytes:expr, $expected:pat) => {
        Attack {
            name: $name,
            files: BTreeMap::from([(concat!($name, ".safetensors").to_owned(), $bytes.into())]),
            expected: |fault| matches!(fault, $expected),
        }
    };
}

macro_rules! folder {
    ($name:literal, $index:expr, [$(($shard:literal, $bytes:expr)),*], $expected:pat) => {
        Attack {
            name: $name,
            files: BTreeMap::from([
                ("model.safetensors.index.json".to_owned(), $index.into()),
                $(($shard.to_owned(), $bytes),)*
            ]),
            expected: |fault| matches!(fault, $expected),
        }
    };
}

/// A file: the head's length, the head, and so many bytes of data.
fn file(head: impl AsRef<[u8]>, data: usize) -> Vec<u8> {
    let head = head.as_ref();
    [&(head.len() as u64).to_le_bytes(), head, &vec![7; data]].concat()
}

/// The head's entry of an f32 vector.
fn entry(name: &str, len: usize, start: usize) -> String {
    let end = start + 4 * len;
    format!(r#""{name}":{{"dtype":"F32","shape":[{len}],"data_offsets":[{start},{end}]}}"#)
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

fn foreign() -> Vec<Attack> {
    vec![
        attack!("empty", *b"", Fault::Empty),
        attack!(
            "half-length",
            *b"\x08\0\0",
            Fault::NotSafetensors {
                foreign: Foreign::Unknown
            }
        ),
        attack!(
            "zeros",
            [0; 64],
            Fault::NotSafetensors {
                foreign: Foreign::Zeros
            }
        ),
        attack!(
            "gguf",
            *b"GGUF\x03\0\0\0\0\0\0\0",
            Fault::NotSafetensors {
                foreign: Foreign::Gguf
            }
        ),
        attack!(
            "html",
            *b"<!DOCTYPE html><title>404",
            Fault::NotSafetensors {
                foreign: Foreign::Html
            }
        ),
        attack!(
            "pytorch",
            *b"PK\x03\x04\x14\0\0\0\0\0",
            Fault::NotSafetensors {
                foreign: Foreign::Zip
            }
        ),
        attack!(
            "lfs-pointer",
            *b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            Fault::NotSafetensors {
                foreign: Foreign::LfsPointer
            }
        ),
    ]
}

fn heads() -> Vec<Attack> {
    let huge = [&u64::MAX.to_le_bytes()[..], b"{\"a\":{}}"].concat();
    let beyond = [&9u64.to_le_bytes()[..], b"{\"a\":{}}"].concat();
    let bomb = format!("{{\"w\":{}", "[".repeat(100_000));
    let deep_metadata = format!("{{\"__metadata__\":{}", "{\"a\":".repeat(50_000));
    vec![
        attack!("head-length-huge", huge, Fault::HeadLength { .. }),
        attack!("head-length-beyond", beyond, Fault::HeadLength { .. }),
        attack!(
            "head-length-zero",
            [&0u64.to_le_bytes()[..], b"{}"].concat(),
            Fault::Head { .. }
        ),
        attack!("head-list", file("[1]", 0), Fault::NotSafetensors { .. }),
        attack!("head-not-json", file("{\"w\":", 8), Fault::Head { .. }),
        attack!(
            "head-not-utf8",
            file(b"{\"\xff\xfe\":{}}", 0),
            Fault::Head { .. }
        ),
        attack!("head-two-objects", file("{}{}", 0), Fault::Head { .. }),
        attack!("head-nested", file(bomb, 0), Fault::Head { .. }),
        attack!(
            "metadata-nested",
            file(deep_metadata, 0),
            Fault::Head { .. }
        ),
        attack!(
            "entry-no-shape",
            file(r#"{"w":{"dtype":"F32","data_offsets":[0,4]}}"#, 4),
            Fault::Head { .. }
        ),
        attack!("entry-text", file(r#"{"w":"F32"}"#, 4), Fault::Head { .. }),
        attack!(
            "entry-shape-twice",
            file(
                r#"{"w":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}"#,
                4
            ),
            Fault::Head { .. }
        ),
        attack!(
            "entry-three-offsets",
            file(one("F32", "[1]", "[0,4,8]"), 4),
            Fault::Head { .. }
        ),
        attack!(
            "name-empty",
            file(format!("{{{}}}", entry("", 1, 0)), 4),
            Fault::NameLength { .. }
        ),
        attack!(
            "name-huge",
            file(format!("{{{}}}", entry(&"n".repeat(5000), 1, 0)), 4),
            Fault::NameLength { .. }
        ),
        attack!(
            "name-twice",
            file(format!("{{{},{}}}", entry("w", 1, 0), entry("w", 1, 4)), 8),
            Fault::Duplicate { .. }
        ),
        attack!(
            "name-control-characters",
            file(format!("{{{0},{0}}}", entry("\\u001b[2J", 0, 0)), 0),
            Fault::Duplicate { .. }
        ),
    ]
}

fn tensors() -> Vec<Attack> {
    let two = |first: (usize, usize), second: (usize, usize), data| {
        let (a, b) = (entry("a", first.0, first.1), entry("b", second.0, second.1));
        file(format!("{{{a},{b}}}"), data)
    };
    let half = u64::MAX / 2 + 1;
    vec![
        attack!(
            "type-unknown",
            file(one("Q4_0", "[32]", "[0,18]"), 18),
            Fault::UnknownType { .. }
        ),
        attack!(
            "type-control-characters",
            file(one("\\u001bc", "[1]", "[0,4]"), 4),
            Fault::UnknownType { .. }
        ),
        attack!(
            "shape-negative",
            file(one("F32", "[-1]", "[0,4]"), 4),
            Fault::Head { .. }
        ),
        attack!(
            "shape-fraction",
            file(one("F32", "[1.5]", "[0,6]"), 6),
            Fault::Head { .. }
        ),
        attack!(
            "shape-overflow",
            file(one("U8", &format!("[{half},2]"), "[0,0]"), 0),
            Fault::Size { .. }
        ),
        attack!(
            "shape-wraps-to-small",
            file(one("F32", &format!("[{half},2,1]"), "[0,4]"), 4),
            Fault::Size { .. }
        ),
        attack!(
            "bytes-overflow",
            file(one("F64", &format!("[{half}]"), "[0,8]"), 8),
            Fault::Size { .. }
        ),
        attack!(
            "half-a-byte",
            file(one("F4", "[3]", "[0,2]"), 2),
            Fault::Size { .. }
        ),
        attack!(
            "offsets-reversed",
            file(one("F32", "[1]", "[4,0]"), 4),
            Fault::Extent { .. }
        ),
        attack!(
            "offsets-too-few",
            file(one("F32", "[2]", "[0,4]"), 4),
            Fault::Extent { .. }
        ),
        attack!(
            "offsets-too-many",
            file(one("F32", "[1]", "[0,8]"), 8),
            Fault::Extent { .. }
        ),
        attack!(
            "offsets-huge",
            file(
                one("F32", "[1]", "[18446744073709551611,18446744073709551615]"),
                4
            ),
            Fault::OutOfFile { .. }
        ),
        attack!(
            "past-end",
            file(one("F32", "[2]", "[0,8]"), 7),
            Fault::OutOfFile { .. }
        ),
        attack!(
            "data-missing",
            file(one("F32", "[2]", "[0,8]"), 0),
            Fault::OutOfFile { .. }
        ),
        attack!("overlap", two((2, 0), (2, 4), 12), Fault::Overlap { .. }),
        attack!(
            "overlap-reversed",
            two((2, 4), (2, 0), 12),
            Fault::Overlap { .. }
        ),
        attack!("same-place", two((2, 0), (2, 0), 8), Fault::Overlap { .. }),
        attack!(
            "hole-first",
            file(one("F32", "[1]", "[4,8]"), 8),
            Fault::Hole { .. }
        ),
        attack!("hole-between", two((1, 0), (1, 8), 12), Fault::Hole { .. }),
        attack!(
            "hole-last",
            file(one("F32", "[1]", "[0,4]"), 4096),
            Fault::Hole { .. }
        ),
    ]
}

fn folders() -> Vec<Attack> {
    let map = |pairs: &str| format!("{{\"weight_map\":{{{pairs}}}}}");
    let shard = |name: &str| file(format!("{{{}}}", entry(name, 1, 0)), 4);
    let bomb = format!("{{\"weight_map\":{}", "{\"a\":".repeat(50_000));
    vec![
        folder!(
            "index-parent",
            map(r#""w":"../w.safetensors""#),
            [],
            Fault::ShardName { .. }
        ),
        folder!(
            "index-absolute",
            map(r#""w":"/etc/w.safetensors""#),
            [],
            Fault::ShardName { .. }
        ),
        folder!(
            "index-drive",
            map(r#""w":"C:\\w.safetensors""#),
            [],
            Fault::ShardName { .. }
        ),
        folder!(
            "index-hidden",
            map(r#""w":".safetensors""#),
            [],
            Fault::ShardName { .. }
        ),
        folder!(
            "index-pickle",
            map(r#""w":"w.bin""#),
            [("w.bin", vec![1])],
            Fault::ShardName { .. }
        ),
        folder!(
            "index-control-characters",
            map(r#""w":"\u001b[2J.safetensors""#),
            [],
            Fault::ShardName { .. }
        ),
        folder!("index-no-tensors", map(""), [], Fault::EmptyIndex),
        folder!("index-no-map", "{}", [], Fault::Json(_)),
        folder!(
            "index-map-is-list",
            r#"{"weight_map":["w"]}"#,
            [],
            Fault::Json(_)
        ),
        folder!("index-shard-is-number", map(r#""w":7"#), [], Fault::Json(_)),
        folder!("index-not-json", "<!DOCTYPE html>", [], Fault::Json(_)),
        folder!("index-nested", bomb, [], Fault::Json(_)),
        folder!(
            "shard-missing",
            map(r#""w":"a.safetensors""#),
            [],
            Fault::MissingShard { .. }
        ),
        folder!(
            "shard-damaged",
            map(r#""w":"a.safetensors""#),
            [("a.safetensors", vec![1])],
            Fault::NotSafetensors { .. }
        ),
        folder!(
            "tensor-in-no-shard",
            map(r#""v":"a.safetensors","w":"a.safetensors""#),
            [("a.safetensors", shard("w"))],
            Fault::IndexMismatch { .. }
        ),
        folder!(
            "tensor-not-listed",
            map(r#""v":"a.safetensors","w":"b.safetensors""#),
            [("a.safetensors", shard("v")), ("b.safetensors", shard("x"))],
            Fault::IndexMismatch { .. }
        ),
        folder!(
            "tensor-in-another-shard",
            map(r#""v":"a.safetensors","w":"b.safetensors""#),
            [("a.safetensors", shard("w")), ("b.safetensors", shard("v"))],
            Fault::IndexMismatch { .. }
        ),
        folder!(
            "tensor-in-two-shards",
            map(r#""v":"a.safetensors","w":"b.safetensors""#),
            [("a.safetensors", shard("w")), ("b.safetensors", shard("w"))],
            Fault::Duplicate { .. }
        ),
    ]
}

fn attacks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks")
}

fn check(attack: &Attack, place: &Path, opened: &Path) {
    for (name, bytes) in &attack.files {
        let path = place.join(name);
        if std::env::var_os("BLESS_ATTACKS").is_some() {
            fs::create_dir_all(place).expect("the folder is made");
            fs::write(&path, bytes).expect("the attack is written");
        }
        let found = fs::read(&path).expect("the attack is in the folder");
        assert!(
            found == *bytes,
            "{} differs from what the test makes",
            path.display()
        );
    }
    let error: SafetensorsError = Checkpoint::open(opened).expect_err(attack.name);
    assert!((attack.expected)(error.fault()), "{}: {error}", attack.name);
    let message = error.to_string();
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(
        message.contains(attack.name) && message.len() < 1000,
        "{message}"
    );
}

#[test]
fn every_attack_ends_in_its_error() {
    let place = attacks().join("safetensors");
    for attack in [foreign(), heads(), tensors()].iter().flatten() {
        check(
            attack,
            &place,
            &place.join(attack.name).with_extension("safetensors"),
        );
    }
    for attack in folders() {
        let place = attacks().join("folders").join(attack.name);
        check(&attack, &place, &place);
    }
}

#[test]
fn every_file_is_known_and_explained() {
    let files: Vec<&str> = [foreign(), heads(), tensors()]
        .iter()
        .flatten()
        .map(|a| a.name)
        .collect();
    let folders: Vec<&str> = folders().iter().map(|a| a.name).collect();
    for (place, known) in [("safetensors", files), ("folders", folders)] {
        let place = attacks().join(place);
        let readme = fs::read_to_string(place.join("README.md")).expect("the README is there");
        for name in &known {
            assert_eq!(
                readme.matches(&format!("`{name}`")).count(),
                1,
                "one line of the README explains {name}"
            );
        }
        for entry in fs::read_dir(&place).expect("the folder is there") {
            let path = entry.expect("the entry is readable").path();
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("a plain name");
            assert!(
                stem == "README" || known.contains(&stem),
                "{stem} is not made by this test"
            );
        }
    }
}

#[test]
fn paths_that_are_no_checkpoints_say_so() {
    let folder = attacks();
    let told = |path: &Path| {
        Checkpoint::open(path)
            .expect_err("no checkpoint")
            .to_string()
    };
    assert!(
        told(&folder).contains("is a directory without"),
        "{}",
        told(&folder)
    );
    assert!(told(&folder.join("none.safetensors")).contains("can't find the file"));
    assert!(!Checkpoint::is_meant_by(&folder.join("x.gguf")) && Checkpoint::is_meant_by(&folder));
}
