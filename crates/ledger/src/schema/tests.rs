//! What is no ledger is refused and left as it is; older formats are brought up to date; the tables only grow.

use std::fs;

use super::*;
use crate::writer::tests::{draft, new_ledger};
use crate::{Ledger, Reader};

/// Both sides refuse the file, in words, and leave it and its folder alone.
fn refused(content: &[u8], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    fs::write(&path, content).unwrap();
    for error in [
        Ledger::open(&path).map(|_| ()).unwrap_err(),
        Reader::open(&path).map(|_| ()).unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    refused(b"", "an empty file");
    refused(b"hello\nworld", "begins with `hello\\nworld`");
    refused(b"SQLite format 3\0", "begins with `SQLite format 3");
    refused(&[0xff; 4096], "not a ledger");

    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(connection);
    refused(
        &fs::read(&other).unwrap(),
        "another program's SQLite database",
    );

    let folder_error = Ledger::open(folder.path()).unwrap_err().to_string();
    assert!(folder_error.contains("a folder"), "{folder_error}");
    let missing = folder.path().join("missing");
    assert!(matches!(
        Ledger::open(&missing),
        Err(LedgerError::NotFound { .. })
    ));
    assert!(matches!(
        Reader::open(&missing),
        Err(LedgerError::NotFound { .. })
    ));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let (folder, mut ledger) = new_ledger();
    ledger.append(&draft(1)).unwrap();
    drop(ledger);
    let mut content = fs::read(folder.path().join("ledger")).unwrap();
    content[60..64].copy_from_slice(&(FORMAT + 1).to_be_bytes());
    refused(&content, "has format 2, this Sprag knows up to 1");
    content[60..64].copy_from_slice(&0u32.to_be_bytes());
    refused(&content, "its format number is 0");
}

#[test]
fn an_older_format_is_brought_up_to_date_whole_or_not_at_all() {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let steps = ["CREATE TABLE two (x)", "CREATE TABLE three (x)"];
    let version = |connection: &Connection| -> u32 {
        connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap()
    };
    let broken = ["CREATE TABLE two (x)", "CREATE TABLE two (x)"];
    assert!(step_up(&mut connection, 1, &broken).is_err());
    assert_eq!(
        (version(&connection), objects(&connection).unwrap().len()),
        (1, 0)
    );
    step_up(&mut connection, 1, &steps).unwrap();
    assert_eq!(
        (version(&connection), objects(&connection).unwrap().len()),
        (3, 2)
    );
    step_up(&mut connection, 3, &steps).unwrap();
    assert_eq!(version(&connection), 3);
}

#[test]
fn every_change_is_refused_by_the_tables_themselves() {
    let (folder, mut ledger) = new_ledger();
    ledger.append_all(&[draft(1), draft(2)]).unwrap();
    drop(ledger);
    let connection = Connection::open(folder.path().join("ledger")).unwrap();
    let row = "at, kind, experiment, epoch, judge, worker, body, hash";
    for sql in [
        "UPDATE entries SET body = '{}' WHERE seq = 1".to_owned(),
        "DELETE FROM entries WHERE seq = 2".to_owned(),
        "DELETE FROM entries".to_owned(),
        format!(
            "INSERT OR REPLACE INTO entries (seq, {row}) SELECT 1, {row} FROM entries WHERE seq = 2"
        ),
        format!("INSERT INTO entries (seq, {row}) SELECT 9, {row} FROM entries WHERE seq = 2"),
        "UPDATE header SET track = 'x'".to_owned(),
        "DELETE FROM header".to_owned(),
    ] {
        let error = connection.execute(&sql, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}

#[test]
fn a_changed_schema_is_named() {
    for (change, expected) in [
        (
            "DROP TRIGGER entries_stay",
            "the trigger `entries_stay` is missing",
        ),
        ("CREATE TABLE more (x)", "the table `more` was added"),
        (
            "CREATE TRIGGER z AFTER INSERT ON entries BEGIN SELECT 1; END",
            "the trigger `z` was added",
        ),
        (
            "DROP TRIGGER entries_stay; CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT 1; END",
            "the trigger `entries_stay` was changed",
        ),
    ] {
        let (folder, ledger) = new_ledger();
        drop(ledger);
        let path = folder.path().join("ledger");
        Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let broken = Reader::open(&path).unwrap().verify().unwrap_err();
        assert_eq!(broken.what, expected);
        let error = Ledger::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
