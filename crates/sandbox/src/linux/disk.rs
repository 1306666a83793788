//! How much lies in the writable folders, measured a little at a time, so that a folder of a million files delays nothing.
//!
//! 1. A walk goes on where it stopped, a few milliseconds at each look; its sum counts when it is through.
//! 2. The first walk is finished before the command begins: what was there then is not the command's.
//! 3. Blocks are counted, not lengths: a hole is free. A file with several names is counted once.
//! 4. What can't be read on two walks in turn (a folder deeper than a path can name, or closed to its owner) is a breach: where
//!    nobody can look, anything could be hidden.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The writable folders of one job.
#[derive(Debug)]
pub(crate) struct Meter {
    roots: Vec<PathBuf>,
    walk: Walk,
    before: u64,
    latest: u64,
    hidden: HashSet<PathBuf>,
    breach: bool,
}

#[derive(Debug, Default)]
struct Walk {
    open: Vec<PathBuf>,
    linked: HashSet<(u64, u64)>,
    hidden: HashSet<PathBuf>,
    bytes: u64,
}

impl Meter {
    /// Measures what is there, to the end.
    pub(crate) fn start(roots: Vec<PathBuf>) -> Self {
        let mut meter = Self {
            walk: Walk::over(&roots),
            roots,
            before: 0,
            latest: 0,
            hidden: HashSet::new(),
            breach: false,
        };
        meter.go_on(None);
        meter.before = meter.latest;
        meter
    }

    /// Walks on for a while; says how much was added, as the last finished walk saw it.
    pub(crate) fn look(&mut self, at_most: Duration) -> u64 {
        self.go_on(Some(Instant::now() + at_most));
        self.added()
    }

    /// Begins the walk anew: what was counted so far may be gone.
    pub(crate) fn begin_anew(&mut self) {
        self.walk = Walk::over(&self.roots);
    }

    /// Measures once more, to the end.
    #[cfg(test)]
    fn finish(&mut self) -> u64 {
        self.begin_anew();
        self.go_on(None);
        self.added()
    }

    /// Whether there is something that cannot be measured.
    pub(crate) fn is_blind(&self) -> bool {
        self.breach
    }

    fn added(&self) -> u64 {
        self.latest.saturating_sub(self.before)
    }

    fn go_on(&mut self, until: Option<Instant>) {
        while let Some(folder) = self.walk.open.pop() {
            self.walk.enter(&folder);
            if until.is_some_and(|until| Instant::now() >= until) {
                // What it holds already is a lower bound: a fast writer is caught before the walk is through.
                self.latest = self.latest.max(self.walk.bytes);
                return;
            }
        }
        let walk = std::mem::replace(&mut self.walk, Walk::over(&self.roots));
        self.latest = walk.bytes;
        self.breach = walk.hidden.intersection(&self.hidden).next().is_some();
        self.hidden = walk.hidden;
    }
}

impl Walk {
    fn over(roots: &[PathBuf]) -> Self {
        Self {
            open: roots.to_vec(),
            ..Self::default()
        }
    }

    fn enter(&mut self, folder: &Path) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                self.count(folder);
                return;
            }
            // It was deleted meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(_) => {
                self.hidden.insert(folder.to_owned());
                return;
            }
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.open.push(entry.path()),
                _ => self.count(&entry.path()),
            }
        }
    }

    fn count(&mut self, file: &Path) {
        match fs::symlink_metadata(file) {
            Ok(data) => {
                let first = data.nlink() < 2 || self.linked.insert((data.dev(), data.ino()));
                if first {
                    self.bytes = self.bytes.saturating_add(data.blocks().saturating_mul(512));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => {
                self.hidden.insert(file.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
