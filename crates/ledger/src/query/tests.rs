//! Queries that read are answered; whatever else a stranger writes is refused in words, in time.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::Reader;
use crate::writer::tests::{draft, new_ledger};

fn reader() -> (TempDir, Reader) {
    let (folder, mut ledger) = new_ledger();
    for n in 1..=5 {
        ledger.append(&draft(n)).unwrap();
    }
    drop(ledger);
    let reader = Reader::open(&folder.path().join("ledger")).unwrap();
    (folder, reader)
}

fn short() -> Limit {
    Limit {
        rows: 100,
        bytes: 1 << 20,
        time: Duration::from_millis(300),
    }
}

#[test]
fn a_select_is_answered_with_views() {
    let (_folder, reader) = reader();
    let views = [
        (
            "trials",
            "SELECT seq, body ->> 'n' AS n FROM entries WHERE kind = 'trial'",
        ),
        ("odd \"name\"", "SELECT 1 AS one"),
    ];
    let table = reader
        .query(
            "SELECT sum(n) AS total, NULL, 0.5, hex(x'01'), x'01' FROM trials",
            &views,
            short(),
        )
        .unwrap();
    assert_eq!(table.columns[0], "total");
    let expected = [
        Cell::Integer(15),
        Cell::Null,
        Cell::Real(0.5),
        Cell::Text("01".to_owned()),
        Cell::Blob(vec![1]),
    ];
    assert_eq!(table.rows, [expected]);
    assert!(!table.truncated);
    let table = reader
        .query("SELECT one FROM \"odd \"\"name\"\"\"", &views, short())
        .unwrap();
    assert_eq!(table.rows, [[Cell::Integer(1)]]);
    let json = serde_json::to_string(&table).unwrap();
    assert_eq!(
        json,
        r#"{"columns":["one"],"rows":[[1]],"truncated":false}"#
    );
    let explained = reader
        .query(
            "EXPLAIN QUERY PLAN SELECT * FROM entries WHERE kind = 'x'",
            &[],
            short(),
        )
        .unwrap();
    assert!(
        format!("{explained:?}").contains("entries_by_kind"),
        "{explained:?}"
    );
}

#[test]
fn whatever_does_more_than_read_is_refused_and_does_nothing() {
    let (folder, reader) = reader();
    let path = folder.path().join("ledger");
    let before = fs::read(&path).unwrap();
    for (sql, words) in [
        ("DELETE FROM entries", "change `entries`"),
        (
            "INSERT INTO header VALUES (2, 't', '{}', 'x', zeroblob(32))",
            "change `header`",
        ),
        (
            "UPDATE entries SET body = '' RETURNING seq",
            "change `entries`",
        ),
        ("CREATE TABLE t (x)", "change"),
        ("CREATE TEMP TABLE t AS SELECT 1", "change"),
        ("DROP TABLE entries", "change"),
        ("DROP VIEW v", "change"),
        ("ALTER TABLE entries RENAME TO e", "change"),
        ("ATTACH 'other' AS other", "another database"),
        ("VACUUM", "ask one SELECT"),
        ("VACUUM INTO 'copy'", "ask one SELECT"),
        ("DETACH main", "another database"),
        ("PRAGMA journal_mode = DELETE", "use PRAGMA journal_mode"),
        ("PRAGMA query_only = 0", "use PRAGMA query_only"),
        ("PRAGMA writable_schema = 1", "use PRAGMA writable_schema"),
        (
            "SELECT * FROM pragma_table_info('entries')",
            "use PRAGMA table_info",
        ),
        ("SELECT load_extension('evil')", "load an extension"),
        ("SELECT LOAD_EXTENSION('evil')", "load an extension"),
        ("BEGIN", "begin or end a transaction"),
        ("COMMIT", "begin or end a transaction"),
        ("SAVEPOINT s", "begin or end a transaction"),
        ("REINDEX", "ask one SELECT"),
        ("ANALYZE", "ask one SELECT"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1; DELETE FROM entries", "change `entries`"),
        ("", "ask one SELECT"),
        ("-- nothing", "ask one SELECT"),
        ("SELECT 1\0", "NUL"),
        ("SELEC 1", "syntax error"),
        ("SELECT some FROM nowhere", "no such table"),
    ] {
        let error = reader
            .query(sql, &[("v", "SELECT 1")], short())
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "ledger",
            "ledger-shm",
            "ledger-wal",
            "ledger.head",
            "ledger.lock"
        ]
    );
}

#[test]
fn a_view_can_do_no_more_than_a_query() {
    let (_folder, reader) = reader();
    for select in [
        "SELECT 1; DELETE FROM entries",
        "DELETE FROM entries",
        "nonsense",
        "",
    ] {
        let error = reader
            .query("SELECT 1", &[("v", select)], short())
            .unwrap_err();
        assert!(
            matches!(error, QueryError::View { .. }),
            "{select}: {error}"
        );
    }
    for select in [
        "SELECT load_extension('x')",
        "SELECT * FROM pragma_database_list",
    ] {
        let error = reader
            .query("SELECT * FROM v", &[("v", select)], short())
            .unwrap_err();
        assert!(
            matches!(error, QueryError::Refused { .. }),
            "{select}: {error}"
        );
    }
    assert_eq!(reader.verify().unwrap().entries, 5);
}

#[test]
fn what_runs_long_or_grows_large_is_stopped_in_time() {
    let (_folder, reader) = reader();
    let forever = "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c)";
    let began = Instant::now();
    for (sql, words) in [
        (format!("{forever} SELECT count(*) FROM c"), "stopped after"),
        (
            format!("{forever} SELECT x FROM c WHERE x < 0"),
            "stopped after",
        ),
        // One step that takes long by itself.
        (
            "SELECT instr(printf('%.*c', 2000000, 'a'), printf('%.*c', 1000000, 'a') || 'b')"
                .to_owned(),
            "stopped after",
        ),
        (
            format!("{forever} SELECT zeroblob(1000000) FROM c"),
            "returns more than",
        ),
        (
            "SELECT zeroblob(1000000000)".to_owned(),
            "value of more than",
        ),
        (
            "SELECT printf('%.*c', 1000000000, 'x')".to_owned(),
            "value of more than",
        ),
        (
            "SELECT count(*) FROM entries WHERE body LIKE ".to_owned()
                + &format!("'{}'", "%a".repeat(1000)),
            "LIKE",
        ),
    ] {
        let error = reader.query(&sql, &[], short()).unwrap_err().to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
    let hoarding = format!("{forever} SELECT x, zeroblob(1000000) AS z FROM c ORDER BY z, x DESC");
    let patient = Limit {
        time: Duration::from_secs(20),
        ..short()
    };
    let error = reader
        .query(&hoarding, &[], patient)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("memory") || error.contains("stopped"),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    let table = reader
        .query(&format!("{forever} SELECT x FROM c"), &[], short())
        .unwrap();
    assert_eq!((table.rows.len(), table.truncated), (100, true));
}
