//! What is drawn, and files that are none.

use std::fs;

use proptest::prelude::*;

use super::super::{Flaw, Model, sample};

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
fn a_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let refusal = || Model::open(&file).map_or_else(|flaw| flaw, |model| panic!("{model:?}"));
    assert!(matches!(refusal(), Flaw::File { .. }));
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
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
