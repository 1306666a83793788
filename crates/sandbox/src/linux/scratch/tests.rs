//! Trees that `rm -r` stumbles over, and names that decide what is deleted.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn closed_and_linked_trees_go_and_what_they_point_to_stays() {
    let parent = tempfile::tempdir().unwrap();
    let precious = parent.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("kept"), "kept").unwrap();
    let scratch = Scratch::make(parent.path(), rustix::process::getpid()).unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("a/b/c/d")).unwrap();
    fs::create_dir_all(at("0/1/2")).unwrap();
    fs::write(at("a/b/c/d/file"), "x").unwrap();
    std::os::unix::fs::symlink(&precious, at("link")).unwrap();
    std::os::unix::fs::symlink(&precious, at("a/b/link")).unwrap();
    for closed in ["a/b/c", "a/b", "a"] {
        fs::set_permissions(at(closed), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let path = scratch.path().to_owned();
    drop(scratch);
    assert!(!path.exists());
    assert_eq!(fs::read_to_string(precious.join("kept")).unwrap(), "kept");
}

#[test]
fn only_what_dead_owners_left_is_swept() {
    let parent = tempfile::tempdir().unwrap();
    let own = Scratch::make(parent.path(), rustix::process::getpid()).unwrap();
    let dead = parent
        .path()
        .join(format!("{PREFIX}{}-{}-7-0", namespace(), i32::MAX));
    let others = [
        "sprag-cell-",
        "sprag-cell-x-y-z",
        "sprag-cell-1-2147483647-7",
        "sprag-cellar",
        "unrelated",
    ];
    fs::create_dir(&dead).unwrap();
    for other in others {
        fs::create_dir(parent.path().join(other)).unwrap();
    }
    sweep(parent.path());
    assert!(!dead.exists());
    assert!(own.path().exists());
    for other in others {
        assert!(parent.path().join(other).exists(), "{other}");
    }
}

#[test]
fn a_taken_name_is_neither_used_nor_an_obstacle() {
    let parent = tempfile::tempdir().unwrap();
    let pid = rustix::process::getpid();
    let first = Scratch::make(parent.path(), pid).unwrap();
    let second = Scratch::make(parent.path(), pid).unwrap();
    assert_ne!(first.path(), second.path());
}
