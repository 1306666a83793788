//! A write-ahead log that was cut off or garbled, at every kind of place.
//!
//! SQLite's log is a header of 32 bytes, then frames: 24 bytes of header and one page of 4096. What an unfinished append left
//! there must vanish; what a finished append left there must not be missed silently.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod disk;

use std::fs;
use std::path::{Path, PathBuf};

use ledger::{Draft, Entry, Header, Ledger, LedgerError, Reader, Selection};
use serde_json::json;
use tempfile::TempDir;

const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + 4096;

struct Files {
    folder: TempDir,
    main: Vec<u8>,
    /// The log before and after the last append.
    log: [Vec<u8>; 2],
    /// The side file before and after it.
    head: [Vec<u8>; 2],
    entries: Vec<Entry>,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

fn draft(n: u64) -> Draft<'static> {
    Draft {
        kind: "trial",
        experiment: Some(n),
        epoch: 1,
        judge: "",
        worker: "w",
        body: json!({ "n": n, "filling": "x".repeat(6000) }),
    }
}

/// Four entries, the last of which the log holds as its last transaction; copied while the writer lives.
fn files() -> Files {
    let folder = disk::scratch();
    let path = folder.path().join("original");
    let header = Header {
        track: "t".to_owned(),
        substrate: json!({}),
        created_by: "0".to_owned(),
    };
    let mut ledger = Ledger::create(&path, &header).unwrap();
    for n in 1..=3 {
        ledger.append(&draft(n)).unwrap();
    }
    let read = |suffix: &str| fs::read(beside(&path, suffix)).unwrap();
    let (log, head) = (read("-wal"), read(".head"));
    ledger.append(&draft(4)).unwrap();
    let entries = ledger.entries(&Selection::all()).unwrap();
    Files {
        main: read(""),
        log: [log, read("-wal")],
        head: [head, read(".head")],
        entries,
        folder,
    }
}

impl Files {
    /// Lays out a ledger with this log and side file.
    fn lay_out(&self, log: &[u8], head: Option<&[u8]>) -> PathBuf {
        let path = self.folder.path().join("torn");
        for suffix in ["-shm", ".head", ".lock"] {
            let _absent = fs::remove_file(beside(&path, suffix));
        }
        fs::write(&path, &self.main).unwrap();
        fs::write(beside(&path, "-wal"), log).unwrap();
        if let Some(head) = head {
            fs::write(beside(&path, ".head"), head).unwrap();
        }
        path
    }

    /// Where the last append's part of the log begins and ends.
    fn tail(&self) -> std::ops::Range<usize> {
        self.log[0].len()..self.log[1].len()
    }
}

/// Around every boundary of a frame and of its header, and some places between.
fn places(range: std::ops::Range<usize>) -> Vec<usize> {
    let mut places = vec![range.start];
    let frames = (range.start - LOG_HEADER) / FRAME..(range.end - LOG_HEADER) / FRAME;
    for frame in frames {
        let start = LOG_HEADER + frame * FRAME;
        for offset in [
            0,
            1,
            4,
            8,
            12,
            16,
            20,
            FRAME_HEADER,
            FRAME_HEADER + 1,
            512,
            2048,
            4095,
            FRAME - 1,
        ] {
            places.push(start + offset);
        }
    }
    places.retain(|place| range.contains(place));
    places
}

fn goes_on(path: &Path, expected: &[Entry], what: &str) {
    let reader = Reader::open(path).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(
        reader.entries(&Selection::all()).unwrap(),
        expected,
        "{what}"
    );
    drop(reader);
    let mut ledger = Ledger::open(path).unwrap_or_else(|e| panic!("{what}: {e}"));
    let entry = ledger.append(&draft(9)).unwrap();
    assert_eq!(entry.seq, expected.len() as u64 + 1, "{what}");
    drop(ledger);
    let verified = Reader::open(path).unwrap().verify().unwrap();
    assert_eq!(verified.entries, entry.seq, "{what}");
}

#[test]
fn an_append_cut_off_anywhere_vanishes_and_the_rest_stays() {
    let files = files();
    let tail = files.tail();
    assert!(
        tail.len() >= 2 * FRAME,
        "the last append has several frames"
    );
    for cut in places(tail) {
        let path = files.lay_out(&files.log[1][..cut], Some(&files.head[0]));
        goes_on(&path, &files.entries[..3], &format!("cut at {cut}"));
    }
    let path = files.lay_out(&files.log[1], Some(&files.head[0]));
    goes_on(&path, &files.entries, "whole, with a head that lags");
}

#[test]
fn an_append_garbled_anywhere_vanishes_and_the_rest_stays() {
    let files = files();
    for place in places(files.tail()) {
        let mut log = files.log[1].clone();
        log[place] ^= 0x40;
        let path = files.lay_out(&log, Some(&files.head[0]));
        goes_on(&path, &files.entries[..3], &format!("garbled at {place}"));
    }
}

#[test]
fn an_acknowledged_append_that_is_gone_is_missed() {
    let files = files();
    let whole = LOG_HEADER..files.log[1].len();
    let cuts = places(whole).into_iter().chain([0, 1, LOG_HEADER - 1]);
    for cut in cuts {
        let path = files.lay_out(&files.log[1][..cut], Some(&files.head[1]));
        match Ledger::open(&path) {
            Err(LedgerError::Damaged { what, next, .. }) => {
                assert!(what.contains("lost or removed"), "{what}");
                assert!(next.contains("-wal"), "{next}");
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
        let broken = Reader::open(&path).unwrap().verify().unwrap_err();
        assert!(broken.what.contains("lost or removed"), "{broken}");
    }
}

#[test]
fn a_log_cut_off_anywhere_leaves_whole_entries() {
    let files = files();
    for cut in places(LOG_HEADER..files.log[1].len()) {
        let path = files.lay_out(&files.log[1][..cut], None);
        let entries = Reader::open(&path)
            .unwrap()
            .entries(&Selection::all())
            .unwrap();
        goes_on(
            &path,
            &files.entries[..entries.len()],
            &format!("cut at {cut}"),
        );
    }
}

#[test]
fn a_head_with_one_torn_slot_still_counts() {
    let files = files();
    for slot in [0, 4096] {
        for at in [0, 10, 40, 115] {
            let mut head = files.head[1].clone();
            head[slot + at] ^= 1;
            let path = files.lay_out(&files.log[1], Some(&head));
            goes_on(&path, &files.entries, &format!("slot {slot}, byte {at}"));
        }
    }
    let path = files.lay_out(&files.log[1], Some(b"seq what?"));
    let error = Ledger::open(&path).unwrap_err();
    assert!(error.to_string().contains("garbled"), "{error}");
}
