//! A candidate's files: read from its commit, compared with another's, laid out for a build or a run.
//!
//! A folder for a candidate holds the mutable and fixed files of its commit and the sealed files of the epoch. Data are links into the
//! seal, absent while building; tools are absent from a run. Hidden files are never there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use crate::{
    digest::{Digest, Parts},
    disk::{self, Kind},
    git::{Contents, Files, GitError, Mode, ObjectId, Repository, TreeFile},
    record::{MOST_PATHS, Void},
    seal,
    track::{Part, Track},
};

mod merge;
#[cfg(test)]
mod tests;

pub use merge::onto;

/// Why files could not be read or laid out.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.to_path_buf();
    move |source| TreeError::Io { path, source }
}

/// What a commit holds, as a track sees it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its mutable files.
    pub files: Files,
    /// Links where a mutable file could be, with where they lead. They stay as they are.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// All paths that no candidate may change, nor stand in the way of.
    pub others: BTreeSet<PathBuf>,
}

/// What a commit holds.
///
/// # Errors
/// [`TreeError`].
pub fn snapshot(
    repository: &Repository,
    track: &Track,
    commit: &ObjectId,
) -> Result<Snapshot, TreeError> {
    let all = repository.files(commit)?;
    let mut snapshot = Snapshot::default();
    let mut wanted = Vec::new();
    for file in &all {
        let mutable = track.globs.part(&file.path) == Part::Mutable;
        if mutable && file.mode != Mode::Submodule {
            wanted.push(file);
        }
        if !mutable || !matches!(file.mode, Mode::Plain | Mode::Executable) {
            snapshot.others.insert(file.path.clone());
        }
    }
    repository.read(&wanted, &mut |file, bytes| {
        if file.mode == Mode::Link {
            let target = PathBuf::from(OsStr::from_bytes(&bytes));
            snapshot.links.insert(file.path.clone(), target);
        } else {
            let contents = Contents {
                bytes,
                executable: file.mode == Mode::Executable,
            };
            snapshot.files.insert(file.path.clone(), contents);
        }
        Ok(())
    })?;
    Ok(snapshot)
}

/// The mutable files of a commit.
///
/// # Errors
/// [`TreeError`].
pub fn mutable(
    repository: &Repository,
    track: &Track,
    commit: &ObjectId,
) -> Result<Files, TreeError> {
    Ok(snapshot(repository, track, commit)?.files)
}

/// The mutable files in a folder that a proposer worked in. Anything but ordinary files, or a change outside, is a reason not to
/// measure: `laid` is what was there before, and what `ignored` names is not looked at.
///
/// # Errors
/// [`TreeError`]; the inner error is the candidate's.
pub fn collect(
    track: &Track,
    folder: &Path,
    laid: &Laid,
    ignored: &dyn Fn(&Path) -> bool,
) -> Result<Result<Files, Void>, TreeError> {
    let skip = |path: &Path| path.file_name().is_some_and(|name| name == ".git") || ignored(path);
    let entries = match disk::entries(folder, &skip) {
        Ok(entries) => entries,
        Err(error) if disk::is_theirs(&error) => {
            let said = format!("what it left cannot be read: {error}");
            return Ok(Err(Void::Proposer { said }));
        }
        Err(error) => return Err(io_error(folder)(error)),
    };
    let most = track.file.artefact.most_bytes.0;
    let mut files = Files::new();
    let mut bytes = 0;
    for (path, kind) in entries {
        if track.globs.part(&path) != Part::Mutable {
            continue;
        }
        let full = folder.join(&path);
        let unchanged =
            || kind == Kind::Link && laid.links.get(&path) == fs::read_link(&full).ok().as_ref();
        if kind != Kind::File && unchanged() {
            continue;
        }
        if kind != Kind::File || path.to_str().is_none() {
            return Ok(Err(Void::NotAFile { path: shown(&path) }));
        }
        let data = fs::symlink_metadata(&full).map_err(io_error(&full))?;
        bytes += data.len();
        if bytes > most {
            return Ok(Err(Void::TooLarge { bytes, most }));
        }
        let contents = Contents {
            bytes: match fs::read(&full) {
                Err(error) if disk::is_theirs(&error) => return Ok(Err(Void::NotAFile { path })),
                read => read.map_err(io_error(&full))?,
            },
            executable: data.permissions().mode() & 0o100 != 0,
        };
        files.insert(path, contents);
    }
    let touched = laid.touched(folder);
    if touched.is_empty() {
        Ok(Ok(files))
    } else {
        let paths = touched.into_iter().take(MOST_PATHS).collect();
        Ok(Err(Void::Foreign { paths }))
    }
}

/// A path as a record can hold it: text.
#[must_use]
pub fn shown(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// Those of `paths` that are where something stands already, or under it, or above it.
#[must_use]
pub fn in_the_way<'a>(
    paths: impl Iterator<Item = &'a PathBuf>,
    others: &BTreeSet<PathBuf>,
) -> Vec<PathBuf> {
    let is_taken = |path: &Path| {
        let above = path.ancestors().any(|part| others.contains(part));
        // Paths are ordered part by part, so what is under a path follows it.
        let under = others
            .range(path.to_path_buf()..)
            .next()
            .is_some_and(|next| next.starts_with(path));
        above || under
    };
    paths
        .filter(|path| is_taken(path))
        .map(|path| shown(path))
        .collect()
}

/// The digest of files as far as they can matter: line ends, blanks at the ends of lines and empty lines at the end of a file do not.
/// With `seeds`, nor do the literals that choose a draw.
#[must_use]
pub fn normalised(track: &Track, files: &Files, seeds: bool) -> Digest {
    let mut parts = Parts::default();
    for (path, contents) in files {
        parts.add(path.to_string_lossy().as_bytes());
        parts.add(&[u8::from(contents.executable)]);
        match std::str::from_utf8(&contents.bytes) {
            Err(_) => parts.add(&contents.bytes),
            Ok(text) => {
                let mut text = text.to_owned();
                if seeds {
                    for place in &track.seeds {
                        if Path::new(place.file()) == path {
                            text = place.replace(&text, "0").unwrap_or(text);
                        }
                    }
                }
                let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
                parts.add(lines.join("\n").trim_end().as_bytes())
            }
        };
    }
    parts.digest()
}

/// Bytes of the files' contents together, compressed by deflate.
#[must_use]
pub fn compressed(files: &Files) -> u64 {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    for contents in files.values() {
        // A vector takes everything.
        let _full = io::Write::write_all(&mut encoder, &contents.bytes);
    }
    encoder.finish().map_or(u64::MAX, |out| out.len() as u64)
}

/// What differs between two sets of files, as a commit takes it.
#[must_use]
pub fn changes(base: &Files, candidate: &Files) -> BTreeMap<PathBuf, Option<Contents>> {
    let gone = base
        .keys()
        .filter(|path| !candidate.contains_key(*path))
        .map(|path| (path.clone(), None));
    let new = candidate
        .iter()
        .filter(|(path, contents)| base.get(*path) != Some(*contents))
        .map(|(path, contents)| (path.clone(), Some(contents.clone())));
    gone.chain(new).collect()
}

/// What a folder is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A proposer, who may read data.
    Propose,
    /// A build, without data.
    Build,
    /// A run.
    Run,
}

/// What was laid out in a folder.
#[derive(Clone, Debug, Default)]
pub struct Laid {
    /// Files that nobody may change.
    pub untouchable: BTreeMap<PathBuf, Digest>,
    /// Links where a mutable file could be.
    pub links: BTreeMap<PathBuf, PathBuf>,
}

impl Laid {
    /// The files that somebody changed although nobody may.
    #[must_use]
    pub fn touched(&self, folder: &Path) -> Vec<PathBuf> {
        let changed = self
            .untouchable
            .iter()
            .filter(|(path, digest)| !disk::holds(folder, path, digest));
        changed.map(|(path, _)| shown(path)).collect()
    }
}

/// Lays a commit's files out in a fresh folder.
///
/// # Errors
/// [`TreeError`].
pub fn lay(
    repository: &Repository,
    track: &Track,
    commit: &ObjectId,
    epoch: &Path,
    folder: &Path,
    purpose: Purpose,
) -> Result<Laid, TreeError> {
    disk::fresh(folder).map_err(io_error(folder))?;
    let mut laid = Laid::default();
    let sealed = seal::files_in(epoch);
    if sealed.is_dir() {
        for path in disk::walk(&sealed, &|_| false).map_err(io_error(&sealed))? {
            let (from, to) = (sealed.join(&path), folder.join(&path));
            match track.globs.part(&path) {
                Part::Sealed => {
                    disk::copy(&from, &to).map_err(io_error(&from))?;
                    let digest = Digest::of_file(&to).map_err(io_error(&to))?;
                    laid.untouchable.insert(path, digest);
                }
                Part::Tools if purpose != Purpose::Run => {
                    disk::copy(&from, &to).map_err(io_error(&from))?;
                    // Nobody takes anything of what a build made of its copy; a proposer that changed one meant something by it.
                    if purpose == Purpose::Propose {
                        let digest = Digest::of_file(&to).map_err(io_error(&to))?;
                        laid.untouchable.insert(path, digest);
                    }
                }
                Part::Data if purpose != Purpose::Build => {
                    above(&to)
                        .and_then(|()| symlink(&from, &to))
                        .map_err(io_error(&to))?;
                }
                _ => {}
            }
        }
    }
    let all = repository.files(commit)?;
    let wanted: Vec<&TreeFile> = all
        .iter()
        .filter(|file| matches!(track.globs.part(&file.path), Part::Mutable | Part::Fixed))
        .filter(|file| file.mode != Mode::Submodule && disk::is_inside(&file.path))
        .collect();
    repository.read(&wanted, &mut |file, bytes| {
        let to = folder.join(&file.path);
        above(&to)?;
        let fixed = track.globs.part(&file.path) == Part::Fixed;
        if file.mode == Mode::Link {
            let target = PathBuf::from(OsStr::from_bytes(&bytes));
            symlink(&target, &to)?;
            if !fixed {
                laid.links.insert(file.path.clone(), target);
            }
            return Ok(());
        }
        fs::write(&to, &bytes)?;
        if file.mode == Mode::Executable {
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        }
        if fixed {
            laid.untouchable
                .insert(file.path.clone(), Digest::of(&bytes));
        }
        Ok(())
    })?;
    Ok(laid)
}

fn above(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
