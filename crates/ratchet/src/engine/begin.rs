//! How an engine begins, and how an epoch does.
//!
//! 1. The ledger's lock is taken: from here on nobody else writes, and what a killed engine left half-made is removed.
//! 2. The ledger is read.
//! 3. The key and the seal are checked against it, or made.
//! 4. The sandbox tries to break out of itself.
//! 5. The track's beginning and its first seal are recorded together: a ledger has both or none.
//! 6. References are brought to where the ledger says.
//!
//! Copies of what is sealed are on the disk before the record that rests on them.

use std::{fs, io, path::Path};

use ledger::{Draft, Ledger, Selection};
use sandbox::{Level, Sandbox};

use super::{Engine, EngineError, Observer, Start};
use crate::{
    digest::Key,
    git::{Files, ObjectId},
    history::{At, History, HistoryError},
    place::{Place, PlaceError},
    record::Record,
    seal::{self, Seal, SealError},
    track::{Part, ProposerKind, Track},
    tree, trial,
};

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    let path = path.to_path_buf();
    move |source| EngineError::Io { path, source }
}

/// Folders that the track lets commands read must not contain the engine's own, nor the files of the track.
fn exposed(place: &Place) -> Result<(), EngineError> {
    let file = &place.track.file;
    let proposers = place
        .track
        .proposers
        .iter()
        .flat_map(|proposer| match &proposer.kind {
            ProposerKind::Command { reads, .. } => reads.as_slice(),
            _ => &[],
        });
    for name in file.sandbox.reads.iter().chain(proposers) {
        let path = fs::canonicalize(name).map_err(io_error(Path::new(name)))?;
        if place.folder.starts_with(&path) || place.repository.root().starts_with(&path) {
            return Err(EngineError::Exposed(path));
        }
    }
    Ok(())
}

/// Processors that a track names have to be there, where the system tells.
fn processors(place: &Place) -> Result<(), EngineError> {
    let mut there: Vec<usize> = silicon::probe::own_cores().into_iter().flatten().collect();
    there.sort_unstable();
    let named = place.track.file.sandbox.processors.iter().flatten();
    let absent: Vec<usize> = named.filter(|n| !there.contains(n)).copied().collect();
    if absent.is_empty() || there.is_empty() {
        return Ok(());
    }
    Err(EngineError::NoProcessor { absent, there })
}

impl<'a> Engine<'a> {
    /// Takes the ledger's lock, reads it, seals what is new or checks what was sealed, and probes the sandbox.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn start(
        place: &'a Place,
        start: &Start,
        stop: &'a (dyn Fn() -> bool + Sync),
        observer: &mut dyn Observer,
    ) -> Result<Self, EngineError> {
        fs::create_dir_all(&place.folder).map_err(io_error(&place.folder))?;
        let ledger = place.writer(&start.machine, &start.version)?;
        let history = History::of(&ledger.entries(&Selection::all())?)?;
        sweep(place)?;
        let first = match history.champion {
            Some(_) => None,
            None => Some(first_champion(place)?),
        };
        exposed(place)?;
        trial::counters(&place.track).map_err(EngineError::NoCounter)?;
        processors(place)?;
        let key = key(place, &history)?;
        let sandbox = Sandbox::detect(start.helper.clone(), start.level)?;
        let plain = Sandbox::detect(start.helper.clone(), Some(Level::Unsealed))?;
        let seal = match &history.seal {
            Some(seal) => {
                let checked = seal::check(
                    seal,
                    &place.track,
                    &place.repository.root(),
                    &place.epoch(seal.epoch),
                );
                match checked {
                    // Nothing rests on it yet: most likely its author is still setting the track up.
                    Err(SealError::Changed(_)) if history.is_unmeasured() => {
                        sealed(place, seal.epoch + 1)?
                    }
                    checked => {
                        checked?;
                        seal.clone()
                    }
                }
            }
            None => sealed(place, 1)?,
        };
        let mut engine = Self {
            place,
            ledger,
            history,
            seal,
            key,
            sandbox,
            plain,
            failures: 0,
            stop,
        };
        engine.begin(first, observer)?;
        // Nobody else writes these references while this engine holds the ledger, but people who propose: theirs are under another name.
        place.repository.unlock(&place.references())?;
        engine.follow()?;
        let session = Record::Session {
            sprag: start.version.clone(),
            level: engine.sandbox.level(),
            probes: engine.sandbox.probes().to_vec(),
            machine: start.machine.clone(),
            track: place.track.text.clone(),
        };
        engine.record(&session, None, observer)?;
        Ok(engine)
    }

    /// Records the track's beginning and its first seal, where the ledger has none.
    fn begin(
        &mut self,
        first: Option<ObjectId>,
        observer: &mut dyn Observer,
    ) -> Result<(), EngineError> {
        let settings = &self.place.track.settings;
        let begun = first.map(|champion| Record::Begun {
            champion,
            key: self.key.fingerprint(),
            gate: settings.clone(),
        });
        let why = match &self.history.seal {
            None => Some("the track begins"),
            Some(seal) if *seal != self.seal => Some("it changed before anything was measured"),
            Some(_) => None,
        };
        let sealed = why.map(|why| Record::Sealed {
            seal: self.seal.clone(),
            gate: Box::new(settings.clone()),
            why: why.to_owned(),
        });
        let records: Vec<_> = begun
            .into_iter()
            .chain(sealed)
            .map(|record| (record, None))
            .collect();
        self.record_all(&records, observer)
    }

    /// Brings the references to where the ledger says: the champion, and every candidate that was recorded.
    pub(super) fn follow(&self) -> Result<(), EngineError> {
        let place = self.place;
        let all = place.references();
        let mut wanted = std::collections::BTreeMap::from([(place.champion(), self.champion()?)]);
        for experiment in self.history.experiments.values() {
            let proposal = &experiment.proposal;
            if proposal.commit != proposal.base {
                wanted.insert(place.candidate(experiment.number), proposal.commit.clone());
            }
        }
        let there = place.repository.references(&all)?;
        // A candidate that was committed and, because the engine died, never recorded.
        let is_lost =
            |name: &String| name.starts_with(&place.candidates()) && !wanted.contains_key(name);
        let lost = there
            .iter()
            .map(|(name, _)| name)
            .filter(|name| is_lost(name));
        let mut changes: Vec<_> = lost.map(|name| (name.clone(), None)).collect();
        wanted.retain(|name, commit| {
            !there
                .iter()
                .any(|(known, at)| known == name && at == commit)
        });
        for (name, commit) in wanted {
            if place.repository.resolve(commit.as_str())?.is_none() {
                return Err(EngineError::Gone(commit));
            }
            changes.push((name, Some(commit)));
        }
        Ok(place.repository.update(&changes)?)
    }
}

/// The first champion is what is checked out.
fn first_champion(place: &Place) -> Result<ObjectId, EngineError> {
    let (track, repository) = (&place.track, &place.repository);
    let champion = repository.head()?;
    let mut dirty = repository.dirty()?;
    dirty.retain(|path| matches!(track.globs.part(path), Part::Mutable | Part::Fixed));
    if !dirty.is_empty() {
        return Err(EngineError::Dirty(dirty));
    }
    let files = tree::mutable(repository, track, &champion)?;
    if files.is_empty() {
        return Err(EngineError::NothingMutable);
    }
    if let Some(program) = &track.file.artefact.program {
        let path = repository.root().join(program);
        fs::metadata(&path).map_err(io_error(&path))?;
    }
    let bytes: u64 = files.values().map(|file| file.bytes.len() as u64).sum();
    let most = track.file.artefact.most_bytes.0;
    if bytes > most {
        return Err(EngineError::TooLarge { bytes, most });
    }
    knobs_are_there(track, &files)?;
    Ok(champion)
}

/// Every search finds the literals that it varies.
fn knobs_are_there(track: &Track, files: &Files) -> Result<(), EngineError> {
    for proposer in &track.proposers {
        for knob in crate::proposer::knobs(&proposer.kind).into_iter().flatten() {
            let file = knob.place.file();
            let text = files
                .get(Path::new(file))
                .map(|contents| String::from_utf8_lossy(&contents.bytes));
            let found = text.map(|text| knob.place.read(&text).map(|_| ()));
            let why = match found {
                Some(Ok(())) => continue,
                Some(Err(error)) => error.to_string(),
                None => format!("the first champion has no file {file}"),
            };
            return Err(EngineError::Knob {
                proposer: proposer.name.clone(),
                line: knob.place.line().to_owned(),
                why,
            });
        }
    }
    Ok(())
}

/// The key that the ledger was begun with, or a new one for a new ledger.
fn key(place: &Place, history: &History) -> Result<Key, EngineError> {
    let path = place.key();
    let Some(known) = &history.key else {
        return Key::at(&path).map_err(io_error(&path));
    };
    if !path.exists() {
        return Err(EngineError::NoKey(path));
    }
    let key = Key::at(&path).map_err(io_error(&path))?;
    if key.fingerprint() == *known {
        Ok(key)
    } else {
        Err(EngineError::OtherKey(path))
    }
}

/// Removes what a killed engine left half-made, and the request to stop that it can no longer hear.
fn sweep(place: &Place) -> Result<(), EngineError> {
    for entry in fs::read_dir(&place.folder).map_err(io_error(&place.folder))? {
        let entry = entry.map_err(io_error(&place.folder))?;
        let path = entry.path();
        let is_half_made = entry
            .file_name()
            .to_string_lossy()
            .starts_with(crate::disk::HALF_MADE);
        if is_half_made || path == place.stop() || path == place.work() {
            crate::disk::remove(&path).map_err(io_error(&path))?;
        }
    }
    Ok(())
}

/// Seals into the epoch's folder; on the disk when this returns.
fn sealed(place: &Place, epoch: u64) -> Result<Seal, SealError> {
    seal::seal(
        &place.track,
        &place.repository.root(),
        &place.epoch(epoch),
        epoch,
    )
}

/// Begins a new epoch: seals what is there now.
///
/// # Errors
/// [`EngineError`].
pub fn reseal(
    place: &Place,
    start: &Start,
    why: &str,
    observer: &mut dyn Observer,
) -> Result<Seal, EngineError> {
    if !place.ledger().exists() {
        return Err(PlaceError::NotBegun(place.track.name().to_owned()).into());
    }
    let mut ledger: Ledger = place.writer(&start.machine, &start.version)?;
    let mut history = History::of(&ledger.entries(&Selection::all())?)?;
    let Some(old) = &history.seal else {
        return Err(PlaceError::NotBegun(place.track.name().to_owned()).into());
    };
    let seal = sealed(place, old.epoch + 1)?;
    let settings = history.gate.as_ref().map(gate::Gate::settings);
    if seal.id() == old.id() && settings == Some(&place.track.settings) {
        // A new epoch would only measure refused candidates again.
        return Err(EngineError::SameSeal(old.epoch));
    }
    let record = Record::Sealed {
        seal: seal.clone(),
        gate: Box::new(place.track.settings.clone()),
        why: why.to_owned(),
    };
    // Asked beforehand: nothing is ever removed from a ledger.
    let mut after = history.clone();
    let now = history.last.clone().unwrap_or_default();
    after.apply(
        &record,
        At {
            time: &now,
            experiment: None,
        },
    )?;
    let id = seal.id();
    let body = serde_json::to_value(&record).map_err(|error| HistoryError::Record {
        seq: 0,
        why: error.to_string(),
    })?;
    let entry = ledger.append(&Draft {
        kind: record.kind(),
        experiment: None,
        epoch: seal.epoch,
        judge: id.as_str(),
        worker: "engine",
        body,
    })?;
    let at = At {
        time: &entry.at,
        experiment: None,
    };
    history.apply(&record, at)?;
    observer.recorded(&record, None, &history);
    Ok(seal)
}
