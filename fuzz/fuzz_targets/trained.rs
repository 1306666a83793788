//! Reads any bytes as a file that training left: a model, a checkpoint of a run, or an error that can be shown.
//!
//! From the repository's root, after `cargo install cargo-fuzz`, on the stable compiler:
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run trained fuzz/corpus/trained -- -max_total_time=180

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use train::{checkpoint::Saved, model_file::ModelFile};

/// A file in memory: both readers map what they read.
static PLACE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/sprag-fuzz-{}", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    let path = PLACE.as_path();
    if fs::write(path, bytes).is_err() {
        return;
    }
    let is_model = ModelFile::is_at(path);
    match ModelFile::open(path) {
        Ok(model) => {
            assert!(is_model);
            let _parameters = model.parameters();
            if let Ok(exported) = model.gguf(path, "fuzz", None) {
                drop(exported);
            }
        }
        Err(error) => assert!(error.to_string().len() < 4000),
    }
    match Saved::open(path) {
        Ok(saved) => {
            let _about = saved.about::<train::trainer::About>();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
