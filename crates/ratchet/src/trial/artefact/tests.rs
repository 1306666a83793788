//! Only plain files reach the judge, and never more than the track allows.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::collect;
use crate::{track::globs_of, trial::Loss};

fn collected(from: &Path, names: &[&str], most: u64) -> (Result<(), Loss>, Vec<String>) {
    let to = tempfile::tempdir().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let outcome = collect(from, to.path(), &globs_of(&names), &names, most).unwrap();
    let files = crate::disk::walk(to.path(), &|_| false).unwrap();
    (
        outcome,
        files
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    )
}

#[test]
fn links_never_leave() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("real"), "x").unwrap();
    symlink("/etc/passwd", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("etc")).unwrap();
    assert_eq!(
        collected(folder.path(), &["real"], 9),
        (Ok(()), vec!["real".to_owned()])
    );
    for name in ["link", "etc/passwd", "etc/*"] {
        assert_eq!(
            collected(folder.path(), &[name], 9).0,
            Err(Loss::NoOutput {
                what: name.to_owned()
            })
        );
    }
}

#[test]
fn each_name_has_to_be_there_and_all_together_small_enough() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/a"), [0; 6]).unwrap();
    fs::write(folder.path().join("out/b"), [0; 6]).unwrap();
    assert_eq!(collected(folder.path(), &["out/*"], 12).0, Ok(()));
    assert_eq!(
        collected(folder.path(), &["out/*"], 11).0,
        Err(Loss::OutputTooLarge {
            bytes: 12,
            most: 11
        })
    );
    assert_eq!(
        collected(folder.path(), &["out/*", "c"], 12).0,
        Err(Loss::NoOutput {
            what: "c".to_owned()
        })
    );
    // A file of holes counts with its length.
    fs::File::create(folder.path().join("out/a"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert!(matches!(
        collected(folder.path(), &["out/*"], 1 << 30).0,
        Err(Loss::OutputTooLarge { .. })
    ));
}
