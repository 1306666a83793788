//! Reads every hostile `config.json` of `attacks/`; each must end in an error that names the field, without a panic.
//!
//! The files are made here and kept in the repository: `BLESS_ATTACKS=1 cargo test -p models --test config_attacks` writes them
//! anew.

mod bases;
mod list;

use std::fs;
use std::path::{Path, PathBuf};

use bases::{experts, good, granite, griffin, hybrid, kimi, windows};
use formats::json::{Document, JsonError};
use list::attacks;
use models::checkpoint::{CheckpointError, config_metadata};
use serde_json::Value;

fn understood(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let document: Result<Document, JsonError> = Document::from_bytes(path, bytes);
    config_metadata(&document?).map(drop)
}

/// The order of a JSON object's fields depends on how the workspace is built.
fn same(found: &[u8], made: &[u8]) -> bool {
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    found == made || parsed(found).is_some_and(|found| Some(found) == parsed(made))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks")
}

#[test]
fn every_attack_ends_in_its_error() {
    for (name, bytes, told) in attacks() {
        let path = folder().join(name).with_extension("json");
        if std::env::var_os("BLESS_ATTACKS").is_some() {
            fs::write(&path, &bytes).expect("the attack is written");
        }
        let found = fs::read(&path).expect("the attack is in the folder");
        assert!(
            same(&found, &bytes),
            "{name} differs from what the test makes"
        );
        let error = understood(&path, &found).expect_err(name).to_string();
        assert!(
            error.contains(told) && error.contains(name),
            "{name}: {error}"
        );
        assert!(
            !error.chars().any(char::is_control) && error.len() < 1000,
            "{error:?}"
        );
    }
    for config in [
        good(),
        hybrid(),
        windows(),
        granite(),
        kimi(),
        griffin(),
        experts(),
    ] {
        let bytes = serde_json::to_vec(&config).expect("JSON");
        understood(Path::new("good.json"), &bytes).expect("those that attacks change are good");
    }
}

#[test]
fn every_file_is_known_and_explained() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("the README is there");
    let known: Vec<&str> = attacks().iter().map(|attack| attack.0).collect();
    for name in &known {
        assert_eq!(
            readme.matches(&format!("`{name}`")).count(),
            1,
            "one line explains {name}"
        );
    }
    for entry in fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("readable").path();
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

#[test]
fn every_single_byte_may_change_without_a_panic() {
    for config in [good(), hybrid(), windows(), granite(), kimi(), experts()] {
        let good = serde_json::to_vec(&config).expect("JSON");
        for at in 0..good.len() {
            for byte in [0, b'"', b'{', b'[', b'0', b'9', b'-', b'e', 0xff] {
                let mut bytes = good.clone();
                bytes[at] = byte;
                let _either = understood(Path::new("changed.json"), &bytes);
            }
        }
    }
}
