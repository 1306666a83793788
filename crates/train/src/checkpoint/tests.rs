//! Foreign and damaged files, and a disk that refuses.

use std::path::Path;

use super::{Saved, write};
use crate::{Batch, Configuration, Weights, graph::Declared};

fn declared(width: usize) -> Vec<Declared> {
    let configuration = Configuration {
        layers: 1,
        width,
        ..Configuration::default()
    };
    let batch = Batch {
        sequences: 1,
        positions: 16,
    };
    configuration
        .graph(batch)
        .expect("a graph")
        .parameters()
        .to_vec()
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder =
        std::env::temp_dir().join(format!("sprag-checkpoint-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn what_is_written_is_read() {
    let folder = folder("same");
    let path = folder.join("one.safetensors");
    let declared = declared(32);
    let weights = Weights::initial(&declared, 3).expect("memory");
    write(&path, &"words", &declared, &[("weights", &weights)]).expect("written");
    let saved = Saved::open(&path).expect("a checkpoint");
    assert_eq!(saved.about::<String>().expect("words"), "words");
    let mut again = Weights::zeroed(&declared).expect("memory");
    saved
        .read("weights", &declared, &mut again)
        .expect("the same model");
    assert_eq!(again.all(), weights.all());
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn what_belongs_to_another_model_is_refused() {
    let folder = folder("other");
    let path = folder.join("one.safetensors");
    let small = declared(32);
    let weights = Weights::initial(&small, 3).expect("memory");
    write(&path, &1, &small, &[("weights", &weights)]).expect("written");
    let saved = Saved::open(&path).expect("a checkpoint");
    let large = declared(48);
    let mut into = Weights::zeroed(&large).expect("memory");
    let error = saved
        .read("weights", &large, &mut into)
        .expect_err("another width");
    assert!(error.to_string().contains("[256, 48]"), "{error}");
    let error = saved
        .read("mean", &small, &mut into)
        .expect_err("not there");
    assert!(
        error.to_string().contains("mean.token_embd.weight"),
        "{error}"
    );
    let error = saved
        .about::<crate::trainer::About>()
        .expect_err("a number");
    assert!(error.to_string().contains("another version"), "{error}");
    let mut bytes = std::fs::read(&path).expect("bytes");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, &bytes).expect("written");
    assert!(Saved::open(&path).is_err());
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_folder_that_refuses_leaves_what_was_there() {
    let declared = declared(32);
    let weights = Weights::zeroed(&declared).expect("memory");
    // Its space is full, always.
    let full = Path::new("/dev/full");
    if full.exists() {
        let folder = folder("full");
        let path = folder.join("one.safetensors");
        write(&path, &1, &declared, &[("weights", &weights)]).expect("written");
        let before = std::fs::read(&path).expect("bytes");
        std::os::unix::fs::symlink(full, path.with_extension("writing")).expect("a link");
        let error = write(&path, &2, &declared, &[("weights", &weights)]).expect_err("no space");
        assert!(error.to_string().contains("untouched"), "{error}");
        assert_eq!(std::fs::read(&path).expect("bytes"), before);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
