//! What counts as the same candidate, and what may stand where.

use std::{collections::BTreeSet, path::PathBuf};

use super::{changes, compressed, in_the_way, normalised};
use crate::{
    git::{Contents, Files},
    track::Track,
};

fn track() -> Track {
    let text = "name = \"t\"\n[artefact]\nmutable = [\"**\"]\nseeds = [{ file = \"a\", line = \"SEED = {}\" }]\n[judge]\ncommand = [\"j\"]\nmetric = \"m\"\nbetter = \"lower\"\nkind = \"score\"\n";
    Track::parse(text).unwrap()
}

fn files(list: &[(&str, &[u8])]) -> Files {
    let contents = |bytes: &[u8]| Contents {
        bytes: bytes.to_vec(),
        executable: false,
    };
    list.iter()
        .map(|(path, bytes)| (PathBuf::from(path), contents(bytes)))
        .collect()
}

#[test]
fn blanks_at_the_ends_make_no_other_candidate_and_everything_else_does() {
    let track = track();
    let same = |a: &[u8], b: &[u8]| {
        normalised(&track, &files(&[("x", a)]), false)
            == normalised(&track, &files(&[("x", b)]), false)
    };
    assert!(same(b"a\nb\n", b"a  \r\nb\t\n\n\n"));
    assert!(!same(b"a\nb", b"a\n b"));
    assert!(!same(b"a\nb", b"\na\nb"));
    assert!(
        !same(b"\xff a \n", b"\xff a\n"),
        "what is no text is compared byte by byte"
    );
    let one = normalised(&track, &files(&[("ab", b"c")]), false);
    assert_ne!(one, normalised(&track, &files(&[("a", b"bc")]), false));
    let mut executable = files(&[("ab", b"c")]);
    executable.get_mut(&PathBuf::from("ab")).unwrap().executable = true;
    assert_ne!(one, normalised(&track, &executable, false));
}

#[test]
fn a_seed_counts_only_where_it_is_asked_for() {
    let track = track();
    let of = |text: &str, seeds: bool| normalised(&track, &files(&[("a", text.as_bytes())]), seeds);
    assert_eq!(of("SEED = 1\nx\n", true), of("SEED = 2\nx\n", true));
    assert_ne!(of("SEED = 1\nx\n", false), of("SEED = 2\nx\n", false));
    assert_ne!(of("SEED = 1\nx\n", true), of("SEED = 1\ny\n", true));
    // Where the line is not there, or is there twice, nothing is blanked.
    assert_ne!(
        of("SEED = 1\nSEED = 2\n", true),
        of("SEED = 1\nSEED = 3\n", true)
    );
    let elsewhere = |text: &str| normalised(&track, &files(&[("b", text.as_bytes())]), true);
    assert_ne!(elsewhere("SEED = 1\n"), elsewhere("SEED = 2\n"));
}

#[test]
fn changes_are_what_differs() {
    let (old, new) = (
        files(&[("a", b"1"), ("b", b"2"), ("c", b"3")]),
        files(&[("a", b"1"), ("b", b"9"), ("d", b"4")]),
    );
    let changed = changes(&old, &new);
    let names: Vec<_> = changes(&old, &new)
        .into_keys()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(names, ["b", "c", "d"]);
    assert_eq!(changed[&PathBuf::from("c")], None);
    assert!(changes(&old, &old).is_empty());
}

#[test]
fn nothing_new_may_stand_over_or_under_what_is_there() {
    let others: BTreeSet<PathBuf> = ["lib/a", "judge", "data/x", "z-"].map(PathBuf::from).into();
    let taken = |path: &str| !in_the_way([PathBuf::from(path)].iter(), &others).is_empty();
    for path in ["lib", "judge/inner", "data", "judge", "lib/a/b/c"] {
        assert!(taken(path), "{path}");
    }
    for path in ["lib/b", "judge2", "dat", "z", "lib-a"] {
        assert!(!taken(path), "{path}");
    }
}

#[test]
fn source_shrinks_and_learned_data_does_not() {
    let source = include_bytes!("../tree.rs");
    assert!(compressed(&files(&[("a", source)])) * 2 < source.len() as u64);
    let mut random = fastrand::Rng::with_seed(1);
    let letters: Vec<u8> = (0..40_000).map(|_| b'0' + random.u8(..64)).collect();
    assert!(compressed(&files(&[("a", &letters)])) > 29_000);
}
