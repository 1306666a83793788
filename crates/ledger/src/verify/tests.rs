//! Whatever is changed behind the ledger's back is found.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::writer::tests::{draft, folder, new_ledger};
use crate::{Ledger, Reader, Selection};

fn six_entries() -> (TempDir, PathBuf) {
    let (folder, mut ledger) = new_ledger();
    for n in 1..=6 {
        ledger.append(&draft(n)).unwrap();
    }
    let path = folder.path().join("ledger");
    (folder, path)
}

/// Changes a ledger with its triggers out of the way, and puts them back.
fn tamper(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    let triggers: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (name, _) in &triggers {
        connection
            .execute_batch(&format!("DROP TRIGGER {name}"))
            .unwrap();
    }
    connection.execute_batch(sql).unwrap();
    for (_, sql) in &triggers {
        connection.execute_batch(sql).unwrap();
    }
}

#[test]
fn a_whole_ledger_verifies() {
    let (_folder, path) = six_entries();
    let reader = Reader::open(&path).unwrap();
    let verified = reader.verify().unwrap();
    let last = reader.entries(&Selection::all()).unwrap().pop().unwrap();
    assert_eq!((verified.entries, verified.head), (6, last.hash));
    assert_eq!(verified.remembered, Remembered::UpTo(6));
    fs::remove_file(head::path_of(&path)).unwrap();
    assert_eq!(reader.verify().unwrap().remembered, Remembered::Nothing);
}

#[test]
fn every_kind_of_tampering_is_found_and_named() {
    let row = "at, kind, experiment, epoch, judge, worker, body, hash";
    for (sql, seq, words) in [
        (
            "UPDATE entries SET body = '{\"n\":9}' WHERE seq = 3".to_owned(),
            Some(3),
            "hash differs",
        ),
        (
            "UPDATE entries SET body = '{\"n\": 3}' WHERE seq = 3".to_owned(),
            Some(3),
            "hash differs",
        ),
        (
            "UPDATE entries SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 1".to_owned(),
            Some(1),
            "hash differs",
        ),
        (
            "UPDATE entries SET experiment = NULL WHERE seq = 6".to_owned(),
            Some(6),
            "hash differs",
        ),
        (
            "UPDATE entries SET hash = zeroblob(32) WHERE seq = 6".to_owned(),
            Some(6),
            "hash differs",
        ),
        (
            "DELETE FROM entries WHERE seq = 4".to_owned(),
            Some(5),
            "what was between is gone",
        ),
        (
            "DELETE FROM entries WHERE seq = 1".to_owned(),
            Some(2),
            "what was between is gone",
        ),
        (
            "DELETE FROM entries WHERE seq > 4".to_owned(),
            None,
            "the last 2 entries were lost or removed",
        ),
        (
            "DELETE FROM entries".to_owned(),
            None,
            "the last 6 entries were lost or removed",
        ),
        (
            format!("INSERT INTO entries (seq, {row}) SELECT 7, {row} FROM entries WHERE seq = 6"),
            Some(7),
            "hash differs",
        ),
        (
            "UPDATE header SET track = 'other'".to_owned(),
            None,
            "the header does not have the hash",
        ),
        ("DELETE FROM header".to_owned(), None, "no header"),
    ] {
        let (_folder, path) = six_entries();
        let reader = Reader::open(&path).unwrap();
        tamper(&path, &sql);
        let broken = reader.verify().unwrap_err();
        assert_eq!(broken.seq, seq, "{sql}: {broken}");
        assert!(broken.to_string().contains(words), "{sql}: {broken}");
    }
}

#[test]
fn a_rewritten_history_is_found_against_the_remembered_head() {
    let (first, path) = six_entries();
    let (_second, mut other) = {
        let folder = folder();
        let header = crate::writer::tests::header();
        let ledger = Ledger::create(&folder.path().join("ledger"), &header).unwrap();
        (folder, ledger)
    };
    for n in 11..=18 {
        other.append(&draft(n)).unwrap();
    }
    let other_path = other.path().to_owned();
    drop(other);
    fs::copy(other_path, &path).unwrap();
    let broken = Reader::open(&path).unwrap().verify().unwrap_err();
    assert!(broken.what.contains("the history was replaced"), "{broken}");
    let error = Ledger::open(&path).unwrap_err().to_string();
    assert!(error.contains("the history was replaced"), "{error}");
    drop(first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_flipped_bit_anywhere_in_the_file_is_found_or_changes_no_entry(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let (_folder, path) = six_entries();
        let expected = Reader::open(&path).unwrap().entries(&Selection::all()).unwrap();
        let mut content = fs::read(&path).unwrap();
        let at = at.index(content.len());
        content[at] ^= 1u8 << bit;
        let changed = folder();
        let path = changed.path().join("ledger");
        fs::write(&path, content).unwrap();
        if let Ok(reader) = Reader::open(&path) && reader.verify().is_ok() {
            prop_assert_eq!(reader.entries(&Selection::all()).unwrap(), expected);
        }
        // Whatever it is now, a writer takes it or refuses it, and does not panic.
        if let Ok(mut ledger) = Ledger::open(&path) {
            let _taken = ledger.append(&draft(7));
        }
    }
}

#[test]
fn a_flipped_bit_in_any_byte_of_an_entry_is_found() {
    let (_folder, path) = six_entries();
    let content = fs::read(&path).unwrap();
    let changed = folder();
    let copy = changed.path().join("ledger");
    // The third entry's record: its texts, then its body, then its 32 bytes of hash.
    let body = content
        .windows(7)
        .position(|window| window == b"{\"n\":3}")
        .unwrap();
    let start = body - "2026-01-01T00:00:00.000ZtrialNNjudgeworker".len() + 2;
    for at in start..body + 7 + 32 {
        let mut flipped = content.clone();
        flipped[at] ^= 0x01;
        fs::write(&copy, flipped).unwrap();
        let found = Reader::open(&copy).map(|reader| reader.verify());
        assert!(!matches!(found, Ok(Ok(_))), "byte {at}");
    }
}
