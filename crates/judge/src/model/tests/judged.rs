//! What is drawn, what the engine gets, and which faults are the candidate's.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::{Flaw, Options, run, sample};
use super::workshop::{Draft, small};
use crate::{Answer, JudgeError, Refusal, Split, Told};

fn told(artefact: &Path, split: Split, seed: u64) -> Told {
    Told {
        artefact: artefact.to_owned(),
        champion: None,
        split,
        seed,
    }
}

fn options(folder: &Path) -> Options {
    Options {
        sample_bytes: 64,
        threads: 2,
        ..Options::of(folder.join("public"), folder.join("hidden"))
    }
}

proptest! {
    #[test]
    fn a_sample_of_text_is_text(text in "\\PC{0,200}", bytes in 0_usize..80, seed: u64) {
        let found = sample(text.as_bytes(), bytes, seed);
        prop_assert!(str::from_utf8(found).is_ok());
        prop_assert!(found.len() <= bytes.max(text.len().min(bytes)) || text.len() < bytes);
        prop_assert!(found.len() + 6 >= bytes.min(text.len()));
        prop_assert_eq!(found, sample(text.as_bytes(), bytes, seed));
    }

    #[test]
    fn a_sample_of_anything_is_one(text in prop::collection::vec(any::<u8>(), 0..200), bytes: u8, seed: u64) {
        prop_assert!(sample(&text, bytes.into(), seed).len() <= text.len());
    }
}

#[test]
fn every_place_is_drawn() {
    let text: Vec<u8> = (0..40).collect();
    let mut seen = [false; 31];
    for seed in 0..1000 {
        let found = sample(&text, 10, seed);
        assert_eq!(found.len(), 10);
        seen[usize::from(found[0])] = true;
    }
    assert_eq!(seen, [true; 31]);
    assert_eq!(sample(&text, 40, 7), text);
    assert_eq!(sample(&text, 41, 7), text);
}

#[test]
fn a_score_is_what_the_engine_reads() {
    let folder = tempfile::tempdir().unwrap();
    let text = |word: &str| word.repeat(100);
    fs::write(folder.path().join("public"), text("open to all ")).unwrap();
    fs::write(folder.path().join("hidden"), text("nobody knows\0")).unwrap();
    let draft = Draft::of(&small());
    fs::write(folder.path().join("model.safetensors"), draft.bytes()).unwrap();
    let options = options(folder.path());
    let json = |split| {
        serde_json::to_value(run(&options, &told(folder.path(), split, 5)).unwrap()).unwrap()
    };
    let public = json(Split::Public);
    assert_eq!(
        (public["bytes"].as_u64(), public["tokens"].as_u64()),
        (Some(64), Some(64))
    );
    assert!(
        public["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    let own = draft
        .model()
        .score(sample(text("open to all ").as_bytes(), 64, 5), 1024, 1)
        .unwrap();
    assert_eq!(public["value"].as_f64(), Some(own.bits_per_byte()));
    let hidden = json(Split::Hidden);
    assert!(
        hidden["bytes"]
            .as_u64()
            .is_some_and(|bytes| (59..64).contains(&bytes)),
        "{hidden}"
    );
    assert_ne!(public["value"], hidden["value"]);
    assert_eq!(hidden["value"], json(Split::Block)["value"]);
}

#[test]
fn a_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["public", "hidden"] {
        fs::write(folder.path().join(name), "text ".repeat(100)).unwrap();
    }
    let options = options(folder.path());
    let refusal = || match run(&options, &told(folder.path(), Split::Public, 1)) {
        Ok(Answer::Refused {
            refused: Refusal::Model(flaw),
        }) => flaw,
        other => panic!("{other:?}"),
    };
    let file = folder.path().join("model.safetensors");
    assert!(matches!(refusal(), Flaw::File { .. }));
    std::os::unix::fs::symlink(folder.path().join("public"), &file).unwrap();
    assert!(matches!(refusal(), Flaw::File { .. }));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(refusal(), Flaw::File { .. }));
    fs::remove_dir(&file).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(refusal(), Flaw::File { .. }));
    fs::remove_file(&file).unwrap();
    // A file of holes takes no room on the disk, and none in memory either.
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(refusal(), Flaw::Large { what: "bytes", .. }));
}

#[test]
fn what_the_track_does_wrong_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let merges = serde_json::json!({"schema": "sprag.model/1", "model": small(), "positions": 9, "tokenizer": {"merges": []}});
    fs::write(
        folder.path().join("model.safetensors"),
        Draft::about(merges).bytes(),
    )
    .unwrap();
    fs::write(folder.path().join("public"), [0xE9; 100]).unwrap();
    fs::write(folder.path().join("hidden"), [0; 100]).unwrap();
    let options = options(folder.path());
    let error = |options: &Options, split| {
        run(options, &told(folder.path(), split, 1)).map_or_else(|e| e, |found| panic!("{found:?}"))
    };
    assert!(
        error(&options, Split::Public)
            .to_string()
            .contains("expected UTF-8")
    );
    assert!(
        error(&options, Split::Hidden)
            .to_string()
            .contains("between NUL bytes")
    );
    let more = Options {
        sample_bytes: 101,
        ..options.clone()
    };
    assert!(matches!(
        error(&more, Split::Public),
        JudgeError::Text { bytes: 100, .. }
    ));
    for wrong in [
        Options {
            sample_bytes: 63,
            ..options.clone()
        },
        Options {
            sample_bytes: (1 << 20) + 1,
            ..options.clone()
        },
        Options {
            window: 0,
            ..options.clone()
        },
        Options {
            threads: 0,
            ..options.clone()
        },
        Options {
            threads: 257,
            ..options.clone()
        },
    ] {
        assert!(matches!(
            error(&wrong, Split::Public),
            JudgeError::Option { .. }
        ));
    }
}
