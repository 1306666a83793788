//! Shards are the same tokens as memory has, and whatever else lies in their folder is an error.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Shards, ShardsError, index};
use crate::{Batch, BytePairs, DataError, Document, Part, Splits, Tokenizer};

fn documents() -> Vec<Document> {
    let one = |i: usize| Document {
        name: i.to_string(),
        text: format!(
            "document {i} says the things that are its own, {}",
            "so ".repeat(i)
        ),
    };
    (0..12).map(one).collect()
}

fn pairs() -> Tokenizer {
    let merges = BytePairs::new(vec![[116, 104], [115, 111], [32, 257]]);
    Tokenizer::Pairs(merges.expect("merges"))
}

/// In shards of 50 bytes.
fn built(folder: &Path, tokenizer: &Tokenizer) -> Result<Shards, ShardsError> {
    Shards::build_in(50, folder, documents().into_iter().map(Ok), 4, tokenizer)
}

fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn all_of(splits: &Splits) -> Vec<(Vec<u32>, Vec<u32>)> {
    let batch = Batch {
        sequences: 2,
        positions: 7,
    };
    let mut seen = Vec::new();
    for stream in [
        Some(&splits.train),
        Some(&splits.public),
        splits.hidden.as_ref(),
    ] {
        let stream = stream.expect("three parts");
        seen.extend(stream.every_byte(batch));
        for number in 0..20 {
            let (mut tokens, mut targets) = (Vec::new(), Vec::new());
            stream.windows(batch, 3, number, &mut tokens, &mut targets);
            seen.push((tokens, targets));
        }
    }
    seen
}

#[test]
fn shards_are_the_tokens_that_memory_has() {
    for tokenizer in [Tokenizer::Bytes, pairs()] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("shards");
        let shards = built(&folder, &tokenizer).unwrap();
        assert!(leftovers(&folder).len() > 4, "several shards and an index");
        assert_eq!(leftovers(place.path()), std::slice::from_ref(&folder));
        shards.verify().unwrap();
        let mapped = shards.splits(8).unwrap();
        let memory = Splits::of(&documents(), 4, 8, &tokenizer).unwrap();
        assert_eq!(all_of(&mapped), all_of(&memory));
        assert_eq!(mapped.tokenizer(), &tokenizer);
        assert_eq!(mapped.train.text_bytes(), memory.train.text_bytes());
        assert_eq!(shards.documents(Part::Train), 8);
        assert_eq!(shards.documents(Part::Public), 2);
        assert_eq!(shards.documents(Part::Hidden), 2);
        assert_eq!(shards.texts_sha256().len(), 64);
        let again = Shards::open(&folder).unwrap().splits(8).unwrap();
        assert_eq!(again.fingerprint(), mapped.fingerprint());
    }
}

#[test]
fn a_run_may_go_on_from_memory_to_shards() {
    let place = tempfile::tempdir().unwrap();
    let documents = documents();
    for (name, tokenizer) in [("bytes", Tokenizer::Bytes), ("pairs", pairs())] {
        let folder = place.path().join(name);
        let texts = documents.iter().cloned().map(Ok);
        let shards = Shards::build(&folder, texts, 4, &tokenizer).unwrap();
        let memory = Splits::of(&documents, 4, 8, &tokenizer).unwrap();
        let mapped = shards.splits(8).unwrap();
        assert_eq!(mapped.fingerprint(), memory.fingerprint());
    }
}

/// What `sprag train` does with a corpus that is larger than memory: two passes, a document at a time.
#[cfg(feature = "pairs")]
#[test]
fn a_corpus_is_tokenised_as_it_is_read() {
    use crate::{Documents, FIELD};
    let place = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..6)
        .map(|i| place.path().join(format!("{i}.txt")))
        .collect();
    for (i, path) in paths.iter().enumerate() {
        fs::write(path, documents()[i].text.repeat(3)).unwrap();
    }
    let texts = || Documents::of_files(paths.clone(), FIELD);
    let tokenizer = Tokenizer::learned(texts(), 2, 280).unwrap();
    let shards = Shards::build(&place.path().join("shards"), texts(), 2, &tokenizer).unwrap();
    assert_eq!(shards.tokenizer(), &tokenizer);
    let splits = shards.splits(8).unwrap();
    let memory: Vec<Document> = texts().collect::<Result<_, _>>().unwrap();
    let memory = Splits::of(&memory, 2, 8, &tokenizer).unwrap();
    assert_eq!(splits.fingerprint(), memory.fingerprint());
    assert!(splits.train.tokens() < splits.train.text_bytes());
}

#[test]
fn what_fails_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("shards");
    let texts = documents()
        .into_iter()
        .map(Ok)
        .chain([Err(DataError::Empty)]);
    let error = Shards::build_in(50, &folder, texts, 1, &Tokenizer::Bytes);
    assert!(matches!(error, Err(ShardsError::Data(DataError::Empty))));
    let none = Shards::build(&folder, [], 1, &Tokenizer::Bytes);
    assert!(matches!(none, Err(ShardsError::Data(DataError::Empty))));
    assert_eq!(leftovers(place.path()), [] as [PathBuf; 0]);
    built(&folder, &Tokenizer::Bytes).unwrap();
    let twice = built(&folder, &Tokenizer::Bytes).expect_err("it is there");
    assert!(matches!(twice, ShardsError::Exists { .. }), "{twice}");
    // A file where the folder's folder should be: no system writes there.
    let inside = folder.join("index.json").join("shards");
    let error = built(&inside, &Tokenizer::Bytes)
        .expect_err("no folder")
        .to_string();
    assert!(
        error.contains("can't write") && error.contains("space left"),
        "{error}"
    );
    assert!(matches!(
        built(Path::new("/"), &pairs()),
        Err(ShardsError::Exists { .. })
    ));
    assert!(matches!(
        built(Path::new(""), &pairs()),
        Err(ShardsError::Write { .. })
    ));
}

/// A full disk, where there is a device that is always one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let full = Path::new("/dev/full");
    let written = fs::File::options().write(true).open(full);
    let written = written.and_then(|file| super::write_to(file, b"tokens"));
    let source = written.expect_err("no space");
    let error = ShardsError::Write {
        path: full.to_owned(),
        source,
    };
    assert!(error.to_string().contains("No space left"), "{error}");
}

#[test]
fn shards_that_changed_are_found() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("shards");
    built(&folder, &pairs()).unwrap();
    let shard = folder.join(index::name(1));
    let whole = fs::read(&shard).unwrap();

    let mut changed = whole.clone();
    changed[1] = 0xff;
    fs::write(&shard, &changed).unwrap();
    let shards = Shards::open(&folder).unwrap();
    let error = shards.verify().expect_err("another byte").to_string();
    assert!(
        error.contains("tokens-00001.bin is not what was written"),
        "{error}"
    );
    // Until somebody asks, no token is beyond the vocabulary.
    let splits = shards.splits(8).unwrap();
    let vocabulary = pairs().vocabulary() as u32;
    assert!(
        all_of(&splits)
            .iter()
            .all(|(tokens, _)| tokens.iter().all(|&id| id < vocabulary))
    );

    fs::write(&shard, &whole[1..]).unwrap();
    let error = Shards::open(&folder).expect_err("a byte less").to_string();
    assert!(
        error.contains("has 49 bytes, and the index says 50"),
        "{error}"
    );
    fs::write(&shard, b"").unwrap();
    assert!(matches!(
        Shards::open(&folder),
        Err(ShardsError::Read { .. })
    ));
    fs::remove_file(&shard).unwrap();
    assert!(matches!(
        Shards::open(&folder),
        Err(ShardsError::Read { .. })
    ));
    assert!(matches!(
        Shards::open(place.path()),
        Err(ShardsError::Read { .. })
    ));
}

#[test]
fn a_hostile_index_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("shards");
    built(&folder, &Tokenizer::Bytes).unwrap();
    let path = folder.join(index::FILE);
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(good["schema"], "sprag.shards/1");
    assert_eq!(good["tokenizer"], Value::Null);
    let max = json!(u64::MAX);
    let cases: [(&str, Value, &str); 14] = [
        (
            "/schema",
            json!("sprag.shards/2"),
            "this build reads \"sprag.shards/1\"",
        ),
        ("/schema", json!(1), "invalid type"),
        ("/shards", json!([]), "not as many tokens"),
        ("/shards/0/tokens", max.clone(), "not as many tokens"),
        ("/shards/0/tokens", json!(49), "not as many tokens"),
        ("/shards/0/sha256", json!("zz"), "shard 0 has no SHA-256"),
        ("/shards/0/file", json!("../../secret"), "unknown field"),
        ("/train/tokens", max.clone(), "not as many tokens"),
        ("/train/bytes", max.clone(), "counts of the part Train"),
        ("/train/bytes", json!(0), "counts of the part Train"),
        ("/train/documents", max, "counts of the part Train"),
        (
            "/tokenizer",
            json!({"merges": [[0, 1]]}),
            "token 0 is no part of a text",
        ),
        // Tokens of two bytes: the files are too short.
        (
            "/tokenizer",
            json!({"merges": [[1, 1]]}),
            "the index says 100",
        ),
        ("/hidden", json!(null), "invalid type"),
    ];
    for (place, value, said) in cases {
        let mut bad = good.clone();
        let (parent, key) = place.rsplit_once('/').expect("a pointer");
        let parent = bad.pointer_mut(parent).expect("it is there");
        parent[key] = value;
        fs::write(&path, bad.to_string()).unwrap();
        let error = Shards::open(&folder).expect_err(said).to_string();
        assert!(error.contains(said), "{place}: {error}");
    }
    let mut uneven = good.clone();
    uneven["shards"][0]["tokens"] = json!(40);
    uneven["shards"][1]["tokens"] = json!(60);
    fs::write(&path, uneven.to_string()).unwrap();
    let error = Shards::open(&folder)
        .expect_err("uneven shards")
        .to_string();
    assert!(error.contains("shard 1 has 60 tokens"), "{error}");
    for text in ["", "{", "[]", &"[".repeat(100_000)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(
            Shards::open(&folder),
            Err(ShardsError::Index { .. })
        ));
    }
    fs::write(&path, good.to_string()).unwrap();
    Shards::open(&folder).unwrap();
}

#[test]
fn a_context_longer_than_the_shards_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let shards = built(&place.path().join("shards"), &Tokenizer::Bytes).unwrap();
    let error = shards
        .splits(1 << 20)
        .expect_err("less than a window")
        .to_string();
    assert!(error.contains("1048577 are needed"), "{error}");
}
