//! Whatever a candidate leaves in a folder is looked at without following it, and goes.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use super::{Kind, entries, holds, is_inside, read_regular, remove, walk, write_private};
use crate::digest::Digest;

#[test]
fn links_pipes_and_folders_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/file"), "x").unwrap();
    symlink("/dev/zero", at("link")).unwrap();
    symlink("d", at("other")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at("pipe"))
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        walk(folder.path(), &|_| false).unwrap(),
        [PathBuf::from("d/file")]
    );
    let kinds: Vec<Kind> = entries(folder.path(), &|_| false)
        .unwrap()
        .into_iter()
        .map(|(_, kind)| kind)
        .collect();
    assert_eq!(kinds, [Kind::File, Kind::Link, Kind::Link, Kind::Other]);
    // None of these is opened: a pipe would never end, and /dev/zero neither.
    let digest = Digest::of(b"x");
    for (path, expected) in [
        ("d/file", true),
        ("link", false),
        ("pipe", false),
        ("other/file", false),
        ("d", false),
        ("none", false),
    ] {
        assert_eq!(
            holds(folder.path(), Path::new(path), &digest),
            expected,
            "{path}"
        );
        assert_eq!(
            read_regular(folder.path(), Path::new(path), 9).is_some(),
            expected,
            "{path}"
        );
    }
    assert_eq!(read_regular(folder.path(), Path::new("d/file"), 0), None);
}

#[test]
fn a_folder_without_rights_and_a_very_deep_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    fs::create_dir_all(top.join("closed/inner")).unwrap();
    fs::write(top.join("closed/inner/file"), "x").unwrap();
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let dug = Command::new("python3")
        .args(["-c", "import os, sys\nos.chdir(sys.argv[1])\nfor i in range(3000):\n os.mkdir('a' * 20)\n os.chdir('a' * 20)\nopen('f', 'w')"])
        .arg(&top)
        .status()
        .unwrap();
    assert!(dug.success());
    assert!(
        walk(&top, &|_| false).is_err(),
        "no path reaches the bottom"
    );
    remove(&top).unwrap();
    assert!(!top.exists());
    remove(&top).unwrap();
}

#[test]
fn removing_a_link_leaves_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, top) = (folder.path().join("kept"), folder.path().join("top"));
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "x").unwrap();
    fs::create_dir(&top).unwrap();
    symlink(&kept, top.join("link")).unwrap();
    remove(&top).unwrap();
    assert!(kept.join("file").exists());
    symlink(&kept, &top).unwrap();
    remove(&top).unwrap();
    assert!(kept.join("file").exists() && !top.exists());
}

#[test]
fn only_plain_names_are_inside() {
    for (path, expected) in [
        ("a/b", true),
        ("", false),
        ("..", false),
        ("a/../b", false),
        ("/a", false),
        ("./a", false),
    ] {
        assert_eq!(is_inside(Path::new(path)), expected, "{path:?}");
    }
}

#[test]
fn a_private_file_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    write_private(&path, b"secret").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
