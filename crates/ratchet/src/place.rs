//! Where a track lives: its file in the user's repository, and the engine's own folder beside the repository's objects.
//!
//! The folder (`sprag/NAME/` in git's common folder) is never committed, is the same from every work tree, and holds: the ledger, the
//! key, the copies of what was sealed (`seal/EPOCH/`), the workshop (`work/`, emptied at each start), and `stop`, which asks a running
//! engine to stop.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ledger::{Ledger, LedgerError, Reader, Selection};

use crate::{
    git::{GitError, Repository},
    history::{History, HistoryError},
    track::{self, Budget, Track, TrackError},
};

/// A track with its repository and its folder.
#[derive(Clone, Debug)]
pub struct Place {
    /// The track's file.
    pub file: PathBuf,
    /// What it says.
    pub track: Track,
    /// Its repository, at the track's root.
    pub repository: Repository,
    /// The engine's folder.
    pub folder: PathBuf,
}

/// Why a track cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No such file.
    #[error("there is no track at {}: {source}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no track.
    #[error("{}: {source}", path.display())]
    Track {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<TrackError>,
    },
    /// The root that the track names.
    #[error("{}: `root`: expected a folder inside the repository, came {root:?}", path.display())]
    Root {
        /// Which file.
        path: PathBuf,
        /// What it says.
        root: String,
    },
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger makes no sense.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Nothing was run yet.
    #[error("the track {0} has not been run yet")]
    NotBegun(String),
}

impl Place {
    /// The track at `path`: its file, or the folder that has it.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn open(path: &Path) -> Result<Self, PlaceError> {
        let file = if path.is_dir() {
            path.join(track::FILE)
        } else {
            path.to_path_buf()
        };
        let missing = |source| PlaceError::Missing {
            path: file.clone(),
            source,
        };
        let text = fs::read_to_string(&file).map_err(missing)?;
        let track = Track::parse(&text).map_err(|source| PlaceError::Track {
            path: file.clone(),
            source: Box::new(source),
        })?;
        let home = file
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let root = fs::canonicalize(home.join(&track.file.root))
            .ok()
            .filter(|root| root.is_dir())
            .ok_or_else(|| PlaceError::Root {
                path: file.clone(),
                root: track.file.root.clone(),
            })?;
        let repository = Repository::around(&root)?;
        let folder = repository.common().join("sprag").join(track.name());
        Ok(Self {
            file,
            track,
            repository,
            folder,
        })
    }

    /// The same track under another budget, with a ledger and references of its own.
    ///
    /// # Errors
    /// [`PlaceError::Track`]: the track has no such budget.
    pub fn under(&self, budget: Budget) -> Result<Self, PlaceError> {
        let track = self
            .track
            .under(budget)
            .map_err(|source| PlaceError::Track {
                path: self.file.clone(),
                source: Box::new(source),
            })?;
        Ok(Self {
            folder: self.repository.common().join("sprag").join(track.name()),
            track,
            ..self.clone()
        })
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.sqlite")
    }

    /// The file of the key that seeds are drawn from.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The workshop.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The copies of an epoch.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> PathBuf {
        self.folder.join("seal").join(epoch.to_string())
    }

    /// The file whose presence asks a running engine to stop.
    #[must_use]
    pub fn stop(&self) -> PathBuf {
        self.folder.join("stop")
    }

    /// The reference of the champion.
    #[must_use]
    pub fn champion(&self) -> String {
        format!("refs/sprag/{}/champion", self.track.name())
    }

    /// Where all of the track's references are.
    #[must_use]
    pub fn references(&self) -> String {
        format!("refs/sprag/{}/", self.track.name())
    }

    /// Where the references of candidates are.
    #[must_use]
    pub fn candidates(&self) -> String {
        format!("refs/sprag/{}/candidates/", self.track.name())
    }

    /// The reference under which a candidate stays reachable.
    #[must_use]
    pub fn candidate(&self, number: u64) -> String {
        format!("{}{number}", self.candidates())
    }

    /// The reference of the champion without a candidate that is part of it.
    #[must_use]
    pub fn without(&self, number: u64) -> String {
        format!("refs/sprag/{}/without/{number}", self.track.name())
    }

    /// For those who only read.
    ///
    /// # Errors
    /// [`PlaceError::NotBegun`] before the first run.
    pub fn reader(&self) -> Result<Reader, PlaceError> {
        if !self.ledger().exists() {
            return Err(PlaceError::NotBegun(self.track.name().to_owned()));
        }
        Ok(Reader::open(&self.ledger())?)
    }

    /// What the ledger says.
    ///
    /// # Errors
    /// As [`Self::reader`].
    pub fn history(&self) -> Result<History, PlaceError> {
        let entries = self.reader()?.entries(&Selection::all())?;
        let history = History::of(&entries)?;
        // A start that failed before it had a champion leaves an empty ledger.
        if history.champion.is_none() {
            return Err(PlaceError::NotBegun(self.track.name().to_owned()));
        }
        Ok(history)
    }

    /// Who runs the track now, if anybody.
    ///
    /// # Errors
    /// [`PlaceError::Ledger`].
    pub fn running(&self) -> Result<Option<ledger::Holder>, PlaceError> {
        if !self.ledger().exists() {
            return Ok(None);
        }
        Ok(ledger::is_busy(&self.ledger())?)
    }

    /// The ledger to write to, new or old.
    pub(crate) fn writer(
        &self,
        machine: &serde_json::Value,
        version: &str,
    ) -> Result<Ledger, PlaceError> {
        let header = ledger::Header {
            track: self.track.name().to_owned(),
            substrate: machine.clone(),
            created_by: version.to_owned(),
        };
        Ok(open_or_create(&self.ledger(), &header)?)
    }
}

fn open_or_create(path: &Path, header: &ledger::Header) -> Result<Ledger, LedgerError> {
    if path.exists() {
        return Ledger::open(path);
    }
    match Ledger::create(path, header) {
        // Another engine began the track since then, and may have ended already.
        Err(LedgerError::Exists { .. }) => Ledger::open(path),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_a_ledger_beside_another_opens_it_or_finds_it_busy() {
        let header = ledger::Header {
            track: "t".to_owned(),
            substrate: serde_json::json!({}),
            created_by: "a test".to_owned(),
        };
        for _ in 0..100 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.sqlite");
            let together = std::sync::Barrier::new(2);
            let begin = || {
                together.wait();
                open_or_create(&path, &header).map(drop)
            };
            let outcomes = std::thread::scope(|scope| {
                let other = scope.spawn(begin);
                [begin(), other.join().unwrap()]
            });
            assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
            let allowed = |outcome: &Result<(), LedgerError>| {
                matches!(outcome, Ok(()) | Err(LedgerError::Busy { .. }))
            };
            assert!(outcomes.iter().all(allowed), "{outcomes:?}");
        }
    }
}
