//! The real writer process, and what must hold of its ledger after whatever was done to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ledger::{Entry, Reader, Remembered, Selection};

use crate::disk::scratch;

/// The example `writer`, which `cargo test` builds beside the tests. (`cargo test --test NAME` does not: then build it first,
/// with `cargo build -p ledger --examples`, or an old one is tested.)
pub fn writer() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(format!("writer{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: run `cargo test -p ledger`, which builds it, or `cargo build -p ledger --examples`",
        program.display()
    );
    program
}

/// How long a history is, and how it is written.
#[derive(Clone, Copy)]
pub struct Plan {
    pub count: u64,
    pub body_bytes: usize,
    pub reopen_every: u64,
}

impl Plan {
    pub fn arguments(&self, path: &Path) -> [String; 4] {
        [
            path.to_str().unwrap().to_owned(),
            self.count.to_string(),
            self.body_bytes.to_string(),
            self.reopen_every.to_string(),
        ]
    }

    /// Writes, or goes on, undisturbed.
    pub fn finish(&self, path: &Path) {
        let output = Command::new(writer())
            .args(self.arguments(path))
            .output()
            .unwrap();
        assert!(output.status.success(), "undisturbed: {}", said(&output));
    }

    /// The uninterrupted history.
    pub fn reference(&self) -> Vec<Entry> {
        let folder = scratch();
        let path = folder.path().join("ledger");
        self.finish(&path);
        let entries = entries(&path);
        assert_eq!(entries.len() as u64, self.count);
        entries
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub fn entries(path: &Path) -> Vec<Entry> {
    Reader::open(path)
        .unwrap()
        .entries(&Selection::all())
        .unwrap()
}

/// The highest entry that a writer's output acknowledges; a last line that was cut off acknowledges nothing.
pub fn acknowledged(stdout: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(stdout);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let acks = whole.lines().filter_map(|line| line.strip_prefix("ack "));
    acks.filter_map(|n| n.parse().ok()).max().unwrap_or(0)
}

/// All that was acknowledged is there, nothing else is, and it verifies. Returns how many entries there are.
pub fn check(path: &Path, acknowledged: u64, reference: &[Entry], what: &str) -> u64 {
    if !path.exists() {
        assert_eq!(acknowledged, 0, "{what}: the ledger is gone");
        return 0;
    }
    let reader = Reader::open(path).unwrap_or_else(|e| panic!("{what}: {e}"));
    let entries = reader
        .entries(&Selection::all())
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(
        entries.len() as u64 >= acknowledged,
        "{what}: {acknowledged} entries were acknowledged, {} are there",
        entries.len()
    );
    assert_eq!(entries, reference[..entries.len()], "{what}");
    let verified = reader.verify().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(verified.entries, entries.len() as u64, "{what}");
    if let Remembered::UpTo(seq) = verified.remembered {
        assert!(seq <= verified.entries, "{what}: the head leads");
    }
    verified.entries
}
