//! A file is judged as it was trained, and nothing of a foreign one is believed.

use std::path::PathBuf;

use corpus::{Document, Splits, Tokenizer};
use kernels::training::Machine;

use super::{ModelFile, write};
use crate::{Batch, Configuration, Mixer, Weights};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sprag-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn small() -> Configuration {
    Configuration {
        layers: 2,
        width: 32,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        hidden: 48,
        mixers: vec![Mixer::GatedDelta, Mixer::Full],
        ..Configuration::default()
    }
}

fn written(path: &std::path::Path, model: &Configuration, spread: f32) -> Weights {
    let batch = Batch {
        sequences: 1,
        positions: 1,
    };
    let graph = model.graph(batch).expect("a graph");
    let mut weights = Weights::initial(graph.parameters(), 3).expect("memory");
    weights.all_mut().iter_mut().for_each(|w| *w *= spread);
    let both = (graph.parameters(), &weights);
    write(path, model, 24, &Tokenizer::Bytes, both).expect("written");
    weights
}

#[test]
fn a_model_without_knowledge_needs_eight_bits() {
    let folder = folder("eight-bits");
    let path = folder.join("model.safetensors");
    written(&path, &small(), 0.0);
    let file = ModelFile::open(&path).expect("a model");
    let mut machine = Machine::new(1).expect("a thread");
    let text = b"\0Two\0documents\0";
    let score = file.score(&mut machine, text, 1024).expect("a score");
    assert!((score.bits_per_byte - 8.0).abs() < 1e-6, "{score:?}");
    assert_eq!(score.bytes, "Two".len() + "documents".len());
    assert!(file.score(&mut machine, b"\0", 1024).is_err());
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn windows_are_those_of_an_evaluation() {
    let folder = folder("windows");
    let path = folder.join("model.safetensors");
    let model = small();
    let weights = written(&path, &model, 4.0);
    let document = |text: &str| Document {
        name: String::new(),
        text: text.to_owned(),
    };
    let whole = "A text of more than one window, to be foretold.";
    let both = [document("nothing"), document(whole)];
    let splits = Splits::of(&both, 1, 4, &Tokenizer::Bytes).expect("splits");
    let batch = Batch {
        sequences: 3,
        positions: 24,
    };
    let mut machine = Machine::new(2).expect("threads");
    let graph = model.graph(batch).expect("a graph");
    let mut program =
        crate::Program::new(graph, crate::Precision::F32, &mut machine).expect("memory");
    let mut nats = 0.0;
    for (tokens, targets) in splits.public.every_byte(batch) {
        let losses = program.losses(&machine, &weights, &tokens, &targets);
        nats += losses.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    let bits = nats / std::f64::consts::LN_2 / whole.len() as f64;
    let file = ModelFile::open(&path).expect("a model");
    let score = file
        .score(&mut machine, whole.as_bytes(), 1024)
        .expect("a score");
    assert!(
        (score.bits_per_byte - bits).abs() < 1e-9,
        "{score:?}, {bits}"
    );
    // Shorter windows see less before each byte.
    let short = file
        .score(&mut machine, whole.as_bytes(), 5)
        .expect("a score");
    assert!((short.bits_per_byte - bits).abs() > 1e-6);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn foreign_files_are_refused_by_what_is_wrong() {
    let folder = folder("foreign");
    let path = folder.join("model.safetensors");
    written(&path, &small(), 1.0);
    let good = std::fs::read(&path).expect("a file");
    let refused = |change: &dyn Fn(String) -> String, words: &str| {
        // The head is text, and so is `about`, which comes first behind it.
        let head = u64::from_le_bytes(*good.first_chunk().expect("8 bytes")) as usize;
        let about = good[8 + head..].iter().position(|&b| b == b'}');
        let about = about.expect("about") + 1;
        let text = String::from_utf8(good[8..8 + head + about].to_vec()).expect("text");
        let changed = change(text.clone());
        assert_eq!(changed.len(), text.len(), "offsets stay");
        assert_ne!(changed, text);
        let mut bad = good.clone();
        bad[8..8 + changed.len()].copy_from_slice(changed.as_bytes());
        std::fs::write(&path, bad).expect("written");
        let error = ModelFile::open(&path).err().expect("an error").to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(
        &|text| text.replace("sprag.model/1", "sprag.model/2"),
        "sprag.model/2",
    );
    refused(
        &|text| text.replace("\"layers\":2", "\"layers\":0"),
        "layers",
    );
    refused(
        &|text| text.replace("\"layers\":2", "\"layers\":1"),
        "no tensor of this model",
    );
    refused(
        &|text| text.replace("\"width\":32", "\"width\":16"),
        "the model's is",
    );
    refused(&|text| text.replace("\"window\":", "\"winbow\":"), "winbow");
    refused(
        &|text| text.replace("weights.output.", "weights.puttou."),
        "of another model",
    );
    refused(
        &|text| text.replace("\"vocabulary\":256", "\"vocabulary\":999"),
        "256",
    );
    std::fs::write(&path, &good[..good.len() / 2]).expect("written");
    assert!(ModelFile::open(&path).is_err());
    let _ = std::fs::remove_dir_all(folder);
}
