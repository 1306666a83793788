//! A real repository: what git is asked leaves the user's work tree, index, `HEAD` and branches as they were.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Contents, GitError, Mode, ObjectId, Repository};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn repository(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    git(folder.path(), &["add", "-A"]);
    git(folder.path(), &["commit", "-q", "-m", "begin"]);
    folder
}

fn plain(text: &str) -> Option<Contents> {
    Some(Contents {
        bytes: text.as_bytes().to_vec(),
        executable: false,
    })
}

/// Everything of the user's that nothing may change.
fn untouched(folder: &Path) -> Vec<String> {
    let mut state: Vec<String> = [
        &["status", "--porcelain", "--ignored"][..],
        &["rev-parse", "HEAD"],
        &[
            "for-each-ref",
            "--format=%(refname) %(objectname)",
            "refs/heads",
            "refs/tags",
        ],
        &["ls-files", "-s"],
        &["config", "--list", "--local"],
    ]
    .iter()
    .map(|arguments| git(folder, arguments))
    .collect();
    state.push(fs::read_to_string(folder.join(".git/HEAD")).unwrap());
    state
}

#[test]
fn a_commit_of_odd_names_modes_and_deletions_leaves_the_user_alone() {
    let folder = repository(&[
        ("a", "1\n"),
        ("gone", "x"),
        ("dir/inner", "y"),
        ("file", "z"),
    ]);
    fs::write(folder.path().join("a"), "changed by the user\n").unwrap();
    fs::write(folder.path().join("new"), "untracked\n").unwrap();
    git(folder.path(), &["add", "new"]);
    let before = untouched(folder.path());
    let repository = Repository::around(folder.path()).unwrap();
    let base = repository.head().unwrap();
    let odd = [
        "sp ace",
        "quo\"te",
        "back\\slash",
        "new\nline",
        "tab\t",
        "ünïcödé",
        "-dash",
        "star*",
        " lead",
        "#hash",
        ":(top)x",
    ];
    let mut changes: BTreeMap<PathBuf, Option<Contents>> = odd
        .iter()
        .map(|name| (PathBuf::from(name), plain(name)))
        .collect();
    let script = Contents {
        bytes: b"#!/bin/sh\n\0\xff".to_vec(),
        executable: true,
    };
    changes.insert("run.sh".into(), Some(script.clone()));
    changes.insert("gone".into(), None);
    // A folder becomes a file, and a file a folder.
    changes.insert("dir/inner".into(), None);
    changes.insert("dir".into(), plain("now a file"));
    changes.insert("file".into(), None);
    changes.insert("file/inner".into(), plain("now a folder"));
    let commit = repository
        .commit(
            &base,
            &changes,
            "words\n\nof \"many\" lines",
            "refs/sprag/t/candidates/1",
        )
        .unwrap();
    assert_eq!(untouched(folder.path()), before);
    assert_eq!(repository.subject(&commit).unwrap(), "words");
    let files = repository.files(&commit).unwrap();
    let mut found = BTreeMap::new();
    let all: Vec<_> = files.iter().collect();
    repository
        .read(&all, &mut |file, bytes| {
            found.insert(file.path.clone(), (file.mode, bytes));
            Ok(())
        })
        .unwrap();
    for name in odd {
        assert_eq!(
            found[Path::new(name)],
            (Mode::Plain, name.as_bytes().to_vec()),
            "{name:?}"
        );
    }
    assert_eq!(found[Path::new("run.sh")], (Mode::Executable, script.bytes));
    assert_eq!(found[Path::new("a")].1, b"1\n");
    assert_eq!(found[Path::new("dir")].1, b"now a file");
    assert_eq!(found[Path::new("file/inner")].1, b"now a folder");
    assert!(!found.contains_key(Path::new("gone")));
    assert_eq!(found.len(), odd.len() + 4);
    assert_eq!(
        repository.resolve("refs/sprag/t/candidates/1").unwrap(),
        Some(commit)
    );
    git(folder.path(), &["fsck", "--strict"]);
}

#[test]
fn names_that_are_no_text_are_read() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let folder = repository(&[("a", "1")]);
    let name = OsStr::from_bytes(b"latin\xe9");
    fs::write(folder.path().join(name), "x").unwrap();
    git(folder.path(), &["add", "-A"]);
    git(folder.path(), &["commit", "-q", "-m", "latin"]);
    let repository = Repository::around(folder.path()).unwrap();
    let files = repository.files(&repository.head().unwrap()).unwrap();
    assert!(files.iter().any(|file| file.path == Path::new(name)));
}

#[test]
fn a_subfolder_a_work_tree_and_a_detached_head() {
    let folder = repository(&[("sub/deep/a", "1"), ("b", "2")]);
    let repository = Repository::around(&folder.path().join("sub")).unwrap();
    let head = repository.head().unwrap();
    assert_eq!(
        repository.files(&head).unwrap()[0].path,
        Path::new("deep/a")
    );
    let commit = repository
        .commit(
            &head,
            &BTreeMap::from([("deep/a".into(), plain("9"))]),
            "m",
            "refs/sprag/t/x",
        )
        .unwrap();
    assert_eq!(
        git(folder.path(), &["show", &format!("{commit}:sub/deep/a")]),
        "9"
    );
    assert_eq!(git(folder.path(), &["show", &format!("{commit}:b")]), "2");
    fs::write(folder.path().join("sub/deep/a"), "dirty").unwrap();
    fs::write(folder.path().join("b"), "dirty, and outside").unwrap();
    assert_eq!(repository.dirty().unwrap(), [PathBuf::from("deep/a")]);

    let other = tempfile::tempdir().unwrap();
    let tree = other.path().join("tree");
    git(
        folder.path(),
        &["worktree", "add", "-q", "--detach", tree.to_str().unwrap()],
    );
    let second = Repository::around(&tree).unwrap();
    assert_eq!(
        fs::canonicalize(second.common()).unwrap(),
        fs::canonicalize(repository.common()).unwrap()
    );
    assert_eq!(second.head().unwrap(), head);
    assert_eq!(second.resolve("refs/sprag/t/x").unwrap(), Some(commit));
    assert_eq!(second.dirty().unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_no_repository_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        Repository::around(folder.path()),
        Err(GitError::NoRepository { .. })
    ));
    git(folder.path(), &["init", "-q"]);
    let repository = Repository::around(folder.path()).unwrap();
    assert!(matches!(repository.head(), Err(GitError::NoCommit(_))));
    let bare = tempfile::tempdir().unwrap();
    git(bare.path(), &["init", "-q", "--bare"]);
    assert!(matches!(
        Repository::around(bare.path()),
        Err(GitError::Bare(_))
    ));
    let named = folder.path().join("line\nbreak");
    fs::create_dir(&named).unwrap();
    assert!(matches!(Repository::around(&named), Err(GitError::Name(_))));
}

#[test]
fn hooks_filters_and_the_callers_environment_do_nothing() {
    let folder = repository(&[
        ("a", "1\n"),
        (".gitattributes", "* filter=evil text eol=crlf\n"),
    ]);
    git(folder.path(), &["config", "filter.evil.smudge", "false"]);
    git(folder.path(), &["config", "filter.evil.required", "true"]);
    let hook = folder.path().join(".git/hooks/reference-transaction");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    let repository = Repository::around(folder.path()).unwrap();
    let head = repository.head().unwrap();
    let commit = repository
        .commit(
            &head,
            &BTreeMap::from([("b".into(), plain("2\n"))]),
            "m",
            "refs/sprag/t/x",
        )
        .unwrap();
    repository.point("refs/sprag/t/y", &commit).unwrap();
    let files = repository.files(&commit).unwrap();
    let all: Vec<_> = files
        .iter()
        .filter(|file| file.path == Path::new("a"))
        .collect();
    repository
        .read(&all, &mut |_, bytes| {
            assert_eq!(bytes, b"1\n");
            Ok(())
        })
        .unwrap();
}

#[test]
fn references_change_together_and_locks_of_the_dead_go() {
    let folder = repository(&[("a", "1")]);
    let repository = Repository::around(folder.path()).unwrap();
    let head = repository.head().unwrap();
    let name = |n: u32| format!("refs/sprag/t/candidates/{n}");
    repository
        .update(&[(name(1), Some(head.clone())), (name(2), Some(head.clone()))])
        .unwrap();
    let lock = repository.common().join("refs/sprag/t/candidates/1.lock");
    fs::write(&lock, "").unwrap();
    assert!(
        repository
            .update(&[(name(1), None), (name(2), None)])
            .is_err()
    );
    assert_eq!(
        repository.references("refs/sprag/t/").unwrap().len(),
        2,
        "all or none"
    );
    repository.unlock("refs/sprag/t/").unwrap();
    repository.update(&[(name(1), None)]).unwrap();
    repository.forget(&name(1), &head).unwrap();
    repository.forget(&name(2), &head).unwrap();
    assert_eq!(repository.references("refs/sprag/t/").unwrap(), []);
    repository.unlock("refs/sprag/none/").unwrap();
}

#[test]
fn two_changes_of_one_file_are_merged_where_they_do_not_meet() {
    let folder = repository(&[("a", "1")]);
    let repository = Repository::around(folder.path()).unwrap();
    let base = b"1\n2\n3\n4\n5\n6\n7\n";
    let merged = repository
        .merge(
            b"one\n2\n3\n4\n5\n6\n7\n",
            base,
            b"1\n2\n3\n4\n5\n6\nseven\n",
        )
        .unwrap();
    assert_eq!(merged.unwrap(), b"one\n2\n3\n4\n5\n6\nseven\n");
    assert_eq!(
        repository
            .merge(b"one\n2\n", b"1\n2\n", b"uno\n2\n")
            .unwrap(),
        None
    );
    assert_eq!(repository.merge(b"\0a", b"\0b", b"\0c").unwrap(), None);
}

#[test]
fn links_and_submodules_have_their_modes() {
    let folder = repository(&[("a", "1")]);
    symlink("a", folder.path().join("link")).unwrap();
    git(folder.path(), &["add", "link"]);
    let head = git(folder.path(), &["rev-parse", "HEAD"]);
    git(
        folder.path(),
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{head},module"),
        ],
    );
    git(folder.path(), &["commit", "-q", "-m", "m"]);
    let repository = Repository::around(folder.path()).unwrap();
    let modes: Vec<Mode> = repository
        .files(&repository.head().unwrap())
        .unwrap()
        .iter()
        .map(|file| file.mode)
        .collect();
    assert_eq!(modes, [Mode::Plain, Mode::Link, Mode::Submodule]);
}

#[test]
fn an_id_is_40_or_64_digits() {
    assert!(ObjectId::parse(&"A".repeat(40)).is_some());
    assert!(ObjectId::parse(&format!(" {}\n", "0".repeat(64))).is_some());
    for bad in [
        "",
        "HEAD",
        &"g".repeat(40),
        &"0".repeat(41),
        &"é".repeat(20),
    ] {
        assert_eq!(ObjectId::parse(bad), None, "{bad}");
    }
}
