//! What a derived file costs to load: each tensor is made once, however many parts of the program want it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use formats::gguf::{Gguf, TensorInfo, TensorSpec, Value};
use kernels::RuntimeProfile;
use models::{Model, Placement};

fn fixture(name: &str) -> Gguf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    Gguf::open(&folder.join(format!("{name}.gguf"))).expect("a fixture")
}

/// How often each tensor of a fixture is made, when it is loaded as a derived file.
fn made(name: &str) -> BTreeMap<String, usize> {
    let source = fixture(name);
    let metadata: Vec<(String, Value)> = source
        .metadata()
        .iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    let spec = |tensor| TensorSpec {
        name: TensorInfo::name(tensor).to_owned(),
        dtype: source.dtype(tensor).expect("a format we run"),
        shape: tensor.shape().to_vec(),
    };
    let specs: Vec<TensorSpec> = source.tensors().iter().map(spec).collect();
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let shared = Arc::clone(&counts);
    let make = move |name: &str| {
        *shared
            .lock()
            .expect("no panic")
            .entry(name.to_owned())
            .or_default() += 1;
        let tensor = source.tensor(name).expect("one of the file's");
        Ok(source.bytes(tensor).to_vec())
    };
    let gguf = Gguf::derived(Path::new("made"), &metadata, &specs, make).expect("valid");
    Model::from_gguf(
        Arc::new(gguf),
        &RuntimeProfile::default(),
        &Placement::Memory,
        &mut |_| {},
    )
    .expect("a model we run");
    let counts = counts.lock().expect("no panic");
    assert!(counts.len() > 20, "{name}: {counts:?}");
    counts.clone()
}

#[test]
fn each_tensor_is_made_once() {
    // Tied output; queries with gates beside them; a projection that is taken apart in three, or in two; turned matrices.
    for name in [
        "qwen2",
        "gemma3",
        "qwen35",
        "granitehybrid",
        "kimi-linear",
        "recurrentgemma",
    ] {
        let counts = made(name);
        let again: Vec<_> = counts.iter().filter(|(_, times)| **times != 1).collect();
        assert!(again.is_empty(), "{name}: {again:?}");
    }
}
