//! Giving a file its final name: two pulls at once, names that are taken, disks that are full.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use store::{PullError, Pulled, Silent, Source, Store, pull_with};

use crate::server::*;

#[test]
fn two_pulls_at_once_download_once() {
    let body = model(17, LEN);
    let copy = body.clone();
    let server = Server::start(move |_, request, connection| {
        thread::sleep(Duration::from_millis(300));
        serve(request, connection, &copy, "a");
    });
    let (_folder, store) = store();
    let outcomes: Vec<(Pulled, Vec<String>)> = thread::scope(|scope| {
        let one = || {
            let mut watch = Watch::default();
            let pulled =
                pull_with(&source(&server, ""), &store, &server.network(), &mut watch).unwrap();
            (pulled, watch.stages)
        };
        let handles = [scope.spawn(one), scope.spawn(one)];
        handles.map(|h| h.join().unwrap()).into()
    });
    assert_eq!(server.seen().len(), 1);
    assert_eq!(outcomes.iter().filter(|(p, _)| p.already_here).count(), 1);
    let waited = |stages: &Vec<String>| stages.iter().any(|s| s.contains("waiting"));
    assert!(
        outcomes
            .iter()
            .any(|(p, stages)| p.already_here && waited(stages))
    );
    assert_holds(&outcomes[0].0.model.path, &body);
}

#[test]
fn another_model_of_that_name_is_not_overwritten() {
    let server =
        Server::start(|_, request, connection| serve(request, connection, &model(18, LEN), "a"));
    let (_folder, store) = store();
    fs::create_dir_all(store.models_folder()).unwrap();
    let there = store.models_folder().join("model.gguf");
    fs::write(&there, b"GGUF mine").unwrap();
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(matches!(error, PullError::NameTaken { .. }), "{error}");
    assert_holds(&there, b"GGUF mine");
}

#[test]
fn a_file_larger_than_the_disk_is_refused_before_it_is_fetched() {
    let server = Server::start(|_, _, connection| {
        let _gone = connection
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000000000\r\n\r\nGGUF");
    });
    let (_folder, store) = store();
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(matches!(error, PullError::DiskFull { .. }), "{error}");
    assert_empty(&store);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_is_reported_as_such() {
    let server =
        Server::start(|_, request, connection| serve(request, connection, &model(19, LEN), "a"));
    let (_folder, store) = store();
    interrupt(&server, "", &store, 1000);
    let folder = job_folder(&store);
    fs::remove_file(folder.join("model.part")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("model.part")).unwrap();
    fs::remove_file(folder.join("model.state")).unwrap();
    let error = pull_quietly(&server, "", &store).unwrap_err();
    assert!(
        matches!(error, PullError::DiskFull { .. }) && error.to_string().contains("SPRAG_HOME"),
        "{error}"
    );
    assert_empty(&store);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let server =
        Server::start(|_, request, connection| serve(request, connection, &model(20, LEN), "a"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = pull_quietly(&server, "", &Store::at(&file)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("file") && text.contains("SPRAG_HOME"),
        "{text}"
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_file_of_this_machine_is_copied() {
    let server = Server::start(|_, _, _| {});
    let (folder, store) = store();
    let original = folder.path().join("My model.gguf");
    let bytes = model(21, LEN);
    fs::write(&original, &bytes).unwrap();
    let source = Source::parse(original.to_str().unwrap()).unwrap();
    let pulled = pull_with(&source, &store, &server.network(), &mut Silent).unwrap();
    fs::remove_file(&original).unwrap();
    assert_holds(&pulled.model.path, &bytes);
    assert_eq!(store.resolve("my model").unwrap(), pulled.model.path);
    let error = pull_with(&source, &store, &server.network(), &mut Silent).unwrap_err();
    assert!(matches!(error, PullError::File { .. }), "{error}");
    fs::write(&original, b"GGML").unwrap();
    let error = pull_with(&source, &store, &server.network(), &mut Silent).unwrap_err();
    assert!(matches!(error, PullError::NotGguf { .. }), "{error}");
}
