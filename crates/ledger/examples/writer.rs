//! A process that writes (or reads) a ledger and says what it did, for the tests that kill it, starve it, and make its system
//! calls fail: `writer PATH COUNT BODY_BYTES REOPEN_EVERY`, `writer read PATH`, `writer hold PATH`.
//!
//! It makes the ledger, or goes on where it ends, up to entry COUNT. Entry `n` is the same in every run, its time too, so that
//! an interrupted history can be compared with an uninterrupted one. `ack N` means that the ledger acknowledged entry N. What
//! fails is tried again a few times, because that is what a caller may do; `gave up` is the last line of one that got nowhere.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ledger::{Draft, Header, Ledger, LedgerError, Reader, Selection};
use serde_json::json;

const TRIES: u32 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["read", path] => read(Path::new(path)),
        ["hold", path] => hold(Path::new(path)),
        [path, count, body_bytes, reopen_every] => {
            match (count.parse(), body_bytes.parse(), reopen_every.parse()) {
                (Ok(count), Ok(body_bytes), Ok(reopen_every)) => {
                    write(Path::new(path), count, body_bytes, reopen_every)
                }
                _ => Err("COUNT, BODY_BYTES and REOPEN_EVERY are numbers".to_owned()),
            }
        }
        _ => Err("usage: writer PATH COUNT BODY_BYTES REOPEN_EVERY".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("gave up: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, count: u64, body_bytes: usize, reopen_every: u64) -> Result<(), String> {
    let mut ledger = persist("open", || open(path))?;
    let mut last = length(&ledger)?;
    while last < count {
        let seq = last + 1;
        let body = json!({ "n": seq, "filling": filling(seq, body_bytes) });
        let draft = Draft {
            kind: if seq % 2 == 0 { "trial" } else { "verdict" },
            experiment: (seq % 3 != 0).then_some(seq / 3),
            epoch: seq / 5,
            judge: "judge",
            worker: "worker",
            body,
        };
        let at = format!("2026-01-01T00:{:02}:{:02}.000Z", seq / 60 % 60, seq % 60);
        let entry = persist("append", || ledger.append_at(&draft, &at))?;
        say(&format!("ack {}", entry.seq));
        last = entry.seq;
        if last % reopen_every == 0 {
            drop(ledger);
            ledger = persist("reopen", || open(path))?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Ledger, LedgerError> {
    match Ledger::open(path) {
        Err(LedgerError::NotFound { .. }) => {
            let header = Header {
                track: "stack".to_owned(),
                substrate: json!({ "cpu": "test" }),
                created_by: "0.1.0".to_owned(),
            };
            match Ledger::create(path, &header) {
                // An earlier try got this far before it failed.
                Err(LedgerError::Exists { .. }) => Ledger::open(path),
                done => done,
            }
        }
        done => done,
    }
}

fn persist<T>(
    doing: &str,
    mut attempt: impl FnMut() -> Result<T, LedgerError>,
) -> Result<T, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => {
                last = format!("{doing}: {error}");
                say(&format!("refused: {last}"));
            }
        }
    }
    Err(last)
}

fn length(ledger: &Ledger) -> Result<u64, String> {
    let entries = ledger
        .entries(&Selection::all())
        .map_err(|e| e.to_string())?;
    Ok(entries.last().map_or(0, |entry| entry.seq))
}

/// Text that SQLite cannot shorten and that differs from entry to entry.
fn filling(seq: u64, bytes: usize) -> String {
    let letters = (0..bytes as u64).map(|at| {
        let mixed = (seq * 1_000_003 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
        char::from(b'a' + (mixed % 26) as u8)
    });
    letters.collect()
}

fn read(path: &Path) -> Result<(), String> {
    let reader = Reader::open(path).map_err(|e| e.to_string())?;
    let entries = reader
        .entries(&Selection::all())
        .map_err(|e| e.to_string())?;
    let verified = reader.verify().map_err(|e| e.to_string())?;
    let table = reader
        .query(
            "SELECT count(*) FROM entries",
            &[],
            ledger::Limit::default(),
        )
        .map_err(|e| e.to_string())?;
    say(&format!(
        "read {} verified {} {:?} queried {:?}",
        entries.len(),
        verified.entries,
        verified.remembered,
        table.rows
    ));
    Ok(())
}

/// Keeps the ledger open until it is killed.
fn hold(path: &Path) -> Result<(), String> {
    let _ledger = open(path).map_err(|e| e.to_string())?;
    say("holding");
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

/// One line, whole or not at all: a line that was not written acknowledges nothing.
fn say(line: &str) {
    let line = format!("{line}\n");
    for _ in 0..TRIES {
        let mut out = io::stdout().lock();
        if out
            .write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .is_ok()
        {
            return;
        }
    }
}
