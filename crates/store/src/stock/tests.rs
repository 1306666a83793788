//! Models are found by path, name, beginning and alias; a miss names what is near.

use super::*;

fn store_with(names: &[&str]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    fs::create_dir_all(store.models_folder()).unwrap();
    for name in names {
        fs::write(store.models_folder().join(name), b"GGUF").unwrap();
    }
    (folder, store)
}

#[test]
fn a_store_that_does_not_exist_is_empty() {
    let store = Store::at(tempfile::tempdir().unwrap().path().join("gone"));
    assert!(store.list().unwrap().is_empty());
    assert!(store.free_space().unwrap() > 0);
    assert!(
        matches!(store.resolve("default"), Err(ResolveError::NotPulled(e)) if e.alias == "smollm2")
    );
}

#[test]
fn only_models_are_listed() {
    let (_folder, store) = store_with(&[
        "b.gguf",
        "A.q4.gguf",
        "b.json",
        ".hidden.gguf",
        ".gguf",
        "x.part",
    ]);
    fs::create_dir(store.models_folder().join("folder.gguf")).unwrap();
    let names: Vec<String> = store.list().unwrap().into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["A.q4", "b"]);
    assert!(
        store.list().unwrap()[1].record.is_none(),
        "a record that is no JSON is no record"
    );
}

#[test]
fn arguments_find_their_file() {
    let smol = "SmolLM2-135M-Instruct.Q4_1.gguf";
    let (_folder, store) = store_with(&[smol, "gemma-a.gguf", "gemma-b.gguf"]);
    let folder = store.models_folder();
    for given in [
        "smollm2",
        "default",
        "SmolLM2-135M-Instruct.Q4_1",
        smol,
        "smollm2-1",
        "smol",
    ] {
        assert_eq!(store.resolve(given).unwrap(), folder.join(smol), "{given}");
    }
    let path = folder.join("gemma-a.gguf");
    assert_eq!(store.resolve(path.to_str().unwrap()).unwrap(), path);
    assert_eq!(store.resolve("gemma-a").unwrap(), path);
    assert!(
        matches!(store.resolve("gemma"), Err(ResolveError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    assert!(matches!(
        store.resolve("./none.gguf"),
        Err(ResolveError::NoFile(_))
    ));
    assert!(matches!(
        store.resolve("gemma3-270m"),
        Err(ResolveError::NotPulled(_))
    ));
    assert!(matches!(
        store.resolve(""),
        Err(ResolveError::Unknown { .. })
    ));
}

#[test]
fn a_miss_names_what_is_near_and_what_to_do() {
    let (_folder, store) = store_with(&["gemma-a.gguf"]);
    let text = store.resolve("gema-a").unwrap_err().to_string();
    assert!(
        text.contains("gemma-a") && text.contains("sprag pull"),
        "{text}"
    );
    let text = store.resolve("smolm2").unwrap_err().to_string();
    assert!(text.contains("smollm2"), "{text}");
}
